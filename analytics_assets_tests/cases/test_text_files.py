"""Text files as shops have them: encodings, separators, heads and tails, archives."""

import gzip
import io
import json
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourceConfig, SourceConfigError
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.load import DayLoad, LoadResult
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.sources.conftest import ORDERS, Source

HEADER = ",".join(ORDERS)
ROWS = ("A1,2024-01-04 09:00,K1,MUG,2,3.5", "A2,2024-01-05 10:00,K2,BOWL,1,7.25")
TEXT = "\n".join((HEADER, *ROWS)) + "\n"
GROSS = 14.25


def configured(source: Source, path: str, **words: Any) -> SourceConfig:
    """What a configuration file with these words says."""
    file = source.folder / "in" / "sources.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    orders = {"path": path, **words}
    file.write_text(yaml.safe_dump({"calendar": {"start": "x"}, "orders": orders}).replace(
        "start: x", "{start: 2024-01-01, end: 2024-02-01}").replace("\n  {", " {"))  # fmt: skip
    return load_sources(file).sources["orders"]


def load(
    source: Source, content: str | bytes, path: str = "orders.csv", **words: Any
) -> LoadResult:
    source.write(path, content)
    return source.load(configured(source, path, **words))


def gross(source: Source) -> float:
    (row,) = source.rows("SELECT sum(quantity * unit_price) FROM raw.raw_orders")
    return float(row[0])


def refused(source: Source, content: str | bytes, *words: str, **options: Any) -> None:
    with pytest.raises(SourceError) as caught:
        load(source, content, **options)
    for word in words:
        assert word in str(caught.value)


def places(source: Source) -> list[tuple[str, int]]:
    return source.rows("SELECT order_id, source_row FROM raw.raw_orders ORDER BY 2")


def rejected(source: Source) -> list[tuple[int, int | None, str, str]]:
    return [
        (row, line, reasons, json.loads(text).get("_text", text))
        for row, line, reasons, text in source.rows(
            "SELECT source_row, source_line, reasons, row FROM raw.rejected_rows ORDER BY 1"
        )
    ]


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "cp1252", "mac_roman",
                 "utf-8-sig", "cp037", "utf-7"]
)  # fmt: skip
def test_every_codec_of_python_is_an_encoding(source: Source, encoding: str) -> None:
    load(source, TEXT.replace("MUG", "Bol é").encode(encoding), encoding=encoding)
    assert gross(source) == GROSS
    assert source.rows("SELECT product_id FROM raw.raw_orders ORDER BY 1") == [
        ("BOWL",), ("Bol é",)]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-17", "rot13", "base64", "zlib"])
def test_what_is_no_text_encoding_is_no_encoding(source: Source, encoding: str) -> None:
    with pytest.raises(SourceConfigError, match="is no known encoding"):
        configured(source, "orders.csv", encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "word"),
    [("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be"),
     ("utf-32", "utf-32")],
)  # fmt: skip
@pytest.mark.parametrize("path", ["orders.csv", "orders.csv.gz", "orders.jsonl"])
def test_undeclared_utf_16_is_named_with_the_word_that_reads_it(
    source: Source, encoding: str, word: str, path: str
) -> None:
    text = TEXT
    if path.endswith("jsonl"):
        names = ORDERS
        text = "".join(
            json.dumps(dict(zip(names, row.split(","), strict=True))) + "\n" for row in ROWS
        )
    content = text.encode(encoding)
    content = gzip.compress(content) if path.endswith("gz") else content
    refused(source, content, f"`encoding: {word}`", path, path=path)
    load(source, content, path, encoding=word)
    assert gross(source) == GROSS


def test_excels_unicode_text_loads_as_declared(source: Source) -> None:
    content = TEXT.replace(",", "\t").encode("utf-16")
    load(source, content, "orders.txt", encoding="utf-16", delimiter="\\t")
    assert gross(source) == GROSS


@pytest.mark.parametrize("suffix", ["tsv", "tab", "tsv.gz"])
def test_tsv_is_cut_at_tabs(source: Source, suffix: str) -> None:
    text = TEXT.replace(",", "\t").encode()
    content = gzip.compress(text) if suffix.endswith("gz") else text
    assert load(source, content, f"orders.{suffix}", format="csv").warnings == ()
    assert gross(source) == GROSS


def test_a_tab_in_single_quotes_is_a_tab(source: Source) -> None:
    config = configured(source, "orders.csv", delimiter="\\t")
    assert config.delimiter == "\t"


@pytest.mark.parametrize("mark", ["\t", ";", "|"])
def test_a_separator_is_found_where_it_alone_gives_the_columns(source: Source, mark: str) -> None:
    result = load(source, TEXT.replace(",", mark), "orders.txt")
    assert gross(source) == GROSS
    shown = "\\t" if mark == "\t" else mark
    assert f'`delimiter: "{shown}"`' in result.warnings[0]
    declared = load(source, TEXT.replace(",", mark), "orders.txt", delimiter=mark)
    assert declared.warnings == ()


