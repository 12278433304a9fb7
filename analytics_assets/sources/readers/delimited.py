"""CSV: read by DuckDB where the form of a file is flawless, row by row where it is not.

Belongs here: headers, the counts that prove that no row was lost, and the separation of malformed
rows. Does not belong here: compression, encoding, places (`files`), types (`typed`).
"""

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TextIO

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import (
    Malformed,
    Scan,
    SourceError,
    fold_name,
    halving,
    mapped_columns,
    unknown_columns,
)
from analytics_assets.sources.readers.files import (
    CHUNK,
    FileReader,
    LocalFile,
    not_utf8,
    text_facts,
)

LOAD_NUMBERS = ("_load_row", "_load_line")
MAX_RECORD = 1_000_000  # bytes; DuckDB reads lines up to a set length, and so do we


@dataclass(frozen=True)
class _Checked:
    """A file whose form is known.

    Attributes:
        file: the file.
        path: where its well-formed rows lie: the file itself, or a copy that numbers them.
        header: its columns.
        rows: all its rows, the malformed ones too.
        lines_before: lines of its header.
        malformed: rows that are not in the copy.
        numbered: whether it is a copy.
    """

    file: LocalFile
    path: Path
    header: tuple[str, ...]
    rows: int
    lines_before: int
    malformed: tuple[Malformed, ...] = ()
    numbered: bool = False


