"""A starting configuration as YAML, each line with its reason.

Belongs here: what is written, and where. Does not belong here: what is decided (`draft`).
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.systems.base import Word
from analytics_assets.sources.systems.names import in_flow

WIDTH = 100


@dataclass(frozen=True)
class Draft:
    """What a starting configuration says.

    Attributes:
        notes: what stands at its top.
        start: the first day of the calendar.
        zone: `reporting_time_zone`, where it is known.
        paths: the files; of several tables those of each by its name.
        query: the query that joins several tables.
        reading: words that read the files.
        columns: our columns.
        words: what else the source needs.
        currencies: the codes of the amounts, where there are several.
    """

    notes: tuple[str, ...]
    start: date
    zone: Word | None
    paths: dict[str, tuple[Path, ...]]
    query: str | None
    reading: tuple[Word, ...]
    columns: tuple[Word, ...]
    words: tuple[Word, ...]
    currencies: tuple[str, ...] = ()

    def text(self, folder: Path) -> str:
        """The YAML of a file in a folder.

        Raises:
            SourceError: no path names the files of a table and no others.
        """
        lines = [line for note in self.notes for line in _comment(note, 0)]
        lines.append("calendar:")
        lines += _line(Word("start", self.start, "the month of the first order"), 2)
        if self.zone is not None:
            lines += _line(self.zone, 0)
        lines.append("orders:")
        places = {name: _place(paths, folder) for name, paths in self.paths.items()}
        if self.query is None:
            lines += _line(Word("path", places[""], ""), 2)
        else:
            lines.append("  inputs:")
            lines += [line for item in places.items() for line in _line(Word(*item, ""), 4)]
            lines.append("  query: |")
            lines += [f"    {line}" for line in self.query.splitlines()]
        for word in self.reading:
            lines += _line(word, 2)
        lines.append("  columns:  # our name: theirs")
        for word in self.columns:
            lines += _line(word, 4)
        for word in self.words:
            lines += _line(word, 2)
        return "\n".join(lines) + "\n"


def _line(word: Word, indent: int) -> list[str]:
    """A word with its reason behind it, or above it where the line would be long."""
    margin = " " * indent
    below: list[str] = []
    if isinstance(word.value, dict) and "sql" in word.value:
        # Below its name it needs fewer quotes.
        text = f"{margin}{word.name}:"
        plain = _plain(word.value)
        below = [f"{margin}  {plain}"]
        if len(below[0]) > WIDTH:
            # A folded text: its lines are joined with a blank.
            clauses = re.split(" (?=WHEN |ELSE |END$)", word.value["sql"])
            below = [f"{margin}  sql: >-"]
            below += [line for clause in clauses for line in _wrapped(clause, f"{margin}    ")]
    elif isinstance(word.value, dict) and len(word.value) > 1:
        text = f"{margin}{word.name}:"
        below = [f"{margin}  {in_flow(key)}: {in_flow(value)}" for key, value in word.value.items()]
    else:
        text = f"{margin}{word.name}: {in_flow(word.value)}"
    if not word.why:
        return [text, *below]
    beside = f"{text}  # {word.why}"
    if len(beside) <= WIDTH:
        return [beside, *below]
    return [*_comment(word.why, indent), text, *below]


def _plain(value: dict[str, Any]) -> str:
    return str(yaml.safe_dump(value, width=10_000, allow_unicode=True)).strip()


def _comment(text: str, indent: int) -> list[str]:
    """A comment, cut into lines."""
    return _wrapped(text, f"{' ' * indent}# ")


def _wrapped(text: str, margin: str) -> list[str]:
    """A text on lines that are not too long."""
    return [f"{margin}{line}" for line in wrap(text, WIDTH - len(margin), break_long_words=False)]


def _place(paths: Sequence[Path], folder: Path) -> str:
    """The path of some files: the one, or a pattern that names them all and no other."""
    files = sorted({path.absolute() for path in paths})
    if len(files) == 1:
        return Path(os.path.relpath(files[0], folder.absolute())).as_posix()
    parent = files[0].parent
    names = [file.name for file in files]
    start = _begin(names)
    end = _begin([name[len(start) :][::-1] for name in names])[::-1]
    pattern = f"{start}*{end}"
    if {file.parent for file in files} != {parent} or sorted(parent.glob(pattern)) != files:
        raise SourceError(
            f"No pattern names {names[0]} and {names[1]} and no other file. Put the exports into "
            "a folder of their own, and name them alike, such as orders_1.csv."
        )
    return Path(os.path.relpath(parent / pattern, folder.absolute())).as_posix()


def _begin(names: Sequence[str]) -> str:
    """What all names begin with."""
    alike = 0
    for letters in zip(*names, strict=False):
        if len({*letters}) > 1:
            break
        alike += 1
    return names[0][:alike]