def test_a_header_of_one_column_names_the_delimiter_to_declare(source: Source) -> None:
    text = TEXT.replace(",", "\t").replace("order_id", "Order No.")
    refused(source, text, 'Declare `delimiter: "\\t"`', "Order No., ordered_at")
    config = configured(source, "orders.csv")
    from analytics_assets.sources.config import SourcesConfig
    from analytics_assets_tests.sources.conftest import CALENDAR

    report = check_sources(SourcesConfig(CALENDAR, {"orders": config}))[0]
    assert ("order_id", "Order No.") in report.proposal


def test_sep_line_of_excel_is_followed(source: Source) -> None:
    result = load(source, "sep=;\r\n" + TEXT.replace(",", ";").replace("\n", "\r\n"))
    assert (gross(source), result.warnings) == (GROSS, ())
    assert places(source) == [("A1", 1), ("A2", 2)]
    load(source, "sep=;\n" + TEXT.replace(",", "\t"), delimiter="\t")
    assert gross(source) == GROSS


BAD = "A3,2024-01-06 10:00,K3,CUP,x,1"
HEADS: list[tuple[str, dict[str, Any]]] = [
    ("\n\n", {}),
    (" \n,,,,,\n", {}),
    ("Report of January\n\n", {}),
    ('"All amounts in USD, unless specified"\n"Definitions:"\n', {}),
    ("Report of January,,,,,\n", {}),
    ('He said "yes\n', {}),
    ('"never closed\n', {}),
    ("two\nlines, with commas\n", {"skip_lines": 2}),
    ("order_id,a,b,c,d,e\n", {"skip_lines": 1}),
    ("# made by a program\n# of ours, for you\n", {"comment": "#"}),
    ("sep=,\n", {"skip_lines": 1}),
]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize(("before", "words"), HEADS)
def test_lines_before_the_header_are_left_out_and_counted(
    source: Source, before: str, words: dict[str, Any], careful: bool, line_end: str
) -> None:
    text = before + TEXT + BAD + "\n" + ('"A4' if careful else "")
    result = load(source, text.replace("\n", line_end), **words)
    assert gross(source) == GROSS
    assert places(source) == [("A1", 1), ("A2", 2)]
    first = before.count("\n") + 4
    found = rejected(source)
    assert (found[0][0], found[0][1]) == (3, first)
    assert json.loads(found[0][3])["order_id"] == "A3"
    if careful:
        assert (found[1][0], found[1][1], found[1][3]) == (4, first + 1, '"A4')
    searched = not words and bool(before.strip(" ,\n"))
    assert len(result.warnings) == searched
    if searched:
        assert f"`skip_lines: {before.count(chr(10))}`" in result.warnings[0]


def test_a_header_between_rows_is_no_header(source: Source) -> None:
    refused(source, "\n".join((ROWS[0], HEADER, ROWS[1])) + "\n", "looks like a row")
    refused(source, "Sheet 7\n" + "\n".join((ROWS[0], HEADER, ROWS[1])), "line 1: there is no")


def test_with_skip_lines_the_header_is_looked_for_nowhere_else(source: Source) -> None:
    refused(source, "Report\n\nmore\n" + TEXT, "line 3: there is no column", skip_lines=1)


def test_comments_between_rows_are_no_rows(source: Source) -> None:
    text = f'#a\n{HEADER}\n#"b\n{ROWS[0]}\n#c,"\n{BAD}\n{ROWS[1]}\n#d'
    result = load(source, text, comment="#")
    assert result.total == DayLoad(3, 2, 1)
    assert places(source) == [("A1", 1), ("A2", 3)]
    assert rejected(source)[0][:2] == (2, 6)


def test_two_header_rows_are_joined(source: Source) -> None:
    above = "Order,,Customer,,Item,"
    below = "id,date,id,country,sku,qty"
    text = f"{above},price\n{below},\nA1,2024-01-04,K1,DE,MUG,2,3.5\nx\n"
    columns = {"order_id": "Order id", "ordered_at": "Order date", "customer_id": "Customer id",
               "country": "Customer country", "product_id": "Item sku", "quantity": "Item qty",
               "unit_price": "price"}  # fmt: skip
    result = load(source, text, header_rows=2, columns=columns)
    assert result.total == DayLoad(2, 1, 1)
    assert source.rows("SELECT order_id, country, source_row FROM raw.raw_orders") == [
        ("A1", "DE", 1)]  # fmt: skip
    assert rejected(source)[0][:2] == (2, 4)


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_an_index_column_is_read_by_nobody(source: Source, name: str) -> None:
    text = f"{name},{HEADER}\n" + "".join(f"{n},{row}\n" for n, row in enumerate((*ROWS, BAD)))
    result = load(source, text)
    assert gross(source) == GROSS
    expected = "column 1 has no name; not read" if not name else "columns that nothing reads"
    assert any(expected in warning for warning in result.warnings)
    assert next(iter(json.loads(rejected(source)[0][3]).values())) == "2"


