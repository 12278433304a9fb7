"""The contract of readers, over every reader that needs no server."""

import json
import random
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.ledger import DayLoad
from analytics_assets.sources.readers import READERS, SourceError, reader_of
from analytics_assets.sources.readers.delimited import DelimitedReader
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.sources.conftest import ORDERS, Source
from analytics_assets_tests.sources.forms import FORMS, Form, arrow_of, jsonl_text

SPAN = Window(date(2024, 1, 1), date(2024, 3, 1))  # more days than are cut row by row
CALENDAR = Calendar(SPAN.start, SPAN.end)
COLUMNS = (*ORDERS, "country", "status")
FILES = tuple(name for name, form in FORMS.items() if form.format not in ("duckdb", "sqlite"))


def over(names: Iterable[str]) -> pytest.MarkDecorator:
    """A test over forms; those that end in the code of another are slow."""
    fast = ("csv", "jsonl", "parquet", "duckdb")
    params = [
        pytest.param(FORMS[name], id=name, marks=[] if name in fast else [pytest.mark.slow])
        for name in names
    ]
    return pytest.mark.parametrize("form", params)


every_form, every_file_form = over(FORMS), over(FILES)


def order(number: int, day: date, **values: Any) -> dict[str, Any]:
    return {
        "order_id": f"O{number}",
        "ordered_at": f"{day} 10:00:00",
        "customer_id": f"C{number % 7}",
        "product_id": f"P{number % 5}",
        "quantity": str(number % 9 + 1),
        "unit_price": f"{number % 50}.25",
        "country": ("DE", "FR", "Côte d'Ivoire", "a=b/c", "50%")[number % 5],
        "status": "completed",
        **values,
    }


