"""Tables as Markdown, the way the UI shows them."""

from collections.abc import Iterable
from typing import Any

from dagster import MetadataValue


def markdown_table(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> MetadataValue:
    """A table as the UI shows it; missing values are blank."""
    names = list(names)
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        cells = ("" if cell is None else _cell(cell) for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return MetadataValue.md("\n".join(lines))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if type(value) is int else str(value)
