"""The examples of docs/extending.md: which files they change, and the change itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@dataclass(frozen=True)
class Example:
    """A block of the page.

    Attributes:
        section: the heading that it is below.
        language: of the block.
        file: the file that it changes; empty for commands and configurations.
        text: the block, without the name of the file.
    """

    section: str
    language: str
    file: str
    text: str

    def apply(self, root: Path) -> None:
        """Change the file below a folder, or write a new one."""
        path = root / self.file
        if self.language != "diff":
            before = f"{path.read_text(encoding='utf-8')}\n\n" if path.exists() else ""
            path.write_text(before + self.text, encoding="utf-8")
            return
        changed = path.read_text(encoding="utf-8")
        for part in self.text.split("@@\n"):
            old, new = (
                "".join(line[1:] for line in part.splitlines(keepends=True) if line[0] in marks)
                for marks in (" -", " +")
            )
            assert changed.count(old) == 1, f"{self.file} has other lines than {PAGE.name}:\n{old}"
            changed = changed.replace(old, new)
        path.write_text(changed, encoding="utf-8")


def examples() -> Iterator[Example]:
    """All blocks of the page, in order."""
    text = PAGE.read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        for block in re.finditer(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            named = re.match(r"(?:#|--|---) ([\w./-]+/[\w./-]+)\n", block[2])
            rest = block[2][named.end() :] if named else block[2]
            yield Example(title, block[1], named[1] if named else "", rest)


def example(file: str, section: str) -> Example:
    """The block of a section that changes a file."""
    (found,) = (e for e in examples() if (e.file, e.section) == (file, section))
    return found


def namespace(*parts: Example, **given: Any) -> dict[str, Any]:
    """What Python has after it has run examples, one after the other."""
    for part in parts:
        exec(part.text, given)
    return given


def only(section: str, language: str) -> str:
    """The text of the one block of a language in a section."""
    (found,) = (e.text for e in examples() if (e.language, e.section) == (language, section))
    return found