def rows() -> list[dict[str, Any]]:
    """Orders of all days in no order, every seventh of them with something odd."""
    rng = random.Random(11)
    odd: list[dict[str, Any]] = [
        {"quantity": "2.7"}, {"unit_price": "1,5"}, {"ordered_at": ""}, {"ordered_at": "never"},
        {"ordered_at": "2023-12-31 23:59:59"}, {"ordered_at": "2024-03-01"},
        {"customer_id": ""}, {"customer_id": ' "x",\n\ny '}, {"customer_id": "Zoë 漢 😀"},
        {"status": "lost"}, {"order_id": " "}, {"product_id": "'); DROP TABLE x; --"},
        {"ordered_at": "2024-01-09T23:30:00-05:00"}, {"unit_price": "-3", "quantity": "-1"},
    ]  # fmt: skip
    made = []
    for number in range(140):
        day = SPAN.start + timedelta(days=rng.randrange(SPAN.days))
        made.append(order(number, day, **(odd[number // 7 % len(odd)] if number % 7 == 0 else {})))
    made.append(made[1])
    return made


def loaded(source: Source) -> tuple[list[Any], list[Any], list[Any]]:
    """Accepted and rejected rows and the ledger, without where they came from."""
    raw = source.rows(
        "SELECT * EXCLUDE (source_file, source_row, loaded_at, line_key) FROM raw.raw_orders "
        "ORDER BY ALL"
    )
    rejected = source.rows("SELECT window_date, reasons, row FROM raw.rejected_rows")
    kept = [
        (day, reasons, sorted((k, v) for k, v in json.loads(row).items() if v not in (None, "")))
        for day, reasons, row in rejected
    ]
    ledger = source.rows(
        "SELECT window_date, rows_read, rows_accepted, rows_rejected FROM raw.source_loads "
        "ORDER BY ALL"
    )
    return raw, sorted(kept, key=str), ledger


def test_every_format_has_a_reader() -> None:
    assert {form.format for form in FORMS.values()} == set(READERS) - {
        "postgres",
        "mysql",
        "joined",
        "lake",  # test_lake.py: it has hours that are closed
        "http",  # test_http.py: it has versions of rows, and needs a server
        "delta",  # test_delta.py: it is a version of Parquet
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any], list[Any]]:
    """What CSV gives, and that it is what the rows say."""
    source = Source(tmp_path_factory.mktemp("expected"))
    result = source.load(FORMS["csv"].write(source, rows(), COLUMNS), SPAN, CALENDAR)
    raw, rejected, ledger = loaded(source)
    assert result.total == DayLoad(141, len(raw), len(rejected))
    assert result.reasons == {
        "ordered_at: outside the calendar": 4,
        "ordered_at: not a time in the declared format": 2,
        "ordered_at: missing": 2,
        "order_id: missing": 1,
        "quantity: a fraction; `decimal_quantity: true` accepts quantities with decimals": 2,
        "status: none of cancelled, completed, pending, returned": 1,
        "unit_price: not a number of at most 4 decimals": 2,
    }
    assert len(ledger) == SPAN.days
    return raw, rejected, ledger


@every_form
def test_the_same_rows_give_the_same_tables(
    source: Source, form: Form, expected: tuple[list[Any], list[Any], list[Any]]
) -> None:
    result = source.load(form.write(source, rows(), COLUMNS), SPAN, CALENDAR)
    assert loaded(source) == expected
    trimmed = "customer_id: white space trimmed in 1 rows; 0 identifiers then equal one that came"
    assert [text.startswith(trimmed) for text in result.warnings] == [True]


def cut(sizes: Iterable[int]) -> list[Window]:
    """Windows of these lengths, and the rest."""
    windows, at = [], SPAN.start
    for size in sizes:
        windows.append(Window(at, at + timedelta(days=size)))
        at = windows[-1].end
    return [*windows, Window(at, SPAN.end)]


@every_form
def test_windows_of_any_length_give_what_one_gives(
    source: Source, form: Form, expected: tuple[list[Any], list[Any], list[Any]]
) -> None:
    config = form.write(source, rows(), COLUMNS, max_rejected_share=1)
    source.load(config, SPAN, CALENDAR)
    whole = source.state()
    source.empty()
    for window in reversed(cut([1, 1, 5, 34])):
        source.load(config, window, CALENDAR)
    assert loaded(source) == expected
    if form.format != "duckdb":  # rows of a table have no number of their own
        assert source.state() == whole


def versions(
    source: Source, config: SourceConfig, window: Window | None = SPAN
) -> dict[date | None, str]:
    return source_versions(config, CALENDAR, window, Warehouse(source.folder / "warehouse.duckdb"))


@every_form
def test_what_was_loaded_has_the_versions_that_the_source_has(source: Source, form: Form) -> None:
    config = form.write(source, rows(), COLUMNS)
    before = versions(source, config)
    source.load(config, SPAN, CALENDAR)
    ledger = dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))
    assert ledger == before == versions(source, config)
    assert set(before) == set(SPAN)
    week = Window(date(2024, 1, 8), date(2024, 1, 15))
    source.load(config, week, CALENDAR)
    assert dict(source.rows("SELECT window_date, source_version FROM raw.source_loads")) == before
    assert versions(source, config, week) == {day: before[day] for day in week}


def put(form: Form, source: Source, lines: list[dict[str, Any]]) -> None:
    """The rows; their times typed where a database has to cut by them."""
    if form.format == "duckdb":
        times = pa.array([datetime.fromisoformat(line["ordered_at"]) for line in lines])
        table = arrow_of(lines, COLUMNS)
        form.write_arrow(source, table.set_column(1, "ordered_at", times))
    else:
        form.write(source, lines, COLUMNS)


def day(number: int) -> date:
    return date(2024, 1, number)


def test_accepted_rows_have_one_version_in_every_file_format(source: Source) -> None:
    lines = [order(number, day(number)) for number in range(1, 11)]
    held = []
    for name in FILES:
        config = FORMS[name].write(source, lines, COLUMNS)
        held.append(versions(source, config))
    assert all(other == held[0] for other in held)
    assert len({*held[0].values()}) == 11  # of ten days, and of those without a row


Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
CHANGES: dict[str, tuple[Change, list[date]]] = {
    "nothing": (lambda lines: lines, []),
    "other order": (lambda lines: lines[::-1], []),
    "moved": (
        lambda lines: [{**lines[0], "ordered_at": "2024-01-20"}, *lines[1:]],
        [day(1), day(20)],
    ),
    "deleted": (lambda lines: lines[:2] + lines[3:], [day(3)]),
    "changed": (lambda lines: [*lines[:-1], {**lines[-1], "quantity": "99"}], [day(10)]),
    "rejected": (lambda lines: [*lines[:-1], {**lines[-1], "quantity": "x"}], [day(10)]),
    "outside": (lambda lines: [*lines, order(98, date(2023, 12, 1))], [day(1)]),
    "added": (lambda lines: [*lines, order(99, day(15))], [day(15)]),
    "doubled": (lambda lines: [*lines, lines[4]], [day(5)]),
    "swapped": (
        lambda lines: [
            {**lines[0], "order_id": lines[1]["order_id"]},
            {**lines[1], "order_id": lines[0]["order_id"]},
            *lines[2:],
        ],
        [day(1), day(2)],
    ),
}  # fmt: skip


@every_form
def test_exactly_the_days_that_changed_have_another_version(source: Source, form: Form) -> None:
    lines = [order(number, day(number)) for number in range(1, 11)]
    config = form.config(source)
    put(form, source, lines)
    before = versions(source, config)
    for name, (change, days) in CHANGES.items():
        put(form, source, change(lines))
        after = versions(source, config)
        assert [d for d in SPAN if after[d] != before[d]] == days, name
    put(form, source, lines)
    assert versions(source, config) == before


@every_form
def test_a_source_is_not_written_and_copies_are_removed(source: Source, form: Form) -> None:
    config = form.write(source, rows(), COLUMNS)
    cache = source.folder / "home" / "source_files.sqlite"

    def files(folder: Path) -> dict[str, tuple[bytes, int]]:
        return {
            str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in folder.rglob("*")
            if path.is_file()
        }

    before = files(source.folder / "in")
    source.load(config, SPAN, CALENDAR, cache=cache)
    with pytest.raises(SourceError):
        missing = {"order_id": "no such column"}
        source.load(form.config(source, columns=missing), SPAN, CALENDAR, cache=cache)
    assert files(source.folder / "in") == before
    assert {path.name for path in (source.folder / "home").iterdir()} <= {cache.name}


@every_form
def test_a_place_with_nothing_is_an_error(source: Source, form: Form) -> None:
    with pytest.raises(SourceError, match=r"orders: (no file at|there is no (DuckDB|SQLite) file)"):
        source.load(form.config(source), SPAN, CALENDAR)


@pytest.mark.parametrize("words", [{"table": "none"}, {"query": "SELECT"}, {"query": "FROM x"}])
def test_a_table_or_query_that_is_none_is_an_error(source: Source, words: dict[str, str]) -> None:
    FORMS["duckdb"].write(source, rows(), COLUMNS)
    with pytest.raises(SourceError, match="cannot be read"):
        source.load(source.config("shop.duckdb", format="duckdb", **words), SPAN, CALENDAR)


def test_a_file_that_is_no_database_is_an_error(source: Source) -> None:
    source.write("shop.duckdb", b"order_id\nO1\n" * 1000)
    with pytest.raises(SourceError, match=r"shop\.duckdb"):
        source.load(FORMS["duckdb"].config(source), SPAN, CALENDAR)


# Files.


@pytest.mark.parametrize("name", ["csv", "csv.gz", "csv.zst", "jsonl", "jsonl.gz"])
@pytest.mark.parametrize("change", ["", "crlf", "bom", "no final line end"])
def test_a_file_of_good_form_is_not_read_row_by_row(
    source: Source, monkeypatch: pytest.MonkeyPatch, name: str, change: str
) -> None:
    """Ten times slower, and for malformed rows only."""

    def never(*arguments: Any) -> Any:
        raise AssertionError("read row by row")

    monkeypatch.setattr(DelimitedReader, "_separated", never)
    monkeypatch.setattr("analytics_assets.sources.readers.json_lines.separated", never)
    form = FORMS[name]
    text = form.text([order(n, day(n)) for n in range(1, 9)], COLUMNS).encode()
    changed = {
        "": text,
        "crlf": text.replace(b"\n", b"\r\n"),
        "bom": b"\xef\xbb\xbf" + text,
        "no final line end": text.rstrip(b"\n"),
    }
    form.put(source, changed[change])
    assert source.load(form.config(source), SPAN, CALENDAR).total == DayLoad(8, 8, 0)


# Form, path of the configuration, and where the files of a day of January lie.
BY_DAY = {
    "csv": ("orders_{date}.csv", "orders_2024-01-{}.csv"),
    "csv.gz": ("{date:%Y%m%d}/orders.csv.gz", "202401{}/orders.csv.gz"),
    "csv.zst": ("{date:%Y/%m/%d}.csv.zst", "2024/01/{}.csv.zst"),
    "jsonl": ("date={date}/part-*.jsonl", "date=2024-01-{}/part-0.jsonl"),
    "parquet": ("date={date}/*.parquet", "date=2024-01-{}/part-0.parquet"),
}


@pytest.mark.parametrize("name", BY_DAY)
def test_days_in_paths(source: Source, name: str) -> None:
    path, lie = BY_DAY[name]
    for number in range(1, 11):
        form = Form(lie.format(f"{number:02}"), FORMS[name].words)
        form.write(source, [order(number, day(number)), order(100 + number, day(number))])
    for beside in ("old", "32", "5"):
        source.write(lie.format(beside), "nothing")
    config = source.config(path, format=FORMS[name].format)
    assert config.by_day

    result = source.load(config, SPAN, CALENDAR)
    assert result.days == {day(number): DayLoad(2, 2, 0) for number in range(1, 11)}
    names = dict(source.rows("SELECT DISTINCT order_date, source_file FROM raw.raw_orders"))
    assert names[day(5)] == lie.format("05")
    assert set(versions(source, config)) == {day(number) for number in range(1, 11)}

    one = Window(day(5), day(6))
    source.empty()
    assert source.load(config, one, CALENDAR).days == {day(5): DayLoad(2, 2, 0)}
    assert set(versions(source, config, one)) == {day(5)}
    assert source.load(config, Window(day(20), day(22)), CALENDAR).days == {}


@pytest.mark.parametrize("name", ["csv", "csv.gz", "jsonl", "parquet"])
def test_files_another_way_cut_are_no_change(source: Source, name: str) -> None:
    lines = [order(number, day(number)) for number in range(1, 11)]
    form, suffix = FORMS[name], FORMS[name].path.removeprefix("orders")
    config = source.config(f"**/*{suffix}", format=form.format)

    def write(**files: list[dict[str, Any]]) -> None:
        for path in (source.folder / "in").rglob(f"*{suffix}"):
            path.unlink()
        for file, held in files.items():
            Form(file + suffix, form.words).write(source, held, COLUMNS)

    write(all=lines)
    before = versions(source, config)
    source.load(config, SPAN, CALENDAR)
    raw = loaded(source)[0]
    for files in ({"a": lines[:4], "b": lines[4:]}, {"z": lines[5:], "deep/y": lines[:5]}):
        write(**files)
        assert versions(source, config) == before
        source.load(config, SPAN, CALENDAR)
        assert loaded(source)[0] == raw
    write(a=lines[:4], b=lines[3:])
    after = versions(source, config)
    assert [d for d in SPAN if after[d] != before[d]] == [day(4)]


@every_file_form
def test_a_file_that_grows_while_its_version_is_made_is_an_error(
    source: Source, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = form.write(source, rows(), COLUMNS)
    reader = type(reader_of(config))
    read = reader.read

    def growing(self: Any, *arguments: Any) -> Any:
        scan = read(self, *arguments)
        form.write(source, [*rows(), *rows()], COLUMNS)
        return scan

    monkeypatch.setattr(reader, "read", growing)
    with pytest.raises(SourceError, match=r"changed while it was read|was|Deliver|is no whole"):
        versions(source, config)
    monkeypatch.undo()
    source.load(config, SPAN, CALENDAR)
    ledger = dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))
    assert versions(source, config) == ledger


