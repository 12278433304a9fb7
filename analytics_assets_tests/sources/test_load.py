"""Loading: typed or rejected whole, each row counted once, the same whatever the order of loads."""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

import csv
import json
import random
import string
from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.ledger import DayLoad, loaded_to, loaded_versions
from analytics_assets.sources.load import load_source
from analytics_assets.sources.readers import SourceError
from analytics_assets.sources.typed_column import CODE
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.sources.conftest import CALENDAR, GOOD, JANUARY, ORDERS, Source, csv_of

ALL = (*ORDERS, "line_number", "amount", "status", "updated_at")
FULL = {
    "line_number": "1",
    "amount": "7.0",
    "status": "completed",
    "updated_at": "2024-01-03",
}


def day(number: int) -> date:
    return date(2024, 1, number)


def at(number: int, **values: str) -> dict[str, str]:
    """An order of a day of January."""
    return {"ordered_at": f"2024-01-{number:02} 10:00:00", **values}


def test_values_are_typed(source: Source) -> None:
    source.write("orders.csv", csv_of(FULL, columns=ALL))
    result = source.load()
    assert result.total == DayLoad(read=1, accepted=1, rejected=0)
    assert result.reasons == {}
    assert source.rows("FROM raw.raw_orders") == [
        (
            *("O1", 1, datetime(2024, 1, 2, 10), day(2), "C1", "P1", 2, Decimal("3.5")),
            *(Decimal(7), False, None, None, None, None, None, None, None, None, False),
            *("completed", datetime(2024, 1, 3), None, None, None, None),
            *("orders.csv", 1, datetime(2024, 2, 1, 12)),
        )
    ]


def test_a_code_needs_no_closer_look(memory: duckdb.DuckDBPyConnection) -> None:
    """DuckDB's URL encoding, relied on, leaves nothing that typing would strip or refuse."""
    surrogates = range(0xD800, 0xE000)
    every = [chr(n) for n in range(0x11000) if n not in surrogates]
    kept = memory.execute(
        f"SELECT text FROM (SELECT unnest(?::VARCHAR[]) AS text) WHERE {CODE.format('text')}",
        [every],
    ).fetchall()
    assert {text for (text,) in kept} == {*string.ascii_letters, *string.digits, *"-._~"}


