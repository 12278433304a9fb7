"""JSON objects one by one: which line has one, and the items of a list in it.

Belongs here: separating objects from what is none, and a row for each item. Does not belong here:
columns (`json_lines`), arrays (`json_array`).
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analytics_assets.sources.readers.base import Malformed
from analytics_assets.sources.readers.files import LocalFile, not_utf8

MAX_LINE = 1_000_000  # bytes
# An escape, and no backslash that is escaped itself before the letters u0000.
NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def object_of(line: str) -> dict[str, Any] | None:
    """The object on a line; None where there is none, or DuckDB would not read it alike."""
    try:
        held = json.loads(line, object_pairs_hook=_members, parse_constant=_refused)
        # Half of a surrogate pair is no text: it cannot be written again.
        json.dumps(held, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("a member stands twice")
    return held


def _refused(word: str) -> None:
    """NaN and Infinity, which Python reads and JSON has not."""
    raise ValueError(word)


def with_each_item(
    held: dict[str, Any], lines: Sequence[str]
) -> tuple[list[dict[str, Any]], str | None]:
    """An object with each item of its list in place of the list, and what is wrong with it."""
    above: Any = held
    for name in lines[:-1]:
        above = above.get(name) if isinstance(above, dict) else None
    found = above.get(lines[-1]) if isinstance(above, dict) else None
    if found is None:
        return [], None
    if not isinstance(found, list):
        return [], f"{'.'.join(lines)} is no list"
    if "Infinity" in json.dumps(held):
        return [], "a number that is too large"
    if any(not isinstance(item, dict) for item in found):
        return [], f"an item of {'.'.join(lines)} is no object"

    def with_item(level: dict[str, Any], names: Sequence[str], item: Any) -> dict[str, Any]:
        inner = with_item(level[names[0]], names[1:], item) if len(names) > 1 else item
        return {**level, names[0]: inner}

    return [with_item(held, lines, item) for item in found], None


def separated(
    source: str,
    file: LocalFile,
    copy: Path,
    lines: Sequence[str] = (),
    *,
    placed: bool = True,
) -> tuple[int, int, list[Malformed]]:
    """Lines that hold objects into a copy that numbers them, the others aside.

    Args:
        source: the source.
        file: the file.
        copy: where the copy is written.
        lines: names that lead to a list whose items are rows, instead of the objects.
        placed: whether the lines are those of the source: elements of an array have none.

    Returns:
        All rows, objects that give none, and malformed rows.
    """
    malformed: list[Malformed] = []
    row = empty = 0
    try:
        with copy.open("w", encoding="utf-8") as out:
            for number, text in _lines_in(file):
                reason = None
                held = None
                if len(text) > MAX_LINE:
                    reason = f"longer than {MAX_LINE:,} characters"
                elif "\0" in text or NUL_ESCAPE.search(text):
                    reason = "a NUL byte"
                elif (held := object_of(text)) is None:
                    reason = "not a JSON object, or one with a member twice"
                texts = [text]
                if lines and held is not None:
                    items, reason = with_each_item(held, lines)
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
