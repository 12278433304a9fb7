"""Files of an export as tables of text, and the words that read them.

Belongs here: encoding, separator, where the header is and what is behind the rows; which files are
one table. Does not belong here: what their columns mean (`draft`), what their values look like
(`forms`).
"""

import bz2
import codecs
import gzip
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from analytics_assets.partitions import Calendar
from analytics_assets.quoting import identifier
from analytics_assets.sources.readers.archives import BYTE_ORDER_MARKS
from analytics_assets.sources.readers.base import SourceError, fold_name
from analytics_assets.sources.readers.delimited import DelimitedReader
from analytics_assets.sources.readers.files import FileReader
from analytics_assets.sources.readers.head import (
    HEAD_WORDS,
    SEARCHED_LINES,
    SEP_LINE,
    SEPARATORS,
    TextLines,
)
from analytics_assets.sources.readers.joined import InputConfig, JoinedReader
from analytics_assets.sources.systems import SYSTEMS, System, system_of
from analytics_assets.sources.systems.base import Word, has_all

COMPRESSED = (".gz", ".zst", ".bz2", ".zip")
# What is looked at of a file to find its encoding, and of all of them for their values.
MAX_BYTES = 1 << 26
MAX_ROWS = 500_000
ALL_DAYS = Calendar(date(1970, 1, 1))


@dataclass(frozen=True)
class Table:
    """Files of one header.

    Attributes:
        name: of the table in the connection: its columns are the files', and `_file`.
        paths: the files.
        columns: their columns.
        words: words that read them.
        system: the system that wrote them; None of an unknown one.
        cut: whether there are more rows than were looked at.
    """

    name: str
    paths: tuple[Path, ...]
    columns: tuple[str, ...]
    words: tuple[Word, ...]
    system: System | None
    cut: bool = False


def tables_of(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path]) -> list[Table]:
    """The files as tables, those of one header together.

    Raises:
        SourceError: a file cannot be read, or files of one header need different words.
    """
    tables: list[Table] = []
    for path in paths:
        table = _read(connection, path, f"table_{len(tables)}")
        same = {fold_name(name) for name in table.columns}
        for index, other in enumerate(tables):
            if same == {fold_name(name) for name in other.columns}:
                if other.words != table.words:
                    raise SourceError(
                        f"{other.paths[0].name} and {path.name} have one header, but need "
                        f"different words: {_said(other)}, and {_said(table)}. Export them in "
                        "one form."
                    )
                connection.execute(
                    f"INSERT INTO {other.name} BY NAME "
                    f"SELECT * REPLACE ({len(other.paths)} AS _file) FROM {table.name}"
                )
                connection.execute(f"DROP TABLE {table.name}")
                cut = other.cut or table.cut
                tables[index] = replace(other, paths=(*other.paths, path), cut=cut)
                break
        else:
            tables.append(table)
    return tables


def _said(table: Table) -> str:
    return ", ".join(f"{word.name}: {word.value!r}" for word in table.words) or "none"


def _read(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> Table:
    plain = Path(path.name.lower())
    if plain.suffix in COMPRESSED:
        plain = plain.with_suffix("")
    reader: type[FileReader] = JoinedReader.formats.get(plain.suffix, DelimitedReader)
    words: list[Word] = []
    if reader is DelimitedReader:
        words = list(_words_of_text(path, plain.suffix))
    given = {word.name: word.value for word in words}
    config = InputConfig(
        "orders",
        str(path.absolute()),
        reader.format,
        encoding=given.get("encoding", "utf-8"),
        delimiter=given.get("delimiter"),
        options={word: value for word, value in given.items() if word in HEAD_WORDS},
    )
    one = reader(config)
    with (
        TemporaryDirectory() as folder,
        one.scan(connection, None, ALL_DAYS, Path(folder)) as scan,
    ):
        columns = tuple(scan.types)
        listed = ", ".join(f"{identifier(column)}::VARCHAR AS {identifier(column)}"
                           for column in columns)  # fmt: skip
        connection.execute(
            f"CREATE TABLE {name} AS SELECT 0 AS _file, {listed} FROM {scan.relation} "
            f"LIMIT {MAX_ROWS}"
        )
        rows = sum(part.rows or 0 for part in scan.parts)
    return Table(name, (path,), columns, tuple(words), system_of(columns), rows > MAX_ROWS)


def _words_of_text(path: Path, suffix: str) -> Iterator[Word]:
    """Encoding, separator, and what is above and below the rows of a text file."""
    content = _content(path)
    encoding, why = _encoding(content)
    if encoding != "utf-8":
        yield Word("encoding", encoding, why)
    text = content.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    lines = TextLines(io.StringIO(text, newline=""))
    named = SEP_LINE.match(lines.line(0))
    usual = named[1] if named else "\t" if suffix in (".tsv", ".tab") else ","
    start = 1 if named else 0
    at, delimiter, names = _header(lines, start, usual)
    if delimiter != usual:
        shown = SEPARATORS.get(delimiter, delimiter)
        yield Word("delimiter", delimiter, f"the columns are separated by {shown}")
    if any(any(f.strip() for f in (lines.cut(n, delimiter) or ([],))[0]) for n in range(start, at)):
        yield Word("skip_lines", at, "lines above the header")
    system = system_of(names)
    if system is None:
        return
    yield from (word for word in system.words if word.name in HEAD_WORDS)
    if system.footer:
        last = [line for line in text.splitlines() if line.strip(" ,\t")][-20:]
        behind = [n for n, line in enumerate(last) if re.search(system.footer, line)]
        if behind:
            yield Word("skip_last", len(last) - behind[0], "lines behind the rows")


def _header(lines: TextLines, start: int, usual: str) -> tuple[int, str, list[str]]:
    """Line, separator and names of the header: of a known system, else of the most columns."""
    best: tuple[int, str, list[str]] = (start, usual, [])
    for delimiter in dict.fromkeys([usual, *SEPARATORS]):
        for at in range(start, SEARCHED_LINES):
            row = lines.cut(at, delimiter)
            if row is None:
                break
            names = [name.strip() for name in row[0]]
            if system_of(names) or any(
                has_all(names, signature)
                for system in SYSTEMS
                for signature in system.tables.values()
            ):
                return at, delimiter, names
            if sum(map(bool, names)) > sum(map(bool, best[2])):
                best = (at, delimiter, names)
    return best


def _encoding(content: bytes) -> tuple[str, str]:
    for mark, name in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return name, "the first bytes of the file say so"
    for name, odd in (("utf-16-le", 1), ("utf-16-be", 0)):
        head = content[:64]
        if len(head) >= 8 and not any(head[odd::2]) and all(head[1 - odd :: 2]):
            return name, "every other byte is empty"
    try:
        # The last bytes may be the beginning of a letter that was cut.
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8", ""
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1", "guess: look at it. It is not UTF-8; look whether letters are right"
    return "cp1252", "guess: look at it. It is not UTF-8, but what Excel writes; look at letters"


def _content(path: Path) -> bytes:
    """The first bytes of a file, uncompressed."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if not name.endswith("/")]
            if len(members) != 1:
                raise SourceError(f"{path.name} has several files in it. Unpack it, and name them.")
            with archive.open(members[0]) as stream:
                return stream.read(MAX_BYTES)
    opened = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix.lower())
    if path.suffix.lower() == ".zst":
        return b""
    with opened(path) if opened else path.open("rb") as stream:  # type: ignore[operator]
        return bytes(stream.read(MAX_BYTES))