FITS: list[tuple[str, str, Any]] = [
    ("order_id", "00123", "00123"),
    ("order_id", "1e3", "1e3"),
    ("order_id", "#1001", "#1001"),
    ("order_id", "  O 1\t", "O 1"),
    ("order_id", '"O""1"', 'O"1'),
    ("order_id", '"O,1"', "O,1"),
    ("order_id", "'); DROP TABLE raw.raw_orders; --", "'); DROP TABLE raw.raw_orders; --"),
    ("order_id", "=1+1", "=1+1"),
    ("order_id", "Ünïcode", "Ünïcode"),
    ("customer_id", "", None),
    ("customer_id", '""', None),
    ("customer_id", "   ", None),
    ("customer_id", "n/a", None),
    ("customer_id", " N/A ", None),
    ("customer_id", "n/a-1", "n/a-1"),
    ("quantity", "-2", -2),
    ("quantity", "+2", 2),
    ("quantity", "0", 0),
    ("quantity", "2147483647", 2147483647),
    ("unit_price", "3.5000", Decimal("3.5")),
    ("unit_price", "3.50000000", Decimal("3.5")),
    ("unit_price", ".5", Decimal("0.5")),
    ("unit_price", "-1", Decimal(-1)),
    ("unit_price", "99999999999999.9999", Decimal("99999999999999.9999")),
    ("ordered_at", "2024-01-02", datetime(2024, 1, 2)),
    ("ordered_at", "2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
    ("ordered_at", "2024-01-02 10:00:00+02:00", datetime(2024, 1, 2, 8)),
    ("ordered_at", "2024-01-02T01:30:00+0530", datetime(2024, 1, 1, 20)),
    ("ordered_at", "2024-01-02T10:00:00.123456Z", datetime(2024, 1, 2, 10, 0, 0, 123456)),
    ("status", "Cancelled", "cancelled"),
    ("status", "PAID", "completed"),
    ("status", "", None),
    ("line_number", "", None),
]


@pytest.mark.parametrize("column", dict.fromkeys(column for column, _, _ in FITS))
def test_values_that_fit_are_accepted(source: Source, column: str) -> None:
    texts = {text: value for name, text, value in FITS if name == column}
    source.write("orders.csv", csv_of(*({**FULL, column: text} for text in texts), columns=ALL))
    config = source.config(null_words=("N/a",), status_map={"Paid": "completed"})
    assert source.load(config).reasons == {}
    found = source.rows(f"SELECT {column} FROM raw.raw_orders ORDER BY source_row")
    assert [value for (value,) in found] == list(texts.values())


WHOLE, MONEY = "not a whole number of 32 bits", "not a number of at most 4 decimals"
TIME, MISSING = "not a time in the declared format", "missing"
OUTSIDE = "outside the calendar"
FRACTION = "a fraction; `decimal_quantity: true` accepts quantities with decimals"
DAY_OR_MONTH = (
    "of the form 1/2/2024, where day or month comes first: declare `timestamp_formats`, "
    "such as ['%m/%d/%Y'] or ['%d/%m/%Y']"
)
SIGN = "a currency sign that is not named in `currency_signs`"


REJECTED: list[tuple[str, str, str]] = [
    ("order_id", "", MISSING),
    ("order_id", "  ", MISSING),
    ("order_id", "n/a", MISSING),
    ("quantity", "", MISSING),
    ("unit_price", "", MISSING),
    ("ordered_at", "", MISSING),
    ("quantity", "2.7", FRACTION),
    ("quantity", "2.", WHOLE),
    ("quantity", "1e3", WHOLE),
    ("quantity", '"1,000"', WHOLE),
    ("quantity", "two", WHOLE),
    ("quantity", "2147483648", WHOLE),
    ("quantity", "-2147483649", WHOLE),
    ("quantity", "9" * 40, WHOLE),
    ("quantity", "٣", WHOLE),
    ("quantity", "NaN", WHOLE),
    ("line_number", "1.5", WHOLE),
    ("unit_price", "3.50001", MONEY),
    ("unit_price", '"3,50"', MONEY),
    ("unit_price", '"1,000.00"', MONEY),
    ("unit_price", "1e3", MONEY),
    ("unit_price", ".", MONEY),
    ("unit_price", "-", MONEY),
    ("unit_price", "$3", SIGN),
    ("unit_price", "NaN", MONEY),
    ("unit_price", "inf", MONEY),
    ("unit_price", "-Infinity", MONEY),
    ("unit_price", "100000000000000", MONEY),
    ("amount", "7.00001", MONEY),
    ("ordered_at", "2024-02-30", TIME),
    ("ordered_at", "2023-02-29 10:00:00", TIME),
    ("ordered_at", "03/04/2024", DAY_OR_MONTH),
    ("ordered_at", "2024-01-02 25:00:00", TIME),
    ("ordered_at", "2024-01-02 10:00:00 MARS", TIME),
    ("ordered_at", "2024-01-01 00:30:00+01:00", OUTSIDE),
    ("ordered_at", "infinity", TIME),
    ("updated_at", "yesterday", TIME),
    ("ordered_at", "2023-12-31 23:59:59", OUTSIDE),
    ("ordered_at", "2024-02-01 00:00:00", OUTSIDE),
    ("ordered_at", "1970-01-01", OUTSIDE),
    ("ordered_at", "9999-12-31", OUTSIDE),
    ("status", "shipped", "none of cancelled, completed, pending, returned"),
    ("order_id", "(unknown)", "a reserved word of the warehouse"),
    ("customer_id", " (unknown) ", "a reserved word of the warehouse"),
    ("product_id", "(unknown)", "a reserved word of the warehouse"),
]


@pytest.mark.parametrize("column", dict.fromkeys(column for column, _, _ in REJECTED))
def test_values_that_do_not_fit_reject_their_rows_only(source: Source, column: str) -> None:
    texts = {text: f"{column}: {why}" for name, text, why in REJECTED if name == column}
    rows = [row for text in texts for row in (FULL, {**FULL, column: text})]
    source.write("orders.csv", csv_of(*rows, columns=ALL))
    result = source.load(source.config(null_words=("n/a",), max_rejected_share=1))
    assert result.total == DayLoad(2 * len(texts), len(texts), len(texts))
    assert result.reasons == Counter(texts.values())
    assert source.rows(
        "SELECT source, source_file, source_row, source_line, reasons FROM raw.rejected_rows "
        "ORDER BY source_row"
    ) == [
        ("orders", "orders.csv", 2 * n, 2 * n + 1, why) for n, why in enumerate(texts.values(), 1)
    ]


def test_all_reasons_of_a_row_are_joined(source: Source) -> None:
    wrong = {"order_id": "", "quantity": "2.7", "unit_price": "x", "ordered_at": "never"}
    source.write("orders.csv", csv_of(wrong, {"quantity": "2.7"}))
    result = source.load()
    assert source.rows("SELECT reasons FROM raw.rejected_rows WHERE source_row = 1") == [
        (f"order_id: {MISSING}; ordered_at: {TIME}; quantity: {FRACTION}; unit_price: {MONEY}",)
    ]
    assert result.reasons[f"quantity: {FRACTION}"] == 2
    assert result.total.rejected == 2


def test_a_rejected_row_is_kept_whole_under_the_sources_names(source: Source) -> None:
    columns = {name: f"Their {name}" for name in ORDERS}
    header = ",".join(columns.values()) + ',extra "col\'umn"\n'.replace('"', "")
    row = 'O1,2024-01-02,"C ""1""\n2"," P1 ",2.7,,kept\n'
    source.write("orders.csv", header + row)
    source.load(source.config(columns=columns))
    ((kept,),) = source.rows("SELECT row FROM raw.rejected_rows")
    assert json.loads(kept) == {
        "Their order_id": "O1",
        "Their ordered_at": "2024-01-02",
        "Their customer_id": 'C "1"\n2',
        "Their product_id": " P1 ",
        "Their quantity": "2.7",
        "Their unit_price": None,
        "extra col'umn": "kept",
    }


def test_rows_are_numbered_within_their_file_quoted_newlines_and_all(source: Source) -> None:
    source.write("orders_a.csv", csv_of({"customer_id": '"C\n\n1"'}, {"quantity": "x"}, {}))
    source.write("orders_b.csv", csv_of({"order_id": "B1"}, {"order_id": "B2"}))
    source.write("deeper/orders_c.csv", csv_of({"order_id": "C1"}))
    source.load(source.config("**/*.csv"))
    found = source.rows(
        "SELECT source_file, source_row FROM raw.raw_orders "
        "UNION ALL SELECT source_file, source_row FROM raw.rejected_rows ORDER BY ALL"
    )
    assert found == [
        ("deeper/orders_c.csv", 1),
        ("orders_a.csv", 1),
        ("orders_a.csv", 2),
        ("orders_a.csv", 3),
        ("orders_b.csv", 1),
        ("orders_b.csv", 2),
    ]


def test_rows_of_large_files_are_numbered_in_order(source: Source) -> None:
    for name, rows in (("a", 60_000), ("b", 45_000)):
        lines = "".join(f"{name}{n},2024-01-02,C1,P1,1,1\n" for n in range(1, rows + 1))
        source.write(f"{name}.csv", ",".join(ORDERS) + "\n" + lines)
    source.load(source.config("*.csv"))
    wrong = "order_id <> replace(source_file, '.csv', '') || source_row"
    assert source.rows(f"SELECT count(*), count(*) FILTER ({wrong}) FROM raw.raw_orders") == [
        (105_000, 0)
    ]


def test_read_is_accepted_plus_rejected_and_what_pythons_csv_counts(source: Source) -> None:
    rng = random.Random(3)
    texts = ['"a\nb"', "", "2.7", "5", "x", '"q""q"', "2024-01-05", "2024-02-30", "9999-01-01"]
    rows = [
        {
            column: rng.choice([value, value, value, rng.choice(texts)])
            for column, value in GOOD.items()
        }
        for _ in range(300)
    ]
    path = source.write("orders.csv", csv_of(*rows))
    with path.open(newline="") as stream:
        expected = sum(1 for _ in csv.reader(stream)) - 1
    total = source.load(source.config(max_rejected_share=1)).total
    assert total.read == expected == 300
    assert total.accepted == source.rows("SELECT count(*) FROM raw.raw_orders")[0][0] > 0
    assert total.rejected == source.rows("SELECT count(*) FROM raw.rejected_rows")[0][0] > 0
    assert total.read == total.accepted + total.rejected
    ledger = source.rows(
        "SELECT sum(rows_read), sum(rows_accepted), count(*) FROM raw.source_loads"
    )
    assert ledger == [(total.read, total.accepted, 31)]


@pytest.mark.parametrize(
    "content",
    [
        csv_of({}).encode("utf-8-sig"),
        csv_of({}).replace("\n", "\r\n"),
        csv_of({}).replace("\n", "\r"),
        csv_of({}).rstrip("\n"),
        csv_of({}, columns=reversed(ORDERS)),
        csv_of({"note": "x"}, columns=[*ORDERS[:3], "note", *ORDERS[3:]]),
        csv_of({}).replace("order_id,", '"order_id",', 1),
        csv_of({}).replace(",", " , "),
        csv_of({}).replace("order_id", "Order_ID"),
        csv_of({"_row": "7"}, columns=[*ORDERS, "_row"]),
        csv_of({"_file": "7", "_path": "8"}, columns=["_file", "_path", *ORDERS]),
    ],
    ids=[
        *("bom", "crlf", "cr", "no final line end", "reordered", "unknown column"),
        *("quoted header", "white space", "header case", "column _row", "columns _file and _path"),
    ],
)
def test_the_form_of_a_file_does_not_matter(source: Source, content: str | bytes) -> None:
    source.write("orders.csv", csv_of({}))
    source.load()
    expected = source.rows("SELECT * EXCLUDE loaded_at FROM raw.raw_orders")
    source.write("orders.csv", content)
    source.load()
    assert source.rows("SELECT * EXCLUDE loaded_at FROM raw.raw_orders") == expected


def test_a_header_alone_loads_nothing(source: Source) -> None:
    source.write("orders.csv", csv_of({}))
    source.load()
    source.write("orders.csv", csv_of())
    assert source.load().total == DayLoad(0, 0, 0)
    assert source.rows("FROM raw.raw_orders") == []


def test_files_of_other_columns_are_united_by_name(source: Source) -> None:
    source.write("a.csv", csv_of({"country": "FR"}, columns=[*ORDERS, "country"]))
    source.write("b.csv", csv_of({"status": "pending"}, columns=["status", *ORDERS]))
    source.load(source.config("*.csv"))
    found = source.rows("SELECT source_file, country, status FROM raw.raw_orders ORDER BY ALL")
    assert found == [("a.csv", "FR", None), ("b.csv", None, "pending")]


HEADER = ",".join(ORDERS)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "orders.csv: the file is empty; expected at least a header line."),
        (
            csv_of({}, columns=ORDERS[1:]),
            "orders.csv, line 1: there is no column 'order_id', which orders needs as order_id. "
            "Found: ordered_at, customer_id,",
        ),
        (f"{HEADER},quantity\n", "line 1: column 'quantity' appears twice in the header."),
        (f"{HEADER},Quantity\n", "line 1: column 'quantity' appears twice in the header."),
        (
            csv_of({}).split("\n", 1)[1],
            "line 1: the first line looks like a row, not like a header",
        ),
        (csv_of({"order_id": "é"}, {"order_id": "é"}).encode("latin-1"), "line 2: not UTF-8 (inv"),
        (csv_of({}).encode("utf-16"), "line 1: not UTF-8"),
    ],
    ids=[
        *("empty", "missing column", "duplicate", "duplicate but for case", "no header"),
        *("latin-1", "utf-16"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_and_nothing_changes(
    source: Source, content: str | bytes, sentence: str
) -> None:
    source.write("a.csv", csv_of({}, {"quantity": "x"}))
    source.load(source.config("*.csv"))
    before = source.state()
    source.write("orders.csv", content)
    with pytest.raises(SourceError) as caught:
        source.load(source.config("*.csv"))
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 500
    assert source.state() == before


UNCLOSED = "malformed: unexpected end of data"


MALFORMED = {
    "O2,2024-01-02,C1,P1,1,1,1": "too many fields: 7 for 6 columns",
    "O2,2024-01-02,C1,P1,1,1,": "too many fields: 7 for 6 columns",
    "O2,2024-01-02,C1": "too few fields: 3 for 6 columns",
    "O2": "too few fields: 1 for 6 columns",
    'O2,2024-01-02,"C1"x,P1,1,1': "malformed: ',' expected after '\"'",
    "O2,2024-01-02," + "C" * 2_000_000 + ",P1,1,1": (
        "longer than 1,000,000 characters, or a quote that is not closed"
    ),
    "# 7 lines follow": "too few fields: 1 for 6 columns",
    'O2,2024-01-02,"C1,P1,1,1': UNCLOSED,
}


@pytest.mark.parametrize("rows", [1, 30_000], ids=["early", "past what DuckDB samples"])
def test_a_malformed_row_is_kept_as_text_and_the_others_load(source: Source, rows: int) -> None:
    good = csv_of(*[{}] * rows)
    behind = csv_of({"order_id": "O3"}).split("\n")[1]
    source.write("orders.csv", good + "\n".join([*MALFORMED, behind]))
    result = source.load(source.config(max_rejected_share=1))
    assert result.total == DayLoad(rows + 1 + len(MALFORMED), rows + 1, len(MALFORMED))
    assert result.reasons == Counter(MALFORMED.values())
    assert source.rows(
        "SELECT source_row, source_line, window_date, reasons, row->>'_text' FROM "
        "raw.rejected_rows ORDER BY 1"
    ) == [
        (rows + n, rows + n + 1, day(1), reason, text)
        for n, (text, reason) in enumerate(MALFORMED.items(), 1)
    ]
    last = source.rows("SELECT source_row FROM raw.raw_orders WHERE order_id = 'O3'")
    assert last == [(rows + len(MALFORMED) + 1,)]


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ('O2,"2024-01-02\nO2b,2024-01-02,C1', [UNCLOSED, "too few fields: 3 for 6 columns"]),
        ('"O2,x\n"O2b,2024-01-02,C1,P1,1,1', ["malformed: ',' expected after '\"'", UNCLOSED]),
        ('O2,"a\n\nb"\nO4', ["too few fields: 2 for 6 columns", "too few fields: 1 for 6 columns"]),
    ],
)
def test_a_stray_quote_swallows_no_row(source: Source, text: str, reasons: list[str]) -> None:
    source.write("orders.csv", csv_of({}) + text + "\n" + csv_of({}).split("\n")[1])
    result = source.load()
    assert result.total.accepted == 2
    found = source.rows("SELECT reasons, row->>'_text' FROM raw.rejected_rows ORDER BY source_row")
    assert [row[0] for row in found] == reasons
    assert "\n".join(row[1] for row in found) == text


