"""The head of a table of text: where its header is, and what separates the columns.

Belongs here: lines before the header, separators, names of columns. Does not belong here: rows
(`delimited`, `excel`).

What is configured is used. Otherwise the first line is the header, and the suffix gives the
separator. Only if a needed column is missing then, another line or separator is used: the one that
alone has all needed columns.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, TextIO

from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.entry import Entry
from analytics_assets.sources.readers.base import (
    MissingColumnError,
    SourceError,
    fold_name,
    mapped_columns,
)

SEARCHED_LINES = 50
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "pipes", ",": "commas"}
# Excel writes and reads this line.
SEP_LINE = re.compile(r'"?sep=(.)"?\s*$', re.IGNORECASE)
TOTALS = re.compile(
    r"\W*(grand\s+|sub-?\s*)?(totals?|sum|summe|gesamt|insgesamt|somme|suma|totale|totaal)\b",
    re.IGNORECASE,
)
TOTALS_REASON = "a line of totals (`skip_last` leaves it out)"

Cut = Callable[[int, str], tuple[list[str], int] | None]
"""Fields of the row that begins on a line (from 0), and its number of lines; None after the end."""


HEAD_WORDS: Mapping[str, Callable[[Entry], Any]] = {
    "skip_lines": lambda entry: entry.whole_number(0),
    "header_rows": lambda entry: entry.whole_number(1),
    "skip_last": lambda entry: entry.whole_number(0),
    "comment": Entry.text,
}


@dataclass(frozen=True)
class Head:
    """Where the rows of a file begin.

    Attributes:
        names: its columns; each name is unique.
        skip: lines before the last line of the header.
        lines: lines before the first row.
        delimiter: what separates the columns.
        given: names that were made up for columns without a name, or with one that repeats.
        warnings: what a person should know.
    """

    names: tuple[str, ...]
    skip: int
    lines: int
    delimiter: str
    given: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


class TextLines:
    """The lines of a text, read only as far as needed, and cut into fields."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def line(self, index: int) -> str:
        """A line with its line end; empty after the last."""
        while len(self._lines) <= index:
            line = self._stream.readline()
            if not line:
                return ""
            self._lines.append(line)
        return self._lines[index]

    def cut(self, index: int, delimiter: str) -> tuple[list[str], int] | None:
        """Fields of the row that begins on a line, and its number of lines."""

        def supply() -> Iterator[str]:
            for at in count(index):
                if not (line := self.line(at)):
                    return
                yield line

        reader = csv.reader(supply(), delimiter=delimiter, skipinitialspace=True)
        fields = next(reader, None)
        return None if fields is None else (fields, reader.line_num)


def find_head(
    config: SourceConfig, where: str, cut: Cut, first_line: str, delimiters: Sequence[str]
) -> Head:
    """The head of a file.

    Args:
        config: the source.
        where: the name of the file, for errors.
        cut: its rows.
        first_line: its first line, as text.
        delimiters: the separator to use, then others to try if it does not work.

    Raises:
        SourceError: the file is empty, or no line has the columns that are needed.
    """
    skip = config.options.get("skip_lines")
    start = skip or 0
    named = SEP_LINE.match(first_line)
    if named and config.delimiter is None:
        delimiters = [named[1]]
    if named:
        start = max(start, 1)
    first = _next_head(config, where, cut, start, delimiters[0])
    if first is None:
        raise SourceError(
            f"{where}: the file is empty; expected at least a header line. "
            "Deliver it again, or remove it."
        )
    try:
        return _with_names(config, where, first)
    except SourceError as error:
        head = None
        if isinstance(error, MissingColumnError) or skip is None:
            head = _search(config, where, cut, start, delimiters, all_lines=skip is None)
        if head is None:
            raise _explained(config, where, cut, first, error) from None
    words = []
    if head.delimiter != delimiters[0]:
        words.append(f"`delimiter: {_quoted(head.delimiter)}`")
    if head.skip > first.skip:
        words.append(f"`skip_lines: {head.skip}`")
    warning = (
        f"{where}: the columns were found on line {head.skip + 1}, separated by "
        f"{SEPARATORS.get(head.delimiter, head.delimiter)}. Say so with {' and '.join(words)}"
    )
    return replace(head, warnings=(*head.warnings, warning))


def _quoted(delimiter: str) -> str:
    """A separator as it is written in YAML."""
    return '"\\t"' if delimiter == "\t" else f'"{delimiter}"'


