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
    """A value of the file.

    Attributes:
        file: the file.
        keys: the keys that lead to the value, joined by dots; empty for the whole document.
        node: the value with its place in the file.
    """

    file: Path
    keys: str
    node: yaml.Node

    def error(self, message: str) -> SourceConfigError:
        """An error that names file, line and keys."""
        place = f"{self.file}, line {self.node.start_mark.line + 1}"
        return SourceConfigError(": ".join(filter(None, (place, self.keys, message))))

    def mapping(self, known: Collection[str] | None = None) -> list[str]:
        """The keys of a mapping, each of them known and unique."""
        if not isinstance(self.node, yaml.MappingNode):
            expected = f" with {', '.join(known)}" if known else ""
            raise self.error(f"expected a mapping{expected}.")
        keys: list[str] = []
        for key, _ in self.node.value:
            entry = Entry(self.file, self.keys, key)
            if key.value in keys:
                raise entry.error(f"{key.value!r} appears twice.")
            if known is not None:
                entry.one_of(key.value, known, "is not known here.")
            keys.append(key.value)
        return keys

    def one_of(self, word: Any, known: Collection[str], what: str) -> str:
        """The word if it is known; else an error that suggests the nearest."""
        if word not in known:
            near = difflib.get_close_matches(str(word), known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
            raise self.error(f"{word!r} {what} {hint}")
        return str(word)

    def __contains__(self, key: str) -> bool:
        return key in self.mapping()

    def __getitem__(self, key: str) -> "Entry":
        node = next(value for name, value in self.node.value if name.value == key)
        return Entry(self.file, f"{self.keys}.{key}" if self.keys else key, node)

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

    def flag(self) -> bool:
        """The value, where it is true or false."""
        value = self.value()
        if not isinstance(value, bool):
            raise self.error(f"{value!r} is neither true nor false.")
        return value

    def whole_number(self, least: int) -> int:
        """The value, where it is a whole number and not too small."""
        value = self.value()
        if type(value) is not int or value < least:
            raise self.error(f"{value!r} is no whole number from {least} up.")
        return value

    def items(self) -> list["Entry"]:
        """The entries of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("write a list, such as ['...'].")
        return [Entry(self.file, self.keys, node) for node in self.node.value]