def test_an_undecodable_row_far_down_is_named_by_line_and_not_by_what_it_holds(
    source: Source,
) -> None:
    good = csv_of(*[{}] * 30_000).encode()  # past what DuckDB looks at beforehand
    source.write("orders.csv", good + b"O2,2024-01-02,canary\xe9,P1,1,1\n")
    with pytest.raises(SourceError, match=r"orders\.csv, line 30002: not UTF-8") as caught:
        source.load()
    assert "canary" not in str(caught.value)
    assert str(source.folder) not in str(caught.value)


@pytest.mark.parametrize("path", ["orders.csv", "*.csv"])
def test_no_file_at_all_is_an_error(source: Source, path: str) -> None:
    with pytest.raises(
        SourceError, match=r"orders: no file at .*Check `path` in the source config"
    ):
        source.load(source.config(path))


def test_a_day_without_a_file_loads_nothing(source: Source) -> None:
    source.write("orders_2024-01-02.csv", csv_of({}))
    result = source.load(source.config("orders_{date}.csv"), Window(day(2), day(4)))
    assert result.days == {day(2): DayLoad(1, 1, 0)}


def test_a_delimiter_and_times_are_as_declared(source: Source) -> None:
    source.write("orders.csv", csv_of({"ordered_at": "02.01.2024"}).replace(",", ";"))
    config = source.config(delimiter=";", timestamp_formats=("%d.%m.%Y",))
    assert source.load(config).reasons == {}
    assert source.rows("SELECT order_date FROM raw.raw_orders") == [(day(2),)]


