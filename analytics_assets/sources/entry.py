"""A value of the source configuration, and where in the file it is.

Belongs here: reading YAML nodes so that every error names its line. Does not belong here: which
words there are (`config_file`, and the readers of formats).
"""

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from analytics_assets.sources.config import SourceConfigError


@dataclass
class Entry:
    """A value of the file, and where it stands."""

    file: Path
    words: str
    node: yaml.Node

    def error(self, message: str) -> SourceConfigError:
        """An error that names file, line and words."""
        place = f"{self.file}, line {self.node.start_mark.line + 1}"
        return SourceConfigError(
            f"{place}: {self.words}: {message}" if self.words else f"{place}: {message}"
        )

    def mapping(self, known: Collection[str] | None = None) -> list[str]:
        """The words of a mapping, each of them known and there once."""
        if not isinstance(self.node, yaml.MappingNode):
            expected = f" with {', '.join(known)}" if known else ""
            raise self.error(f"expected a mapping{expected}.")
        words: list[str] = []
        for key, _ in self.node.value:
            entry = Entry(self.file, self.words, key)
            if key.value in words:
                raise entry.error(f"{key.value!r} stands twice.")
            if known is not None:
                entry.one_of(key.value, known, "is no word of this place.")
            words.append(key.value)
        return words

    def one_of(self, word: Any, known: Collection[str], what: str) -> str:
        """The word, where it is a known one; else an error with the nearest."""
        if word not in known:
            near = difflib.get_close_matches(str(word), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
            raise self.error(f"{word!r} {what} {hint}")
        return str(word)

    def __contains__(self, word: str) -> bool:
        return word in self.mapping()

    def __getitem__(self, word: str) -> "Entry":
        node = next(value for key, value in self.node.value if key.value == word)
        return Entry(self.file, f"{self.words}.{word}" if self.words else word, node)

    def value(self) -> Any:
        """The value as YAML reads it."""
        try:
            return yaml.SafeLoader("").construct_object(self.node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(f"no readable value: {error}") from error

    def text(self) -> str:
        """The value, where it is text: YAML reads NULL, no and 1 as something else."""
        value = self.value()
        if not isinstance(value, str) or not value:
            raise self.error(f"{value!r} is no text; put quotes around it.")
        return value

    def items(self) -> list["Entry"]:
        """The entries of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("write a list, such as ['...'].")
        return [Entry(self.file, self.words, node) for node in self.node.value]