@pytest.mark.parametrize("name", ["csv", pytest.param("jsonl", marks=pytest.mark.slow), "parquet"])
@pytest.mark.parametrize("window", [SPAN, Window(day(1), day(3))], ids=["long", "short"])
def test_rows_of_large_files_are_numbered_in_their_order(
    source: Source, name: str, window: Window
) -> None:
    form, suffix = FORMS[name], FORMS[name].path.removeprefix("orders")
    counts = {"a": 130_000, "b": 90_000, "c": 1}
    ids = {file: [f"{file}{n}" for n in range(1, count + 1)] for file, count in counts.items()}
    for file, held in ids.items():
        constant = {"ordered_at": "2024-01-02", "customer_id": "C", "product_id": "P",
                    "quantity": "1", "unit_price": "1"}  # fmt: skip
        if form.is_text:
            *header, line = form.text([{"order_id": "%", **constant}]).splitlines()
            lines = [line.replace("%", order_id) for order_id in held]
            if file == "b":
                lines[60_000] = "malformed"  # the row is numbered, as are those behind it
            Form(file + suffix, form.words).put(source, "\n".join([*header, *lines]))
        else:
            same = {column: [value] * len(held) for column, value in constant.items()}
            table = pa.table({"order_id": held, **same})
            path = source.folder / "in" / f"{file}{suffix}"
            path.parent.mkdir(exist_ok=True)
            pq.write_table(table, path, row_group_size=20_000)
    config = source.config(f"*{suffix}", format=form.format)
    total = source.load(config, window, CALENDAR).total
    bad = int(form.is_text)
    # A row without columns has no day, and is accounted to the first.
    assert total == DayLoad(220_001, 220_001 - bad, bad)
    wrong = f"order_id <> replace(source_file, '{suffix}', '') || source_row"
    assert source.rows(f"SELECT count(*), count(*) FILTER ({wrong}) FROM raw.raw_orders") == [
        (220_001 - bad, 0)
    ]
    if bad:
        line = 60_002 if form.format == "csv" else 60_001
        found = source.rows("SELECT source_file, source_row, source_line FROM raw.rejected_rows")
        assert found == [(f"b{suffix}", 60_001, line)]