def test_an_id_pattern_cancels_orders_where_there_is_no_status(source: Source) -> None:
    source.write("orders.csv", csv_of({"order_id": "C7"}, {"order_id": "7"}))
    source.load(source.config(cancelled_order_pattern="^C"))
    found = source.rows("SELECT order_id, status FROM raw.raw_orders ORDER BY 1")
    assert found == [("7", None), ("C7", "cancelled")]


BY_DAY = "orders_{date}.csv"


def test_late_rows_within_the_reach_go_to_their_own_day(source: Source) -> None:
    source.write("orders_2024-01-05.csv", csv_of(at(5), at(3), at(2), at(6)))
    config = source.config(BY_DAY, late_days=2)
    result = source.load(config)
    assert result.reasons == {"ordered_at: not a day of this file": 2}
    assert {d: load for d, load in result.days.items() if load.read} == {
        day(3): DayLoad(1, 1, 0),
        day(5): DayLoad(3, 1, 2),
    }
    assert source.rows("SELECT window_date, source_row FROM raw.rejected_rows ORDER BY 2") == [
        (day(5), 3),
        (day(5), 4),
    ]
    # Loading the old day alone finds the late row in the newer file.
    assert source.load(config, Window(day(3), day(4))).total == DayLoad(1, 1, 0)
    assert source.load(config, Window(day(4), day(5))).total == DayLoad(0, 0, 0)