class DelimitedReader(FileReader):
    """CSV files with a header, plain or compressed.

    DuckDB is fast and says that a file has a malformed row, but not what the rows are; and of
    rows it loses to a stray quote it says nothing. So each file is counted twice: its line ends,
    and the rows that DuckDB finds. Where the counts differ or DuckDB refuses, the rows are
    separated one by one: the well-formed ones go into a copy, the others are kept as text. A scan
    that trusts leaves the second count to whoever reads the rows.
    """

    format = kind = "csv"
    suffixes = (".csv", ".tsv", ".txt")
    words = (*FileReader.words, "delimiter", "encoding")

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The rows of all files, united by the names of their columns."""
        names: dict[str, str] = {}  # as the first file spells them
        headers = []
        warnings: list[str] = []
        for file in files:
            header, lines = self._header(file)
            mapped_columns(self.config, header, f"{file.source.name}, line 1")
            unknown = unknown_columns(self.config, header)
            if unknown:
                warnings.append(f"columns that nothing reads: {', '.join(unknown)}")
            headers.append(
                (tuple(names.setdefault(fold_name(name), name.strip()) for name in header), lines)
            )
        checked = self._checked(files, headers, scratch, careful)
        warnings += [f"{item.file.source.name}: a header and no rows" for item in checked
                     if not item.rows]  # fmt: skip
        numbered = any(item.numbered for item in checked)
        selects: list[str] = []
        first = 0
        for _, group in groupby(checked, lambda item: (item.header, item.numbered)):
            held = list(group)
            selects.append(self._select(held, first, list(names.values()), numbered))
            first += len(held)
        return Scan(
            f"({' UNION ALL '.join(selects)})",
            dict.fromkeys(names.values(), "VARCHAR"),
            [
                item.file.source.part(rows=item.rows, lines_before=item.lines_before)
                for item in checked
            ],
            numbered=numbered,
            mixed=numbered and not all(item.numbered for item in checked),
            malformed=[
                replace(row, part=index)
                for index, item in enumerate(checked)
                for row in item.malformed
            ],
            warnings=list(dict.fromkeys(warnings)),
            may_hold_nul=False,
            trusted=not careful,
        )

    def _select(self, files: list[_Checked], first: int, names: list[str], numbered: bool) -> str:
        """Rows of files that have one header; columns that only others have come as NULL."""
        held: tuple[str, ...] = files[0].header
        if files[0].numbered:
            held += LOAD_NUMBERS
        source = self._read_csv(
            [item.path for item in files], held, "," if files[0].numbered else None
        )
        listed = [
            identifier(name) if name in held else f"NULL::VARCHAR AS {identifier(name)}"
            for name in names
        ]
        if numbered:
            listed += [
                f"{name if name in held else 'NULL'}::BIGINT AS {name}" for name in LOAD_NUMBERS
            ]
        return f"SELECT {', '.join(listed)}, file_index + {first} AS _load_part FROM {source}"

    def _read_csv(
        self, paths: Sequence[Path], names: Sequence[str], delimiter: str | None = None
    ) -> str:
        columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
        return (
            f"read_csv([{', '.join(literal(str(path)) for path in paths)}], "
            f"columns = {{{columns}}}, header = true, auto_detect = false, strict_mode = true, "
            f"delim = {literal(delimiter or self.config.delimiter)}, quote = '\"', escape = '\"', "
            f"comment = '', skip = 0, max_line_size = {MAX_RECORD})"
        )

    def _checked(
        self,
        files: Sequence[LocalFile],
        headers: Sequence[tuple[tuple[str, ...], int]],
        scratch: Path,
        careful: bool,
    ) -> list[_Checked]:
        """The files, those that DuckDB does not read row for row replaced by copies."""
        counted: dict[Path, int | None] = {}
        order = zip(files, headers, strict=True) if careful else ()
        for (header, _), group in groupby(order, lambda pair: pair[1]):
            counted.update(self._counted(header, [file.path for file, _ in group]))
        checked = []
        for number, (file, (header, lines)) in enumerate(zip(files, headers, strict=True)):
            facts = text_facts(file.path, self.config.delimiter)
            rows = facts.lines - lines
            # DuckDB drops empty fields that a row has too many; they show as delimiters too many.
            cuts = facts.lines * (len(header) - 1)
            flawless = facts.marks == cuts or not _may_end_in_delimiter(file.path, self.config)
            # Blanks between a delimiter and a quote are for DuckDB no part of the field, on both
            # sides; a file that has them is cut by one parser alone.
            padded = facts.quote and _blank_beside_quote(file.path, self.config)
            if rows == counted.get(file.path, rows) and flawless and not (facts.nul or padded):
                checked.append(_Checked(file, file.path, header, rows, lines))
            else:
                copy = scratch / f"separated-{number}.csv"
                checked.append(self._separated(file, header, lines, copy, padded))
        return checked

    def _counted(self, header: tuple[str, ...], paths: Sequence[Path]) -> dict[Path, int | None]:
        with duckdb.connect() as probe:
            return halving(
                lambda some: dict(
                    probe.execute(
                        "SELECT file_index, count(*) "
                        f"FROM {self._read_csv(some, header)} GROUP BY 1"
                    ).fetchall()
                ),
                paths,
            )

    def _header(self, file: LocalFile) -> tuple[tuple[str, ...], int]:
        """Columns of a file, and the lines that its header takes."""
        with file.path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=self.config.delimiter, skipinitialspace=True)
            try:
                header = next(reader, [])
            except UnicodeDecodeError as error:
                raise not_utf8(self.config.source, file) from error
            except csv.Error as error:
                raise SourceError(f"{file.source.name}, line 1: {error}.") from error
        if not header or header == [""]:
            raise SourceError(
                f"{file.source.name}: the file is empty; expected at least a header line."
            )
        return tuple(header), reader.line_num

    def _separated(
        self, file: LocalFile, header: tuple[str, ...], lines: int, copy: Path, padded: bool
    ) -> _Checked:
        """Cut a file row by row: well-formed rows into a copy, the others aside."""
        malformed: list[Malformed] = []
        row = 0
        try:
            with (
                file.path.open(encoding="utf-8-sig", newline="") as stream,
                copy.open("w", encoding="utf-8", newline="") as out,
            ):
                writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
                writer.writerow([*header, *LOAD_NUMBERS])
                for line, fields, text, reason in _records(stream, self.config.delimiter, padded):
                    if line <= lines or (not fields and reason is None):
                        continue  # the header, or a blank line
                    row += 1
                    if reason is None and len(fields) != len(header):
                        few = "few" if len(fields) < len(header) else "many"
                        reason = f"too {few} fields: {len(fields)} for {len(header)} columns"
                    if reason is None:
                        writer.writerow([*fields, row, line])
                    else:
                        malformed.append(Malformed(0, row, line, reason, text))
        except UnicodeDecodeError as error:
            raise not_utf8(self.config.source, file) from error
        return _Checked(file, copy, header, row, lines, tuple(malformed), numbered=True)


def _records(
    stream: TextIO, delimiter: str, padded: bool = False
) -> Iterator[tuple[int, list[str], str, str | None]]:
    """Records of a CSV: line, fields (without the blanks before them, where the file is padded),
    text, and what is wrong with it.

    Where a quote is not closed or stands in the wrong place, only the line on which the record
    began is malformed: reading goes on with the next, so that a stray quote swallows no rows.
    """
    csv.field_size_limit(sys.maxsize)
    pending: list[str] = []  # lines that go back, last first
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

    number = 1
    while True:
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


def _may_end_in_delimiter(path: Path, config: SourceConfig) -> bool:
    """Whether a line ends in an empty field, quoted or not."""
    return _holds(path, re.escape(config.delimiter.encode()) + rb'(?:"")?[\r\n]')


def _blank_beside_quote(path: Path, config: SourceConfig) -> bool:
    """Whether a quoted field may have blanks before or behind it."""
    end = rb"[\r\n" + re.escape(config.delimiter.encode()) + b"]"
    return _holds(path, end + rb' +"|" +' + end, hints=(b' "', b'" '))


def _holds(path: Path, pattern: bytes, hints: Sequence[bytes] = (b"",)) -> bool:
    """Whether a pattern, of a few bytes, is found in a file whose last line has an end.

    Args:
        path: the file.
        pattern: a regular expression.
        hints: a piece of the file is looked at only where it holds one of these: it is faster.
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