@pytest.mark.parametrize("name", ["csv", "jsonl", "parquet"])
def test_files_of_other_columns_are_united_by_name(source: Source, name: str) -> None:
    form, suffix = FORMS[name], FORMS[name].path.removeprefix("orders")
    Form(f"a{suffix}", form.words).write(source, [order(1, day(1))], (*ORDERS, "country"))
    Form(f"b{suffix}", form.words).write(source, [order(2, day(2))], ("status", *ORDERS[::-1]))
    source.load(source.config(f"*{suffix}", format=form.format), SPAN, CALENDAR)
    found = source.rows("SELECT source_file, country, status FROM raw.raw_orders ORDER BY ALL")
    assert found == [(f"a{suffix}", "FR", None), (f"b{suffix}", None, "completed")]


@pytest.mark.parametrize("name", ["csv", "csv.gz", "jsonl"])
def test_a_malformed_file_among_good_ones_changes_nothing_of_theirs(
    source: Source, name: str
) -> None:
    form, suffix = FORMS[name], FORMS[name].path.removeprefix("orders")
    for number in range(1, 8):
        text = form.text([order(number, day(number)), order(10 * number, day(number))])
        if number in (3, 6):
            lines = text.splitlines()
            text = "\n".join([*lines[:-1], "malformed", lines[-1]]) + "\n"
        Form(f"{number}{suffix}", form.words).put(source, text)
    source.load(source.config(f"*{suffix}", format=form.format), SPAN, CALENDAR)
    found = source.rows("SELECT source_file, source_row, order_id FROM raw.raw_orders ORDER BY ALL")
    assert found == [
        row
        for number in range(1, 8)
        for row in (
            (f"{number}{suffix}", 1, f"O{number}"),
            (f"{number}{suffix}", 3 if number in (3, 6) else 2, f"O{10 * number}"),
        )
    ]
    assert source.rows("SELECT source_file, source_row FROM raw.rejected_rows ORDER BY ALL") == [
        (f"3{suffix}", 2),
        (f"6{suffix}", 2),
    ]


