"""Excel workbooks: one sheet, its cells as text and its dates as dates.

Belongs here: choosing the sheet, and converting its cells. Does not belong here: the header
(`head`), the rows (`delimited`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.sources.entry import Entry
from analytics_assets.sources.readers.archives import require_workbook
from analytics_assets.sources.readers.base import Scan, SourceError
from analytics_assets.sources.readers.delimited import Checked, DelimitedReader
from analytics_assets.sources.readers.files import FileReader, LocalFile
from analytics_assets.sources.readers.head import HEAD_WORDS, find_head
from analytics_assets.sources.readers.records import MAX_RECORD, Record

DIGITS = 15  # that Excel stores and shows of a number; further ones are rounding errors


@dataclass
class _CellKinds:
    """The kinds of cells in a column.

    Attributes:
        days: whether there is a date without a time of day.
        times: whether there is a date with a time of day.
        others: whether there is anything else.
    """

    days: bool = False
    times: bool = False
    others: bool = False

    @property
    def type(self) -> str:
        """DuckDB's type of the column."""
        if self.others or not (self.days or self.times):
            return "VARCHAR"
        return "TIMESTAMP" if self.times else "DATE"


@dataclass
class _Sheet:
    """The cells of a sheet."""

    rows: list[list[Any]]
    decimal: str

    def cut(self, index: int, _: str) -> tuple[list[str], int] | None:
        """A row as text."""
        if index >= len(self.rows):
            return None
        return [_text(cell, self.decimal) for cell in self.rows[index]], 1

    def records(self, first: int) -> Iterator[Record]:
        """The rows from a given one on; a row without cells has no fields."""
        for number, row in enumerate(self.rows[first:], first + 1):
            fields = [_text(cell, self.decimal) for cell in row]
            text = "\t".join(fields)
            long = len(text) > MAX_RECORD
            reason = f"longer than {MAX_RECORD:,} characters" if long else None
            yield number, fields if any(fields) else [], text, reason

    def kinds(self, first: int) -> list[_CellKinds]:
        """The kinds of cells in each column, from a given row on."""
        kinds = [_CellKinds() for _ in (self.rows[0] if self.rows else ())]
        for row in self.rows[first:]:
            for cell, kind in zip(row, kinds, strict=True):
                if isinstance(cell, datetime) and cell.time() != time():
                    kind.times = True
                elif isinstance(cell, date):
                    kind.days = True
                elif cell != "":
                    kind.others = True
        return kinds


class ExcelReader(DelimitedReader):
    """A sheet of each workbook.

    Numbers come as the text of their 15 digits, a column of dates as dates, and a date among texts
    as ISO 8601.
    """

    format = kind = "excel"
    suffixes = (".xlsx", ".xlsm")
    words = FileReader.words
    own_words = {
        **{word: read for word, read in HEAD_WORDS.items() if word != "comment"},
        "sheet": Entry.text,
    }
    text = False

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The rows of all files, united by the names of their columns."""
        sheets = [self._sheet(file) for file in files]
        heads = self.same_spelling(
            find_head(self.config, file.source.name, sheet.cut, "", [","])
            for file, sheet in zip(files, sheets, strict=True)
        )
        types: dict[str, set[str]] = {}
        checked: list[Checked] = []
        for number, (file, sheet, head) in enumerate(zip(files, sheets, heads, strict=True)):
            for name, kinds in zip(head.names, sheet.kinds(head.lines), strict=True):
                if kinds.others or kinds.days or kinds.times:
                    types.setdefault(name, set()).add(kinds.type)
            copy = scratch / f"sheet-{number}.csv"
            checked.append(self.written(file, head, sheet.records(head.lines), copy))
        # A column has one type in all files.
        date_columns = {
            name: "TIMESTAMP" if "TIMESTAMP" in in_files else "DATE"
            for name, in_files in types.items()
            if "VARCHAR" not in in_files
        }
        return self.assembled(checked, date_columns, careful)

    def _sheet(self, file: LocalFile) -> _Sheet:
        """The cells of the configured sheet, or of the only one.

        Raises:
            SourceError: the reader is not installed, the file is no workbook, or the sheet is not
                clear.
        """
        source, name = self.config.source, file.source.name
        try:
            import python_calamine as calamine
        except ImportError as error:
            raise SourceError(f"{source}: reading Excel needs analytics_assets[excel].") from error
        require_workbook(self.config, file.path, name)
        try:
            with calamine.CalamineWorkbook.from_path(str(file.path)) as book:
                wanted = self.config.options.get("sheet")
                visible = [
                    sheet.name
                    for sheet in book.sheets_metadata
                    if sheet.visible == calamine.SheetVisibleEnum.Visible
                ]
                chosen = visible if wanted is None else [n for n in book.sheet_names if n == wanted]
                if len(chosen) != 1:
                    which = f"no sheet {wanted!r}" if wanted else f"{len(visible)} sheets"
                    raise SourceError(
                        f"{source}: {name} has {which}. Write `sheet` of {source} in the source "
                        f"configuration: {', '.join(book.sheet_names)}."
                    )
                rows = book.get_sheet_by_name(chosen[0]).to_python(skip_empty_area=False)
        except (calamine.CalamineError, OSError) as error:
            raise SourceError(
                f"{source}: {name} is no whole Excel workbook ({str(error)[:200]}). Deliver it "
                "again, or save it as CSV; nothing was loaded."
            ) from error
        return _Sheet(rows, self.config.decimal)


def _text(cell: Any, decimal: str) -> str:
    """A cell as text."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | float):
        number = format(Decimal(f"{cell:.{DIGITS}g}"), "f")
        return number.replace(".", decimal)
    if isinstance(cell, datetime):
        return cell.isoformat(" ") if cell.time() != time() else cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)