def test_without_late_days_a_row_of_another_day_is_rejected(source: Source) -> None:
    source.write("orders_2024-01-05.csv", csv_of(at(4), at(5)))
    assert source.load(source.config(BY_DAY)).days[day(5)] == DayLoad(2, 1, 1)


@pytest.mark.parametrize("text", ["", "never", "2023-01-01", "2025-01-01"])
@pytest.mark.parametrize("name", ["orders.csv", "orders_2024-01-05.csv"])
def test_a_row_without_a_usable_day_is_counted_once_over_all_windows(
    source: Source, name: str, text: str
) -> None:
    source.write(name, csv_of(at(5), {"ordered_at": text}))
    config = source.config(BY_DAY if "_" in name else name, late_days=3)
    starts = (1, 2, 5, 6, 20)
    windows = [Window(day(a), day(b)) for a, b in pairwise(starts)] + [Window(day(20), JANUARY.end)]
    loads = [source.load(config, window) for window in windows]
    assert sum(load.total.rejected for load in loads) == 1
    assert sum(load.total.read for load in loads) == 2
    expected = day(5) if "_" in name else day(1)
    assert source.rows("SELECT window_date, source_row FROM raw.rejected_rows") == [(expected, 2)]


def test_a_source_whose_files_are_all_gone_is_no_shop_without_orders(source: Source) -> None:
    """A share that is not mounted would else empty the warehouse without a word."""
    file = source.write("orders_2024-01-05.csv", csv_of(at(5)))
    config = source.config(BY_DAY)
    source.load(config)
    file.unlink()
    with pytest.raises(SourceError, match=r"no file at .* with a date"):
        source.load(config)
    assert len(source.rows("FROM raw.raw_orders")) == 1