# Single formats.


def test_json_values_are_read_as_they_are_written(source: Source) -> None:
    lines = [
        {
            "id": 123,
            "at": "2024-01-05T10:00:00Z",
            "customer": {"id": "00123", "address": {"country code": "DE"}},
            "items": [{"sku": "P1"}],
            "n": 2,
            "price": 3.5,
            "state": None,
        },
        {
            "id": 12345678901234567890,
            "at": "2024-01-06",
            "customer": {"id": 1e3},
            "items": [{"sku": True}],
            "n": -1,
            "price": 0.1,
        },
        {"id": "x", "at": "2024-01-07", "customer": "none", "items": [], "n": 2.0, "price": 1},
        {"id": "y", "at": "2024-01-08", "items": [], "n": 2.7, "price": 1},
    ]
    source.write("orders.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    config = source.config(
        "orders.jsonl",
        format="jsonl",
        columns={
            "order_id": "id",
            "ordered_at": "at",
            "customer_id": "$.customer.id",
            "product_id": "$.items[0].sku",
            "quantity": "n",
            "unit_price": "price",
            "status": "state",
            "country": '$.customer.address."country code"',
        },
    )
    source.load(config, SPAN, CALENDAR)
    assert source.rows(
        "SELECT order_id, customer_id, product_id, quantity, unit_price, status, country "
        "FROM raw.raw_orders ORDER BY source_row"
    ) == [
        ("123", "00123", "P1", 2, Decimal("3.5"), None, "DE"),
        ("12345678901234567890", "1000", "true", -1, Decimal("0.1"), None, None),
        ("x", None, None, 2, 1, None, None),
    ]
    assert source.rows("SELECT source_row, reasons FROM raw.rejected_rows") == [
        (4, "quantity: a fraction; `decimal_quantity: true` accepts quantities with decimals")
    ]


