"""The CSV reader: which files hold a window, what they contain, and their rows as text.

Belongs here: finding files, their fingerprints, checking headers, and the relation that reads them
as text. Does not belong here: types and row rules (`typed`), writing (`load`).
"""

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from glob import glob, iglob  # the pattern is a team's, and may be absolute
from pathlib import Path

from analytics_assets.partitions import Window
from analytics_assets.sources.config import DAY, SourceConfig


class SourceError(ValueError):
    """A source cannot be read; the message names file and place and what to do."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source, and the day it stands for where each day has one."""

    path: Path
    day: date | None


def files_of(config: SourceConfig, window: Window | None = None) -> list[SourceFile]:
    """The files that can hold rows of a window, in order; without a window all of them.

    Raises:
        SourceError: the source has no file at all.
    """
    if not config.by_day:
        paths = sorted(glob(config.path, recursive=True))
        if not paths:
            raise SourceError(
                f"{config.source}: no file at {config.path}. Check `path` in the source "
                "configuration, or where the files are delivered."
            )
        return [SourceFile(Path(path), None) for path in paths]
    if window is None:
        before, after = config.path.split(DAY)
        found = (
            SourceFile(Path(path), _day(path[len(before) : len(path) - len(after)]))
            for path in sorted(glob(f"{before}*{after}"))
        )
        files = [file for file in found if file.day is not None]
        if not files:
            raise SourceError(
                f"{config.source}: no file matches {config.path} with a date such as 2024-01-31. "
                "Check `path` in the source configuration, or where the files are delivered."
            )
        return files
    if next(iglob(config.path.replace(DAY, "*")), None) is None:
        # A share that is not mounted is not a shop without orders.
        raise SourceError(
            f"{config.source}: no file at all matches {config.path}. Check `path` in the source "
            "configuration, or where the files are delivered."
        )
    reach = Window(window.start, window.end + timedelta(days=config.late_days))
    days = (SourceFile(Path(config.path.replace(DAY, day.isoformat())), day) for day in reach)
    return [file for file in days if file.path.is_file()]


def fingerprints(config: SourceConfig, days: Iterable[date]) -> dict[date, str]:
    """What the source holds for each day, as a hash: the mapping and the content of its files.

    A day without a file is left out: it has not been delivered.
    """
    if not config.by_day:
        whole = fingerprint(config)
        return dict.fromkeys(days, whole)
    found = {day: files_of(config, Window(day, day + timedelta(1))) for day in days}
    return {day: _hash(config, held) for day, held in found.items() if held}


def fingerprint(config: SourceConfig) -> str:
    """What the whole source holds, as a hash."""
    return _hash(config, files_of(config))


def source_columns(config: SourceConfig, files: list[SourceFile]) -> list[str]:
    """Columns of the files under their own names, each once, in order of appearance.

    Raises:
        SourceError: a header lacks a required column, or names one twice.
    """
    found: dict[str, str] = {}
    for file in files:
        for name in _header(config, file.path):
            found.setdefault(name.lower(), name)  # DuckDB's names know no case
    return list(found.values())


def text_relation(config: SourceConfig, files: list[SourceFile]) -> str:
    """SQL relation over the files: every column as text, and where each row comes from.

    `_load_file`, `_load_row` and `_load_day` bear that prefix because exports have columns such as
    `_file` and `_row` of their own.
    """
    paths = ", ".join(_literal(str(file.path)) for file in files)
    # Names are kept relative to the folder of the source, so that its place does not matter.
    root = len(str(Path(re.split(r"[*?\[{]", config.path)[0] + "x").parent)) + 2
    day = "NULL::DATE"
    if config.by_day:
        before, after = (len(part) for part in config.path.split(DAY))
        day = f"CAST(_load_path[{before + 1}:length(_load_path) - {after}] AS DATE)"
    # Rows come in file order: numbering them all and subtracting each file's first number numbers
    # them within their file without a sort.
    return f"""(
        SELECT
            * EXCLUDE (_load_path, _load_number),
            _load_path[{root}:] AS _load_file,
            _load_number - min(_load_number) OVER (PARTITION BY _load_path) + 1 AS _load_row,
            {day} AS _load_day
        FROM (
            SELECT *, row_number() OVER () AS _load_number
            FROM read_csv(
                [{paths}], all_varchar = true, header = true, union_by_name = true,
                filename = '_load_path', auto_detect = false, delim = {_literal(config.delimiter)},
                quote = '"', escape = '"', comment = '', skip = 0
            )
        )
    )"""


def _header(config: SourceConfig, path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = next(csv.reader(stream, delimiter=config.delimiter), [])
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{path}, line {line}: not UTF-8 ({error.reason}). Deliver the file in UTF-8."
        ) from error
    header = [name.strip() for name in header]
    if not header:
        raise SourceError(f"{path}: the file is empty; expected at least a header line.")
    if "" in header:
        raise SourceError(
            f"{path}, line 1: column {header.index('') + 1} has no name. Name it in the file."
        )
    lower = [name.lower() for name in header]
    twice = [name for name in header if lower.count(name.lower()) > 1]
    if twice:
        raise SourceError(f"{path}, line 1: column {twice[0]!r} stands twice in the header.")
    # What is mapped is meant: were it missing, cancelled orders would count as sales.
    for name in dict.fromkeys((*config.contract.required, *config.columns)):
        column = config.columns.get(name, name)
        if column not in header:
            raise SourceError(
                f"{path}, line 1: there is no column {column!r}, which {config.source} needs as "
                f"{name}. Found: {', '.join(header)}. Correct `columns` of {config.source} in the "
                "source configuration, or the file."
            )
    return header


def _hash(config: SourceConfig, files: list[SourceFile]) -> str:
    digest = hashlib.sha256(config.fingerprint.encode())
    for file in files:
        stat = file.path.stat()
        digest.update(f"{file.path.name}\0".encode())
        digest.update(_content(file.path, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()[:16]


@lru_cache(maxsize=65536)
def _content(path: Path, _size: int, _modified: int) -> bytes:
    """Hash of a file's content; size and time only tell the cache that it changed."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