def test_a_day_without_a_file_was_not_loaded(source: Source) -> None:
    source.write("orders_2024-01-05.csv", csv_of(at(5)))
    source.load(source.config(BY_DAY))
    assert source.rows("SELECT window_date FROM raw.source_loads") == [(day(5),)]


def test_a_column_that_is_mapped_has_to_be_there(source: Source) -> None:
    """Without it, cancelled orders would count as sales."""
    source.write("orders.csv", csv_of(at(5)))
    with pytest.raises(SourceError, match=r"no column 'order_state'.*as status"):
        source.load(source.config("orders.csv", columns={"status": "order_state"}))


def test_a_time_does_not_inherit_the_offset_of_the_row_before(source: Source) -> None:
    """DuckDB's try_strptime does, when it is given several formats."""
    offset = {"ordered_at": "2024-01-05T10:00:00+0200"}
    source.write("orders.csv", csv_of(offset, at(5), offset, at(5)))
    formats = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S")
    source.load(source.config("orders.csv", timestamp_formats=formats))
    hours = source.rows("SELECT hour(ordered_at) FROM raw.raw_orders ORDER BY source_row")
    assert hours == [(8,), (10,), (8,), (10,)]


@pytest.mark.parametrize("blank", ["\u00a0", "\u200b", "\ufeff "])
def test_an_identifier_of_blanks_is_missing(source: Source, blank: str) -> None:
    source.write("orders.csv", csv_of(at(5, order_id=blank)))
    assert source.load(source.config("orders.csv")).reasons == {"order_id: missing": 1}


