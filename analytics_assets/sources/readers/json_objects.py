"""JSON objects one by one: the object of a line, and the items of a list in it.

Belongs here: separating lines with objects from malformed ones, and a row for each item. Does not
belong here: columns (`json_lines`), arrays (`json_array`).
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analytics_assets.sources.readers.base import Malformed
from analytics_assets.sources.readers.files import LocalFile
from analytics_assets.sources.readers.text_facts import not_utf8

MAX_LINE = 1_000_000  # bytes
# The escape of NUL, but not an escaped backslash before the letters u0000.
NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def object_of(line: str) -> dict[str, Any] | None:
    """The object on a line; None where there is none, or DuckDB would read it differently."""
    try:
        value = json.loads(line, object_pairs_hook=_members, parse_constant=_refuse)
        # Half of a surrogate pair cannot be encoded.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member appears twice")
    return members


def _refuse(word: str) -> None:
    """Refuse NaN and Infinity, which Python reads although they are not JSON."""
    raise ValueError(word)


def with_each_item(
    object_: dict[str, Any], lines: Sequence[str]
) -> tuple[list[dict[str, Any]], str | None]:
    """Copies of an object, each with one item in place of its list; or the reason for none."""
    items: Any = object_
    for name in lines:
        items = items.get(name) if isinstance(items, dict) else None
    if items is None:
        return [], None
    if not isinstance(items, list):
        return [], f"{'.'.join(lines)} is no list"
    if "Infinity" in json.dumps(object_):
        return [], "a number that is too large"
    if any(not isinstance(item, dict) for item in items):
        return [], f"an item of {'.'.join(lines)} is no object"

    def with_item(level: dict[str, Any], names: Sequence[str], item: Any) -> dict[str, Any]:
        inner = with_item(level[names[0]], names[1:], item) if len(names) > 1 else item
        return {**level, names[0]: inner}

    return [with_item(object_, lines, item) for item in items], None


def separated(
    source: str,
    file: LocalFile,
    copy: Path,
    lines: Sequence[str] = (),
    *,
    placed: bool = True,
) -> tuple[int, int, list[Malformed]]:
    """Write the lines with objects into a copy that numbers them.

    Args:
        source: the source.
        file: the file.
        copy: path of the copy.
        lines: names that lead to a list whose items are the rows, instead of the objects.
        placed: whether the lines are those of the source; elements of an array have no line.

    Returns:
        Number of rows, number of objects without rows, and the malformed rows.
    """
    malformed: list[Malformed] = []
    row = empty = 0
    try:
        with copy.open("w", encoding="utf-8") as out:
            for number, text in _lines_in(file):
                reason = object_ = None
                if len(text) > MAX_LINE:
                    reason = f"longer than {MAX_LINE:,} characters"
                elif "\0" in text or NUL_ESCAPE.search(text):
                    reason = "a NUL byte"
                elif (object_ := object_of(text)) is None:
                    reason = "not a JSON object, or one with a member twice"
                texts = [text]
                if lines and object_ is not None:
                    items, reason = with_each_item(object_, lines)
                    texts = [
                        json.dumps(item, ensure_ascii=False, separators=(",", ":"))
                        for item in items
                    ]
                    empty += not texts and reason is None
                if reason is not None:
                    row += 1
                    malformed.append(Malformed(0, row, number if placed else None, reason, text))
                    continue
                for one in texts:
                    row += 1
                    out.write(f"[{row},{number if placed else 'null'},{one}]\n")
    except UnicodeDecodeError as error:
        raise not_utf8(source, file) from error
    return row, empty, malformed


def _lines_in(file: LocalFile) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    with file.path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if text := line.strip():
                yield number, text
