"""The same rows in every form that a source can have without a server."""
# ruff: noqa: DTZ001  (a sheet has no time zones)

import csv
import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_assets.sources.config import SourceConfig
from analytics_assets_tests.sources.conftest import ORDERS, Source

Row = Mapping[str, Any]


def csv_text(rows: Iterable[Row], columns: Sequence[str] = ORDERS) -> str:
    """CSV with a header; quoted where it has to be."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row[column] for column in columns] for row in rows)
    return out.getvalue()


def jsonl_text(rows: Iterable[Row], columns: Sequence[str] = ORDERS) -> str:
    """One object a line; a column of None is left out."""
    return "".join(
        json.dumps({c: row[c] for c in columns if row[c] is not None}, ensure_ascii=False) + "\n"
        for row in rows
    )


def arrow_of(rows: Iterable[Row], columns: Sequence[str] = ORDERS) -> pa.Table:
    """An Arrow table; text where the values are."""
    rows = list(rows)
    return pa.table(
        {
            column: pa.array([row[column] for row in rows], None if rows else pa.string())
            for column in columns
        }
    )


def compressed(content: bytes, suffix: str) -> bytes:
    """What a file of that suffix holds."""
    if suffix.endswith(".gz"):
        return gzip.compress(content, mtime=0)
    if suffix.endswith(".zst"):
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, "zstd") as stream:
            stream.write(content)
        return out.getvalue().to_pybytes()
    return content


def write_table(path: Path, table: pa.Table, name: str = "orders") -> None:
    """A DuckDB file with one table, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.register("given", table)
        connection.execute(f"CREATE TABLE {name} AS FROM given")


# As Excel writes a sheet, as far as a reader looks: cells with their place and kind, and a style
# that makes a number a date.
SHEET = '<worksheet xmlns="{ns}"><sheetData>{rows}</sheetData></worksheet>'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
STYLES = (
    f'<styleSheet xmlns="{MAIN}"><cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/>'
    '<xf numFmtId="22"/></cellXfs></styleSheet>'
)


def _cell(place: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(*value.timetuple()[:3])
        days = (moment - datetime(1899, 12, 30)) / timedelta(days=1)
        return f'<c r="{place}" s="{2 if isinstance(value, datetime) else 1}"><v>{days!r}</v></c>'
    if isinstance(value, int | float | Decimal):
        return f'<c r="{place}"><v>{value}</v></c>'
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def workbook(hidden: Sequence[str] = (), **sheets: Sequence[Sequence[Any]]) -> bytes:
    """An Excel workbook of these sheets."""

    def rows(sheet: Sequence[Sequence[Any]]) -> str:
        return "".join(
            f'<row r="{number}">'
            + "".join(_cell(f"{chr(65 + at)}{number}", value) for at, value in enumerate(row))
            + "</row>"
            for number, row in enumerate(sheet, 1)
        )

    listed = "".join(
        f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"'
        + (' state="hidden"/>' if name in hidden else "/>")
        for n, name in enumerate(sheets, 1)
    )
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(sheets) + 1)
    )
    styles = f'<Relationship Id="rId0" Type="{OFFICE}/styles" Target="styles.xml"/>'
    root = f'<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}">{root}</Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">{styles}{links}'
        "</Relationships>",
        "xl/styles.xml": STYLES,
    }
    for number, sheet in enumerate(sheets.values(), 1):
        parts[f"xl/worksheets/sheet{number}.xml"] = SHEET.format(ns=MAIN, rows=rows(sheet))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def write_sqlite(path: Path, table: pa.Table, name: str = "orders") -> None:
    """A SQLite file with one table, in place of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listed = ", ".join(f'"{column}"' for column in table.column_names)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE {name} ({listed})")
        marks = ", ".join("?" * table.num_columns)
        rows = zip(*table.to_pydict().values(), strict=True)
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)


@dataclass(frozen=True)
class Form:
    """A way in which rows can lie somewhere.

    Attributes:
        path: where, below the source's folder.
        words: what the configuration says besides.
        hive: column whose values are folders.
    """

    path: str
    words: Mapping[str, Any]
    hive: str | None = None

    @property
    def format(self) -> str:
        return self.words["format"]

    @property
    def is_text(self) -> bool:
        return self.format in ("csv", "jsonl", "json")

    def config(self, source: Source, **words: Any) -> SourceConfig:
        return source.config(self.path, **{**self.words, **words})

    def put(self, source: Source, content: bytes | str) -> None:
        """A text file of that content, compressed as the form is."""
        content = content.encode() if isinstance(content, str) else content
        source.write(self.path, compressed(content, self.path))

    def text(self, rows: Iterable[Row], columns: Sequence[str] = ORDERS) -> str:
        text = (csv_text if self.format == "csv" else jsonl_text)(rows, columns)
        return f"[\n{','.join(text.splitlines())}\n]" if self.format == "json" else text

    def write(
        self, source: Source, rows: Iterable[Row], columns: Sequence[str] = ORDERS, **words: Any
    ) -> SourceConfig:
        """The rows, and the configuration that reads them."""
        if self.is_text:
            self.put(source, self.text(rows, columns))
        else:
            self.write_arrow(source, arrow_of(rows, columns))
        return self.config(source, **words)

    def write_arrow(self, source: Source, table: pa.Table) -> None:
        """Typed columns."""
        path = source.folder / "in" / self.path
        if self.format == "duckdb":
            write_table(path, table)
        elif self.format == "sqlite":
            write_sqlite(path, table)
        elif self.format == "excel":
            columns = table.to_pydict()
            cells = [list(columns), *zip(*columns.values(), strict=True)]
            source.write(self.path, workbook(Orders=cells))
        elif self.hive:
            folder = source.folder / "in" / self.path.split("/")[0]
            pq.write_to_dataset(
                table,
                folder,
                partition_cols=[self.hive],
                basename_template="part-{i}.parquet",
                existing_data_behavior="delete_matching",
                use_threads=False,
            )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)


FORMS = {
    "csv": Form("orders.csv", {"format": "csv"}),
    "csv.gz": Form("orders.csv.gz", {"format": "csv"}),
    "csv.zst": Form("orders.csv.zst", {"format": "csv"}),
    "jsonl": Form("orders.jsonl", {"format": "jsonl"}),
    "jsonl.gz": Form("orders.jsonl.gz", {"format": "jsonl"}),
    "json": Form("orders.json", {"format": "json"}),
    "excel": Form("orders.xlsx", {"format": "excel"}),
    "parquet": Form("orders.parquet", {"format": "parquet"}),
    "hive": Form("orders/**/*.parquet", {"format": "parquet"}, "country"),
    "duckdb": Form("shop.duckdb", {"format": "duckdb", "table": "orders"}),
    "sqlite": Form("shop.sqlite", {"format": "sqlite", "table": "orders"}),
    "query": Form("shop.duckdb", {"format": "duckdb", "query": "SELECT * FROM orders"}),
}
CSV = ("csv", "csv.gz", "csv.zst")
TEXT = (*CSV, "jsonl")
ALL = (*TEXT, "parquet", "duckdb")