def test_a_row_of_the_year_9999_does_not_wait_for_its_window(source: Source) -> None:
    """While the calendar is open, a row of tomorrow is loaded tomorrow; this one never would be."""
    source.write("orders.csv", csv_of(at(5), {"ordered_at": "9999-12-31 00:00:00"}))
    with source.transaction() as connection:
        result = load_source(
            connection,
            source.config("orders.csv"),
            Calendar(day(1)),
            Window(day(1), day(13)),
            datetime(2026, 1, 1),
        )
    assert result.total == DayLoad(2, 1, 1)


def test_before_the_first_load_nothing_was_loaded(tmp_path: Path) -> None:
    """A run that was killed before it made its tables leaves an empty file."""
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    with warehouse.write():
        pass
    assert loaded_to(warehouse) is None
    with warehouse.read() as session:
        assert loaded_versions(session, "orders") == {}


SPAN = Window(day(1), day(13))


def many_days(source: Source, rng: random.Random) -> None:
    """A file a day with late, bad and double rows."""
    for d in SPAN:
        rows = [
            {
                "order_id": f"O{d.day}-{n}",
                "ordered_at": str(d - timedelta(rng.choice([0, 0, 0, 1, 2, 3]))),
                "quantity": rng.choice(["1", "2", "x", ""]),
            }
            for n in range(rng.randrange(6))
        ]
        source.write(f"orders_{d}.csv", csv_of(*rows))


def spans(rng: random.Random, how: str) -> list[Window]:
    days = [Window(d, d + timedelta(1)) for d in SPAN]
    rng.shuffle(days)
    if how == "overlapping":
        starts = rng.sample(range(1, 13, 2), 6)
        return [Window(day(s), day(min(13, s + 5))) for s in starts]
    return days


@pytest.mark.parametrize(
    ("path", "how"),
    [(BY_DAY, "shuffled"), (BY_DAY, "overlapping"), ("orders_*.csv", "shuffled")],
)
def test_any_order_of_loads_gives_what_one_range_gives(source: Source, path: str, how: str) -> None:
    rng = random.Random(5)
    many_days(source, rng)
    config = source.config(path, late_days=2)
    source.load(config, SPAN)
    expected = source.state()
    assert len(expected["raw_orders"]) > 5
    assert len(expected["rejected_rows"]) > 5
    source.empty()
    for window in spans(rng, how):
        source.load(config, window)
    assert source.state() == expected


def test_redoing_a_window_changes_nothing(source: Source) -> None:
    many_days(source, random.Random(8))
    config = source.config(BY_DAY, late_days=2)
    source.load(config)
    before = source.state()
    source.load(config)
    source.load(config, Window(day(7), day(12)))
    assert source.state() == before