def _next_head(
    config: SourceConfig, where: str, cut: Cut, start: int, delimiter: str
) -> Head | None:
    """The header that begins at a line, after blank lines and comments."""
    comment = config.options.get("comment")
    rows: list[list[str]] = []
    at = skip = start
    while len(rows) < config.options.get("header_rows", 1):
        try:
            row = cut(at, delimiter)
        except csv.Error as error:
            raise SourceError(
                f"{where}, line {at + 1}: {error}. Correct the line in the source."
            ) from error
        if row is None:
            return None
        fields, lines = row
        skip = at
        at += lines
        blank = not any(field.strip() for field in fields)
        if not (blank or (comment and fields[0].startswith(comment))):
            rows.append(fields)
    return Head(tuple(_joined(rows)), skip, at, delimiter)


def _joined(rows: list[list[str]]) -> list[str]:
    """Names of several header rows; an empty field of an upper row continues the one before."""
    *upper, names = rows
    for row in reversed(upper):
        filled, last = [], ""
        for field in row:
            last = field.strip() or last
            filled.append(last)
        filled += [last] * (len(names) - len(filled))
        names = [
            f"{above} {name.strip()}".strip() for above, name in zip(filled, names, strict=False)
        ]
    return names


def _with_names(config: SourceConfig, where: str, head: Head) -> Head:
    """The head with a unique name for every column; only columns that are not read are renamed.

    Raises:
        SourceError: a column that is needed is missing, or appears twice.
    """
    place = f"{where}, line {head.skip + 1}"
    read = {fold_name(name) for name in (*config.source_names.values(), *config.inputs)}
    names: list[str] = []
    taken = {fold_name(name) for name in head.names}
    seen: set[str] = set()
    given: set[str] = set()
    warnings = []
    for position, name in enumerate(head.names, 1):
        fold = fold_name(name)
        unnamed, again = not fold, fold in seen and fold not in read
        seen.add(fold)
        if unnamed or again:
            stem = f"column {position}" if unnamed else name.strip()
            why = "has no name" if unnamed else "appears twice in the header"
            warnings.append(f"column {position if unnamed else repr(stem)} {why}; not read")
            name = stem
            for number in count(1 if unnamed else 2):
                name = stem if number == 1 else f"{stem} ({number})"
                if fold_name(name) not in taken:
                    break
            taken.add(fold_name(name))
            given.add(name)
        names.append(name)
    mapped_columns(config, names, place)
    return replace(head, names=tuple(names), given=frozenset(given), warnings=tuple(warnings))


def _search(
    config: SourceConfig,
    where: str,
    cut: Cut,
    start: int,
    delimiters: Sequence[str],
    *,
    all_lines: bool,
) -> Head | None:
    """The first line with all columns; None where no separator gives one, or several do."""
    heads = []
    for delimiter in delimiters:
        fullest = 0
        for at in range(start, SEARCHED_LINES if all_lines else start + 1):
            try:
                head = _next_head(config, where, cut, at, delimiter)
                row = cut(at, delimiter)
            except (SourceError, csv.Error):
                continue
            if head is None or row is None:
                break
            try:
                named = _with_names(config, where, head)
            except SourceError:
                fullest = max(fullest, sum(bool(field.strip()) for field in row[0]))
                continue
            # The lines before a header must not be rows.
            if fullest <= len(head.names) / 2 or at == start:
                heads.append(named)
            break
    return heads[0] if len(heads) == 1 else None


def _explained(
    config: SourceConfig, where: str, cut: Cut, first: Head, error: SourceError
) -> SourceError:
    """The error; or one that names the separator which would cut a header of one column."""
    if len(first.names) > 1 or not isinstance(error, MissingColumnError):
        return error
    others = [mark for mark in SEPARATORS if mark != first.delimiter and mark in first.names[0]]
    if len(others) != 1:
        return error
    names = (cut(first.skip, others[0]) or ([], 0))[0]
    return MissingColumnError(
        f"{where}: the header is one column with {SEPARATORS[others[0]]} in it. Declare "
        f"`delimiter: {_quoted(others[0])}` of {config.source} in the source configuration. "
        "Columns then: "
        f"{', '.join(name.strip() for name in names)}.",
        names,
    )


def is_totals(config: SourceConfig, names: Sequence[str], fields: Sequence[str]) -> bool:
    """Whether a line has totals: its first text says so, and a needed column is empty."""
    text = next((field for field in fields if field.strip()), "")
    if not TOTALS.match(text):
        return False
    if len(fields) != len(names):
        return True
    values = dict(zip(map(fold_name, names), fields, strict=True))
    needed = (config.columns.get(name, name) for name in config.needed)
    return any(not values.get(fold_name(name), "").strip() for name in needed)