@pytest.mark.parametrize("line", ["[]", "7", '"text"', "null", "{", "{'a': 1}"])
def test_a_line_that_is_no_object_is_kept_as_text(source: Source, line: str) -> None:
    good = jsonl_text([order(1, day(1))], ORDERS)
    source.write("orders.jsonl", good + line + "\n\n" + good)
    result = source.load(source.config("orders.jsonl", format="jsonl"), SPAN, CALENDAR)
    assert result.total == DayLoad(3, 2, 1)
    assert source.rows("SELECT source_row, source_line, row->>'_text' FROM raw.rejected_rows") == [
        (2, 2, line)
    ]
    assert source.rows("SELECT source_row FROM raw.raw_orders ORDER BY 1") == [(1,), (3,)]


def test_blanks_beside_a_quoted_field_are_read_alike_whatever_else_the_file_holds(
    source: Source,
) -> None:
    header = ",".join(ORDERS) + "\n"
    before = 'O1, "2024-01-02 10:00:00", "C,1",P1,2, "3.5"\n'
    behind = 'O2,2024-01-02 10:00:00,"C2" ,P1,2,3.5\n'
    for more in ("", "too few\n"):  # DuckDB reads the first file by itself, but for the blanks
        source.write("orders.csv", header + before + behind + more)
        source.load(source.config(max_rejected_share=1), SPAN, CALENDAR)
        found = source.rows("SELECT order_id, customer_id, unit_price FROM raw.raw_orders")
        assert found == [("O1", "C,1", Decimal("3.5"))]
        ((reason, text), *rest) = source.rows(
            "SELECT reasons, row->>'_text' FROM raw.rejected_rows ORDER BY source_row"
        )
        assert reason == "malformed: ',' expected after '\"'"
        assert text == behind.rstrip()
        assert len(rest) == bool(more)