def test_a_row_deleted_or_mended_at_the_source_is_so_after_a_redo(source: Source) -> None:
    config = source.config(BY_DAY)
    source.write("orders_2024-01-05.csv", csv_of(at(5, order_id="gone"), at(5, quantity="x")))
    source.write("orders_2024-01-06.csv", csv_of(at(6, order_id="kept")))
    source.load(config)
    source.write("orders_2024-01-05.csv", csv_of(at(5, order_id="mended")))
    source.load(config, Window(day(5), day(6)))
    assert source.rows("SELECT order_id FROM raw.raw_orders ORDER BY 1") == [("kept",), ("mended",)]
    assert source.rows("FROM raw.rejected_rows") == []
    (source.folder / "in" / "orders_2024-01-05.csv").unlink()
    source.load(config, Window(day(5), day(6)))
    assert source.rows("SELECT order_id FROM raw.raw_orders") == [("kept",)]


def test_a_load_leaves_other_sources_alone(source: Source) -> None:
    source.write("orders.csv", csv_of({}, {"quantity": "x"}))
    source.load()
    source.write("sessions.csv", "session_id,customer_id,started_at\nS1,C1,2024-01-02\n,C2,x\n")
    sessions = source.config("sessions.csv", "user_sessions")
    assert source.load(sessions).total == DayLoad(2, 1, 1)
    source.write("sessions.csv", "session_id,customer_id,started_at\n")
    source.load(sessions)
    assert source.rows("SELECT source FROM raw.rejected_rows") == [("orders",)]
    assert source.rows("SELECT source, count(*) FROM raw.source_loads GROUP BY 1 ORDER BY 1") == [
        ("orders", 31),
        ("user_sessions", 31),
    ]


def test_a_source_without_days_is_loaded_whole(source: Source) -> None:
    config = source.config("products.csv", "products")
    source.write("products.csv", "product_id,list_price\nP1,3\nP2,-1\n,2\n")
    result = source.load(config, None)
    assert result.days == {None: DayLoad(3, 1, 2)}
    assert result.reasons == {"list_price: less than 0": 1, "product_id: missing": 1}
    source.write("products.csv", "product_id\nP3\n")
    source.load(config, None)
    assert source.rows("SELECT product_id, list_price FROM raw.raw_products") == [("P3", None)]
    assert source.rows("FROM raw.rejected_rows") == []
    assert source.rows("SELECT window_date, rows_read FROM raw.source_loads") == [(None, 1)]


@pytest.mark.parametrize("folder", ["it's here", 'a "b"', "with space", "ünï"])
@pytest.mark.parametrize("path", ["orders.csv", BY_DAY])
def test_any_folder_will_do(tmp_path: Path, folder: str, path: str) -> None:
    odd = Source(tmp_path / folder)
    odd.write(path.replace("{date}", "2024-01-02"), csv_of({}, {"quantity": "x"}))
    assert odd.load(odd.config(path)).total == DayLoad(2, 1, 1)
    name = path.replace("{date}", "2024-01-02")
    assert odd.rows("SELECT source_file FROM raw.raw_orders") == [(name,)]


def test_two_homes_of_the_same_files_load_the_same(tmp_path: Path) -> None:
    states = []
    for home in ("a", "b/c"):
        made = Source(tmp_path / home)
        many_days(made, random.Random(1))
        made.load(made.config(BY_DAY))
        states.append(made.state())
    assert states[0] == states[1]


def test_loaded_to_is_the_end_of_the_newest_day_of_orders(source: Source) -> None:
    assert loaded_to(Warehouse(source.folder / "none.duckdb")) is None
    assert loaded_to(source.warehouse) is None  # from here on a file
    source.write("orders_2024-01-05.csv", csv_of(at(5)))
    source.load(source.config(BY_DAY), Window(day(3), day(6)))
    assert loaded_to(source.warehouse) == day(6)


def test_an_open_calendar_has_no_last_day(source: Source) -> None:
    source.write("orders.csv", csv_of({"ordered_at": "2030-06-01"}))
    june = Window(date(2030, 6, 1), date(2030, 6, 2))
    assert source.load(window=june, calendar=Calendar(CALENDAR.start)).total.accepted == 1