def test_a_column_that_nobody_reads_may_stand_twice(source: Source) -> None:
    text = f"{HEADER},Notes,notes,Notes (2)\n{ROWS[0]},a,b,c\n{BAD},d,e,f\n"
    result = load(source, text)
    assert gross(source) == 7
    assert result.warnings == (
        "column 'notes' appears twice in the header; not read",
        "columns that nothing reads: Notes, Notes (2)",
    )
    assert list(json.loads(rejected(source)[0][3]).values())[-3:] == ["d", "e", "f"]


@pytest.mark.parametrize("name", ["country", "Country"])
def test_a_column_that_is_read_may_not(source: Source, name: str) -> None:
    text = f"{HEADER},country,{name}\n{ROWS[0]},a,b\n"
    refused(source, text, "appears twice in the header. Rename or remove one")


TOTALS = ("Total,,,,3,14.25", "Grand total:,14.25", "Summe,,,,,")


@pytest.mark.parametrize("line", TOTALS)
def test_totals_at_the_end_are_rejected_with_their_reason(source: Source, line: str) -> None:
    result = load(source, f"{TEXT}{line}\n\n")
    assert result.total == DayLoad(3, 2, 1)
    assert rejected(source) == [(3, 4, "a line of totals (`skip_last` leaves it out)", line)]
    assert gross(source) == GROSS


def test_an_order_called_total_is_an_order(source: Source) -> None:
    load(source, TEXT + "Total,2024-01-06 10:00,K3,CUP,1,1\n")
    assert gross(source) == GROSS + 1


def test_skip_last_leaves_lines_out_and_says_how_many(source: Source) -> None:
    result = load(source, f"{TEXT}{BAD}\nTotal,,,,3,14.25\n\n1 of 1 pages\n", skip_last=2)
    assert result.total == DayLoad(3, 2, 1)
    assert result.warnings == ("orders.csv: 2 rows at the end are left out (skip_last)",)
    assert rejected(source)[0][:2] == (3, 4)


@pytest.mark.parametrize(
    ("words", "error"),
    [({"skip_lines": -1}, "whole number from 0"), ({"header_rows": 0}, "whole number from 1"),
     ({"skip_last": "2"}, "whole number"), ({"comment": ""}, "is no text"),
     ({"format": "parquet", "skip_lines": 1}, "means nothing for the format parquet")],
)  # fmt: skip
def test_words_of_the_head_are_checked(source: Source, words: Any, error: str) -> None:
    with pytest.raises(SourceConfigError, match=error):
        configured(source, "orders.csv", **words)


def zipped(**files: str | bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "/")), content)
    return out.getvalue()


@pytest.mark.parametrize("path", ["orders.zip", "orders.csv.zip", "Orders.ZIP"])
def test_the_one_file_of_a_zip_is_read(source: Source, path: str) -> None:
    content = zipped(**{"a__orders.csv": TEXT + BAD, "__MACOSX__a__._orders.csv": b"\0\5"})
    assert load(source, content, path).total == DayLoad(3, 2, 1)
    assert source.rows("SELECT DISTINCT source_file FROM raw.raw_orders") == [(path,)]


def test_of_several_files_the_member_is_read(source: Source) -> None:
    content = zipped(**{"orders.csv": TEXT.encode("utf-16"), "other.csv": "a\n"})
    refused(source, content, "has 2 files in it. Write `member`", "orders.csv, other.csv",
            path="x.zip")  # fmt: skip
    refused(source, content, "has no 'o.csv'", path="x.zip", member="o.csv")
    refused(source, content, "encoding: utf-16", path="x.zip", member="orders.csv")
    load(source, content, "x.zip", member="orders.csv", encoding="utf-16")
    assert gross(source) == GROSS


def test_a_broken_zip_is_named(source: Source) -> None:
    content = zipped(**{"orders.csv": TEXT * 50})
    refused(source, content[:-30], "no whole zip archive", path="x.zip")
    broken = bytearray(content)
    broken[80] ^= 255
    refused(source, bytes(broken), "no whole zip archive", path="x.zip")


def sqlite_file(folder: Path) -> bytes:
    path = folder / "made.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (a)")
    return path.read_bytes()


def test_a_file_that_is_no_text_is_named_with_the_way_out(source: Source) -> None:
    excel = zipped(**{"[Content_Types].xml": "<x/>", "xl__workbook.xml": "<x/>"})
    for content, *words in (
        (excel, "an Excel workbook", "`format: excel`"),
        (zipped(**{"o.csv": TEXT}), "a zip archive of o.csv", ".zip"),
        (sqlite_file(source.folder), "a SQLite database", "`format: sqlite`"),
        (b"PAR1" + bytes(60), "a Parquet file", "`format: parquet`"),
        (gzip.compress(TEXT.encode()), "compressed with gzip", ".gz"),
        (b"%PDF-1.7\n", "a PDF document", "CSV"),
    ):
        refused(source, content, *words)
        refused(source, content, *words, encoding="latin-1")
        refused(source, content, *words, path="orders.jsonl")
