"""Records of a CSV, split one by one, and patterns in its bytes.

Belongs here: splitting text into fields, with a reason for each record that cannot be split,
patterns of bytes, and which files DuckDB refuses. Does not belong here: when a file is split so
(`delimited`), its header (`head`).
"""

import csv
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import duckdb

from analytics_assets.sources.readers.files import CHUNK

MAX_RECORD = 1_000_000  # bytes; DuckDB reads lines up to a set length, and so do we

Record = tuple[int, list[str], str, str | None]
"""Line, fields, text, and the reason if it is malformed."""


def records_of(
    stream: TextIO,
    delimiter: str,
    number: int = 1,
    padded: bool = False,
    comment: str | None = None,
) -> Iterator[Record]:
    """Records of a CSV.

    If a quote is not closed or in the wrong place, only the line on which the record began is
    malformed: reading goes on with the next line, so a stray quote swallows no rows.

    Args:
        stream: the text, before the line of the given number.
        delimiter: what separates fields.
        number: number of the next line.
        padded: whether blanks before a field are no part of it.
        comment: lines that begin with this are no records.
    """
    csv.field_size_limit(sys.maxsize)
    pending: list[str] = []  # lines to read again, last first
    taken: list[str] = []
    size = 0

    def supply() -> Iterator[str]:
        nonlocal size
        while True:
            line = pending.pop() if pending else stream.readline()
            if not line:
                return
            taken.append(line)
            size += len(line)
            if size > MAX_RECORD:
                raise _TooLongError
            yield line

    while True:
        if comment:
            begin = pending.pop() if pending else stream.readline()
            if begin.startswith(comment):
                number += 1
                continue
            if begin:
                pending.append(begin)
        taken.clear()
        size = 0
        reason = None
        fields: list[str] = []
        try:
            fields = next(
                csv.reader(supply(), delimiter=delimiter, skipinitialspace=padded, strict=True)
            )
        except StopIteration:
            return
        except _TooLongError:
            reason = f"longer than {MAX_RECORD:,} characters, or a quote that is not closed"
        except csv.Error as error:
            reason = f"malformed: {error}"
        if reason is not None:
            pending.extend(reversed(taken[1:]))
            del taken[1:]
        elif any("\0" in field for field in fields):
            reason = "a NUL byte"
        yield number, fields, "".join(taken).rstrip("\r\n"), reason
        number += len(taken)


def may_end_in_delimiter(path: Path, delimiter: str) -> bool:
    """Whether a line ends in an empty field, quoted or not."""
    return contains(path, re.escape(delimiter.encode()) + rb'(?:"")?[\r\n]')


def blank_next_to_quote(path: Path, delimiter: str) -> bool:
    """Whether a quoted field may have blanks before or after it."""
    end = rb"[\r\n" + re.escape(delimiter.encode()) + b"]"
    return contains(path, end + rb' +"|" +' + end, hints=(b' "', b'" '))


def contains(path: Path, pattern: bytes, hints: Sequence[bytes] = (b"",)) -> bool:
    """Whether a pattern of a few bytes is in a file; its last line counts as ended.

    Args:
        path: the file.
        pattern: a regular expression.
        hints: for speed, only pieces of the file with one of these are searched.
    """
    wanted = re.compile(pattern)
    last = b""
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK):
            piece = last + chunk
            if any(hint in piece for hint in hints) and wanted.search(piece):
                return True
            last = chunk[-64:]
    return wanted.search(last + b"\n") is not None


class _TooLongError(Exception):
    """A record is longer than a record may be."""


def halving(
    count: Callable[[Sequence[Path]], dict[int, int]], paths: Sequence[Path]
) -> dict[Path, int | None]:
    """Rows that DuckDB finds in each file; None where it refuses the file.

    Halving finds a few malformed files among many in few reads.

    Args:
        count: rows by index of the path; raises what DuckDB raises.
        paths: the files.
    """
    try:
        found = count(paths)
    except duckdb.Error:
        if len(paths) == 1:
            return {paths[0]: None}
        middle = len(paths) // 2
        return {**halving(count, paths[:middle]), **halving(count, paths[middle:])}
    return {path: found.get(index, 0) for index, path in enumerate(paths)}
