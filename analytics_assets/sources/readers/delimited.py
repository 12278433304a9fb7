"""CSV: DuckDB reads flawless files; others are split row by row first.

Belongs here: the counts that prove that no row was lost, and the separation of malformed rows. Does
not belong here: compression, encoding, places (`files`), the header (`head`), types (`typed`).
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.entry import Entry
from analytics_assets.sources.readers.base import Malformed, Scan, fold_name
from analytics_assets.sources.readers.files import (
    FileReader,
    LocalFile,
)
from analytics_assets.sources.readers.head import (
    HEAD_WORDS,
    SEPARATORS,
    TOTALS_REASON,
    Head,
    TextLines,
    find_head,
    is_totals,
)
from analytics_assets.sources.readers.records import (
    MAX_RECORD,
    Record,
    blank_next_to_quote,
    contains,
    halving,
    may_end_in_delimiter,
    records_of,
)
from analytics_assets.sources.readers.text_facts import not_utf8, text_facts
from analytics_assets.sources.readers.unread import unknown_columns, unread

LOAD_NUMBERS = ("_load_row", "_load_line")
TAIL = 1 << 14  # bytes at the end of a file that are searched for totals


@dataclass(frozen=True)
class Checked:
    """A file after the check of its form.

    Attributes:
        file: the file.
        path: its well-formed rows: the file itself, or a copy that numbers them.
        head: its columns, and where its rows begin.
        rows: number of all its rows, the malformed ones included.
        malformed: rows that are not in the copy.
        numbered: whether it is a copy.
        left_out: number of rows that `skip_last` leaves out.
    """

    file: LocalFile
    path: Path
    head: Head
    rows: int
    malformed: tuple[Malformed, ...] = ()
    numbered: bool = False
    left_out: int = 0


class DelimitedReader(FileReader):
    """CSV files with a header, plain or compressed.

    DuckDB is fast, but it refuses a file with a malformed row as a whole, and loses rows to a stray
    quote silently. So each file is counted twice: its line ends, and the rows that DuckDB reads.
    Where the counts differ or DuckDB refuses the file, its rows are separated one by one: the
    well-formed ones go into a copy, the others are kept as text. In a trusted scan the load makes
    the second count.
    """

    format = kind = "csv"
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".tab", ".txt")
    words = (*FileReader.words, "delimiter", "encoding")
    own_words = {**HEAD_WORDS, "member": Entry.text}

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The rows of all files, united by the names of their columns."""
        heads = self.same_spelling([self._head(file) for file in files])
        return self.assembled(self._checked(files, heads, scratch, careful), {}, careful)

    @staticmethod
    def same_spelling(heads: Iterable[Head]) -> list[Head]:
        """The heads with each name in the spelling of the first file that has it."""
        names: dict[str, str] = {}
        return [
            replace(
                head,
                names=tuple(names.setdefault(fold_name(name), name.strip()) for name in head.names),
            )
            for head in heads
        ]

    def assembled(
        self, checked: Sequence[Checked], types: Mapping[str, str], careful: bool
    ) -> Scan:
        """The scan of checked files.

        Args:
            checked: the files.
            types: DuckDB types of the columns that are not text.
            careful: whether the form was proven.
        """
        warnings: list[str] = []
        for item in checked:
            warnings += item.head.warnings
            unknown = [
                name
                for name in unknown_columns(self.config, item.head.names)
                if name not in item.head.given
            ]
            warnings += unread(self.config, unknown)
        for item in checked:
            name = item.file.source.name
            if item.left_out:
                warnings.append(f"{name}: {item.left_out} rows at the end are left out (skip_last)")
            if not item.rows:
                warnings.append(f"{name}: a header and no rows")
        names = list(dict.fromkeys(name for item in checked for name in item.head.names))
        numbered = any(item.numbered for item in checked)
        selects: list[str] = []
        first = 0
        for _, group in groupby(checked, lambda item: (_form(item.head), item.numbered)):
            alike = list(group)
            selects.append(self._select(alike, first, names, types, numbered))
            first += len(alike)
        return Scan(
            f"({' UNION ALL '.join(selects)})",
            {**dict.fromkeys(names, "VARCHAR"), **types},
            [
                item.file.source.part(rows=item.rows, lines_before=item.head.lines)
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

    def _select(
        self,
        files: list[Checked],
        first: int,
        names: list[str],
        types: Mapping[str, str],
        numbered: bool,
    ) -> str:
        """SQL of the rows of files with one header; columns of other files only are NULL."""
        head = files[0].head
        own = head.names
        if files[0].numbered:
            own += LOAD_NUMBERS
            head = replace(head, skip=0, delimiter=",")
        source = _read_csv([item.path for item in files], own, head)

        def column(name: str) -> str:
            if name not in own:
                return f"NULL::{types.get(name, 'VARCHAR')} AS {identifier(name)}"
            if name in types:
                return f"nullif({identifier(name)}, '')::{types[name]} AS {identifier(name)}"
            return identifier(name)

        listed = [column(name) for name in names]
        if numbered:
            listed += [
                f"{name if name in own else 'NULL'}::BIGINT AS {name}" for name in LOAD_NUMBERS
            ]
        return f"SELECT {', '.join(listed)}, file_index + {first} AS _load_part FROM {source}"

    def _checked(
        self, files: Sequence[LocalFile], heads: Sequence[Head], scratch: Path, careful: bool
    ) -> list[Checked]:
        """The files; those that DuckDB would not read row by row are replaced by copies."""
        counted: dict[Path, int | None] = {}
        order = zip(files, heads, strict=True) if careful else ()
        for _, group in groupby(order, lambda pair: _form(pair[1])):
            alike = list(group)
            counted.update(_counted(alike[0][1], [file.path for file, _ in alike]))
        checked = []
        for number, (file, head) in enumerate(zip(files, heads, strict=True)):
            facts = text_facts(file.path, head.delimiter)
            rows = facts.lines - head.lines
            # DuckDB drops surplus empty fields of a row; they show as surplus delimiters.
            cuts = facts.lines * (len(head.names) - 1)
            flawless = facts.marks == cuts or not may_end_in_delimiter(file.path, head.delimiter)
            # DuckDB ignores blanks between a delimiter and a quote: such files get our parser only.
            padded = facts.quote and blank_next_to_quote(file.path, head.delimiter)
            plain = flawless and not (facts.nul or padded or self._has_more_than_rows(file, head))
            if rows == counted.get(file.path, rows) and plain:
                checked.append(Checked(file, file.path, head, rows))
            else:
                copy = scratch / f"separated-{number}.csv"
                checked.append(self._separated(file, head, copy, padded))
        return checked

    def _has_more_than_rows(self, file: LocalFile, head: Head) -> bool:
        """Whether there are lines after the header that are no rows: comments, totals."""
        comment = self.config.options.get("comment")
        if self.config.options.get("skip_last"):
            return True
        if comment and contains(file.path, rb"[\r\n]" + re.escape(comment.encode())):
            return True
        with file.path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL))
            lines = stream.read().decode(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "")
        try:
            fields = next(csv.reader([last], delimiter=head.delimiter), [])
        except csv.Error:
            return False
        return is_totals(self.config, head.names, fields)

    def _head(self, file: LocalFile) -> Head:
        """The columns of a file, and the lines before its rows."""
        if self.config.delimiter is not None:
            delimiters = [self.config.delimiter]
        else:
            name = re.sub(r"\.(gz|zst|bz2|zip)$", "", file.source.name.lower())
            usual = "\t" if name.endswith((".tsv", ".tab")) else ","
            delimiters = list(dict.fromkeys([usual, *SEPARATORS]))
        with file.path.open(encoding="utf-8-sig", newline="") as stream:
            lines = TextLines(stream)
            try:
                return find_head(
                    self.config, file.source.name, lines.cut, lines.line(0), delimiters
                )
            except UnicodeDecodeError as error:
                raise not_utf8(self.config.source, file) from error

    def _separated(self, file: LocalFile, head: Head, copy: Path, padded: bool) -> Checked:
        """Split a file row by row: write well-formed rows into a copy, and keep the others."""
        comment = self.config.options.get("comment")
        try:
            with file.path.open(encoding="utf-8-sig", newline="") as stream:
                for _ in range(head.lines):
                    stream.readline()
                records = records_of(stream, head.delimiter, head.lines + 1, padded, comment)
                return self.written(file, head, records, copy)
        except UnicodeDecodeError as error:
            raise not_utf8(self.config.source, file) from error

    def written(
        self, file: LocalFile, head: Head, records: Iterable[Record], copy: Path
    ) -> Checked:
        """Write well-formed records into a copy that numbers them."""
        malformed: list[Malformed] = []
        row = 0
        last: deque[Record] = deque()
        skip_last = self.config.options.get("skip_last", 0)
        with copy.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow([*head.names, *LOAD_NUMBERS])
            for record in records:
                if not record[1] and record[3] is None:
                    continue  # a blank line
                last.append(record)
                if len(last) <= skip_last:
                    continue
                line, fields, text, reason = last.popleft()
                row += 1
                if is_totals(self.config, head.names, fields):
                    reason = TOTALS_REASON
                if reason is None and len(fields) != len(head.names):
                    few = "few" if len(fields) < len(head.names) else "many"
                    reason = f"too {few} fields: {len(fields)} for {len(head.names)} columns"
                if reason is None:
                    writer.writerow([*fields, row, line])
                else:
                    malformed.append(Malformed(0, row, line, reason, text))
        return Checked(file, copy, head, row, tuple(malformed), True, len(last))


def _form(head: Head) -> tuple[tuple[str, ...], int, str]:
    """The properties on which DuckDB's options for the file depend."""
    return head.names, head.skip, head.delimiter


def _read_csv(paths: Sequence[Path], names: Sequence[str], head: Head) -> str:
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv([{', '.join(literal(str(path)) for path in paths)}], "
        f"columns = {{{columns}}}, header = true, auto_detect = false, strict_mode = true, "
        f"delim = {literal(head.delimiter)}, quote = '\"', escape = '\"', "
        f"comment = '', skip = {head.skip}, max_line_size = {MAX_RECORD})"
    )


def _counted(head: Head, paths: Sequence[Path]) -> dict[Path, int | None]:
    with duckdb.connect() as probe:
        return halving(
            lambda some: dict(
                probe.execute(
                    "SELECT file_index, count(*) "
                    f"FROM {_read_csv(some, head.names, head)} GROUP BY 1"
                ).fetchall()
            ),
            paths,
        )