def test_a_backslash_before_u0000_is_no_nul(source: Source) -> None:
    rows = [order(n, day(1), customer_id=f"C{text}") for n, text in enumerate(("\\u0000", "\0"))]
    source.write("orders.jsonl", jsonl_text(rows, ORDERS))
    source.load(source.config("orders.jsonl", format="jsonl"), SPAN, CALENDAR)
    assert source.rows("SELECT customer_id FROM raw.raw_orders") == [("C\\u0000",)]
    assert source.rows("SELECT source_row, reasons FROM raw.rejected_rows") == [(2, "a NUL byte")]


def test_a_file_without_any_object_has_each_of_its_lines_rejected(source: Source) -> None:
    """Alone or among good files; the share of rejected rows is what stops a load."""
    source.write("a.jsonl", "[]\n\n7\n" * 60)
    config = source.config("*.jsonl", format="jsonl", max_rejected_share=1)
    assert source.load(config, SPAN, CALENDAR).total == DayLoad(120, 0, 120)
    source.write("b.jsonl", jsonl_text([order(1, day(1))], ORDERS))
    assert source.load(config, SPAN, CALENDAR).total == DayLoad(121, 1, 120)
    with pytest.raises(SourceError, match=r"120 of 121 rows are rejected.* not a JSON object"):
        source.load(source.config("*.jsonl", format="jsonl"), SPAN, CALENDAR)


def test_a_hive_folder_without_a_value_is_missing(source: Source) -> None:
    form = FORMS["hive"]
    config = form.write(source, [order(1, day(1), country=None), order(2, day(2))], COLUMNS)
    source.load(config, SPAN, CALENDAR)
    found = source.rows("SELECT order_id, country FROM raw.raw_orders ORDER BY 1")
    assert found == [("O1", None), ("O2", "Côte d'Ivoire")]


@pytest.mark.parametrize(
    ("type_", "zone"),
    [
        ("TIMESTAMP", "America/New_York"),
        ("TIMESTAMPTZ", "UTC"),
        *(
            # A time that bears its zone, or an instant, is the same in every zone.
            pytest.param(type_, zone, marks=pytest.mark.slow)
            for type_, zone in (
                *(("TIMESTAMP", "UTC"), ("TIMESTAMP", "Asia/Tokyo"), ("DATE", "America/New_York")),
                *(("TIMESTAMPTZ", "Asia/Tokyo"), ("TIMESTAMP_NS", "America/New_York")),
            )
        ),
    ],
)
def test_a_database_gives_each_row_to_one_window(source: Source, type_: str, zone: str) -> None:
    """Whatever the time's type and zone, and whether or not it can be pushed down."""
    (source.folder / "in").mkdir()
    with duckdb.connect(str(source.folder / "in" / "shop.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            f"CREATE TABLE orders AS SELECT 'O' || n AS order_id, CASE WHEN n % 50 > 0 THEN "
            f"(TIMESTAMP '2023-12-28' + n * INTERVAL 5 HOUR)::{type_} END AS ordered_at, "
            "'C' AS customer_id, 'P' AS product_id, 1 AS quantity, 1 AS unit_price "
            "FROM range(1, 340) numbers (n)"
        )
    words: dict[str, Any] = {"table": "orders", "time_zone": zone, "max_rejected_share": 1}
    config = source.config("shop.duckdb", format="duckdb", **words)
    result = source.load(config, SPAN, CALENDAR)
    assert result.total.read == 339
    assert result.total.rejected > 20
    whole = loaded(source)
    of_days = dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))
    assert of_days == versions(source, config)
    source.empty()
    for window in cut([1, 1, 1, 20, 9, 1]):
        source.load(config, window, CALENDAR)
    assert loaded(source) == whole
    assert dict(source.rows("SELECT window_date, source_version FROM raw.source_loads")) == of_days


