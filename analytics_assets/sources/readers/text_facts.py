"""What the bytes of a text file say before it is read: its lines, and where it is not UTF-8."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.readers.files import CHUNK, LocalFile


@dataclass(frozen=True)
class TextFacts:
    """Figures of the bytes of a text file.

    Attributes:
        lines: lines, counted by their ends: LF, or CR where there is no LF.
        marks: occurrences of the given mark.
        nul: whether there is a NUL byte.
        quote: whether there is a double quote.
    """

    lines: int
    marks: int
    nul: bool
    quote: bool


def text_facts(path: Path, mark: str = "\n") -> TextFacts:
    """Count the bytes of a text file; a fraction of the time of reading it as CSV."""
    feeds = returns = marks = 0
    nul = quote = False
    last = b""
    wanted = mark.encode()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(CHUNK):
            feeds += _count(chunk, b"\n")
            if not feeds:
                returns += _count(chunk, b"\r")
            marks += _count(chunk, wanted) if wanted != b"\n" else 0
            nul = nul or b"\0" in chunk
            quote = quote or b'"' in chunk
            last = chunk[-1:]
    lines = (feeds or returns) + (last not in (b"", b"\n", b"\r"))
    return TextFacts(lines, marks if wanted != b"\n" else feeds, nul, quote)


def _count(chunk: bytes, mark: bytes) -> int:
    """Occurrences of a mark; for one byte twice as fast as `bytes.count`."""
    if len(mark) > 1:
        return chunk.count(mark)
    return int(np.count_nonzero(np.frombuffer(chunk, np.uint8) == mark[0]))


def not_utf8(source: str, file: LocalFile) -> SourceError:
    """The error for a file that is not UTF-8, with the line."""
    with file.path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return SourceError(
                    f"{file.source.name}, line {number}: not UTF-8 ({error.reason}). Declare "
                    f"`encoding` of {source} in the source configuration (cp1252 is what Windows "
                    "writes in Western Europe and America), or deliver UTF-8."
                )
    return SourceError(f"{file.source.name}: not UTF-8. Declare `encoding` of {source}.")