def test_by_updated_at_only_days_with_newer_rows_are_looked_at(source: Source) -> None:
    assert source.warehouse
    (source.folder / "in").mkdir()
    path = source.folder / "in" / "shop.duckdb"

    def run(statement: str) -> None:
        with duckdb.connect(str(path)) as connection:
            connection.execute(statement)

    run(
        "CREATE TABLE orders AS SELECT 'O' || n AS order_id, TIMESTAMP '2024-01-01' + n * "
        "INTERVAL 1 DAY AS ordered_at, 'C' AS customer_id, 'P' AS product_id, 1 AS quantity, "
        "1 AS unit_price, ordered_at AS updated_at FROM range(10) numbers (n)"
    )
    config = source.config(
        "shop.duckdb", format="duckdb", table="orders", change_detection="updated_at"
    )

    def changed() -> list[date]:
        held = source_versions(config, CALENDAR, SPAN, source.warehouse)
        known = dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))
        return [d for d in SPAN if held.get(d) != known.get(d)]

    assert changed() == list(SPAN)
    source.load(config, SPAN, CALENDAR)
    assert changed() == []
    run("UPDATE orders SET quantity = 2, updated_at = '2024-02-02' WHERE order_id = 'O4'")
    assert changed() == [day(5)]
    run("UPDATE orders SET quantity = 3 WHERE order_id = 'O6'")  # says nothing
    run("DELETE FROM orders WHERE order_id = 'O7'")  # has nothing to say
    assert changed() == [day(5)]
    source.load(config, Window(day(5), day(6)), CALENDAR)
    assert changed() == []
    config = source.config("shop.duckdb", format="duckdb", table="orders")
    assert changed() == [day(7), day(8)]


@pytest.mark.parametrize(
    ("precision", "scale", "given"),
    [
        (18, 4, {"99999999999999.9999": True, "-0.0001": True}),
        (14, 0, {"99999999999999": True, "-7": True}),
        (5, 2, {"999.99": True, "0.01": True}),
        (18, 5, {"3.50500": True, "3.50501": False}),
        (9, 5, {"3.5": True, "0.00004": False, "0.00005": False}),
        (19, 4, {"99999999999999.9999": True, "100000000000000.0000": False}),
        (15, 0, {"99999999999999": True, "100000000000000": False}),
        (38, 10, {"3.5": True, "1.00001": False, "9999999999999999999999999999.5": False}),
    ],
)
def test_a_typed_number_comes_as_it_is_or_not_at_all(
    source: Source, precision: int, scale: int, given: dict[str, bool]
) -> None:
    made = [
        {**order(number, SPAN.start), "unit_price": Decimal(text)}
        for number, text in enumerate(given)
    ]
    schema = pa.schema(
        [
            (name, pa.decimal128(precision, scale) if name == "unit_price" else pa.string())
            for name in COLUMNS
        ]
    )
    path = source.write("orders.parquet", b"")
    pq.write_table(pa.Table.from_pylist(made, schema), path)
    config = SourceConfig("orders", str(path), format="parquet", max_rejected_share=1)
    source.load(config, SPAN, CALENDAR)
    accepted = [Decimal(text) for text, fits in given.items() if fits]
    assert source.rows("SELECT unit_price FROM raw.raw_orders ORDER BY source_row") == [
        (number,) for number in accepted
    ]
    assert source.rows("SELECT count(*) FROM raw.rejected_rows") == [(len(given) - len(accepted),)]
