"""What the rows of an order have to do with each other: refunds, and what is the order's own."""

import gzip
import hashlib
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.checks.reconciliation import checks
from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources import contents
from analytics_assets.sources.config import SourceConfig, SourceConfigError, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.ledger import DayLoad
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets_tests.sources.conftest import CALENDAR, ORDERS, Source, csv_of

QUARTER = Calendar(date(2024, 1, 1), date(2024, 4, 1))
JANUARY = Window(date(2024, 1, 1), date(2024, 2, 1))
FEBRUARY = Window(date(2024, 2, 1), date(2024, 3, 1))
REFUNDED = (*ORDERS, "refunded_amount", "refunded_at")
NO_REFUND = {"refunded_amount": "", "refunded_at": ""}
MONEY = "order_id, order_date, quantity, amount, is_refund, amount_is_total, source_row"


SHOP = (*ORDERS, "status", "country")
UNFILLED = {"status": "", "country": ""}


def lines(source: Source, columns: str = MONEY) -> list[Any]:
    return source.rows(f"SELECT {columns} FROM raw.raw_orders ORDER BY source_row, is_refund")


def accounts(source: Source) -> list[Any]:
    """What the ledger says of the days that have rows."""
    return source.rows(
        "SELECT window_date, rows_read, rows_split, rows_accepted, rows_rejected "
        "FROM raw.source_loads WHERE rows_read + rows_split + rows_accepted > 0 ORDER BY 1"
    )


def test_a_partial_refund_is_a_row_of_its_own_day(source: Source) -> None:
    source.write(
        "orders.csv",
        csv_of(
            NO_REFUND,
            {"order_id": "O2", "refunded_amount": "2.5", "refunded_at": "2024-02-03 09:00:00"},
            columns=REFUNDED,
        ),
    )
    config = source.config()
    assert source.load(config, JANUARY, QUARTER).total == DayLoad(2, 2, 0)
    assert source.load(config, FEBRUARY, QUARTER).total == DayLoad(0, 1, 0, 1)
    day = date(2024, 1, 2)
    assert lines(source) == [
        ("O1", day, 2, None, False, False, 1),
        ("O2", day, 2, None, False, False, 2),
        ("O2", date(2024, 2, 3), 0, Decimal("-2.5"), True, True, 2),
    ]
    remembered = source.folder / "source_files.sqlite"
    for window in (JANUARY, FEBRUARY):
        seen = contents.content_versions(reader_of(config), QUARTER, window, remembered)
        loaded = dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))
        assert seen == {key: loaded[key] for key in window}
    assert accounts(source) == [(day, 2, 0, 2, 0), (date(2024, 2, 3), 0, 1, 1, 0)]


@pytest.mark.parametrize(
    "words", [{}, {"status_map": {"refunded": "returned", "paid": "completed"}}]
)
def test_a_returned_line_is_refunded_as_a_whole(source: Source, words: dict[str, Any]) -> None:
    returned = "refunded" if words else "returned"
    source.write(
        "orders.csv",
        csv_of(
            {"status": returned, "cost": "4", "discount": "1"},
            {"order_id": "O2", "status": "paid" if words else "completed", "cost": "4",
             "discount": ""},
            {"order_id": "O3", "status": returned, "quantity": "-1", "cost": "", "discount": ""},
            columns=(*ORDERS, "status", "cost", "discount"),
        ),
    )  # fmt: skip
    result = source.load(source.config(**words))
    assert result.total == DayLoad(3, 4, 0, 1)
    refund = source.rows(
        "SELECT order_id, quantity, unit_price, amount, cost, discount, line_number, status "
        "FROM raw.raw_orders WHERE is_refund"
    )
    price, amount, cost = Decimal("3.5"), Decimal(-6), Decimal(-4)
    assert refund == [("O1", -2, price, amount, cost, None, None, "returned")]


def test_equal_lines_that_are_numbered_have_a_refund_each(source: Source) -> None:
    rows = [{"status": "returned", "line_number": number} for number in "12"]
    source.write("orders.csv", csv_of(*rows, columns=(*ORDERS, "status", "line_number")))
    source.load()
    keys = source.rows("SELECT line_key FROM raw.raw_orders WHERE is_refund ORDER BY 1")
    assert keys == [("line 1",), ("line 2",)]


def test_a_rejected_line_has_no_refund(source: Source) -> None:
    source.write(
        "orders.csv",
        csv_of(
            {"refunded_amount": "1", "quantity": "x", "refunded_at": ""},
            {"refunded_amount": "a", "refunded_at": ""},
            {"refunded_amount": "1", "refunded_at": "2025-01-01"},
            columns=REFUNDED,
        ),
    )
    result = source.load()
    assert result.total == DayLoad(3, 1, 2)
    assert result.warnings == ("1 refunds are of days outside the calendar: not counted",)
    assert "refunded_amount: not a number of at most 4 decimals" in result.reasons


def test_in_files_of_a_day_a_later_refund_counts_on_the_day_of_the_file(source: Source) -> None:
    for day, at in (("02", "2024-01-20"), ("05", "2024-01-04 11:00:00")):
        source.write(
            f"{day}.csv",
            csv_of(
                {"order_id": day, "ordered_at": f"2024-01-{day}", "refunded_amount": "1",
                 "refunded_at": at},
                columns=REFUNDED,
            ),
        )  # fmt: skip
    config = source.config("{date:%Y%m%d}.csv", late_days=2)
    for day in ("02", "05"):
        (source.folder / "in" / f"{day}.csv").rename(source.folder / "in" / f"202401{day}.csv")
    source.load(config)
    refunds = source.rows(
        "SELECT order_id, order_date, ordered_at::DATE FROM raw.raw_orders WHERE is_refund "
        "ORDER BY 1"
    )
    assert refunds == [
        ("02", date(2024, 1, 2), date(2024, 1, 2)),
        ("05", date(2024, 1, 4), date(2024, 1, 4)),
    ]


@pytest.mark.parametrize("form", ["", ".gz"])
def test_what_is_the_orders_is_carried_to_its_other_lines(source: Source, form: str) -> None:
    """Two files: each numbers its own rows, and none gives values to the other."""
    for name, country in (("a.csv", "PE"), ("b.csv", "")):
        content = csv_of(
            {"order_id": "O1", "status": "completed", "country": country},
            {"order_id": "O2", **UNFILLED},
            {"order_id": " O1", "status": " ", "country": ""},
            {"order_id": "O2", "quantity": "x", "status": "VOID", "country": "CL"},
            {"order_id": "O2", "status": "pending", "country": ""},
            columns=SHOP,
        ).encode()
        source.write(name + form, gzip.compress(content) if form else content)
    config = source.config(
        f"*.csv{form}", order_level=("status", "country"), status_map={"void": "cancelled"}
    )
    result = source.load(config)
    assert result.total == DayLoad(10, 8, 2)
    assert not [w for w in result.warnings if "order_level" in w]
    found = source.rows(
        "SELECT source_file[1:1], source_row, order_id, status, country FROM raw.raw_orders "
        "ORDER BY 1, 2"
    )
    assert found == [
        ("a", 1, "O1", "completed", "PE"),
        ("a", 2, "O2", "cancelled", "CL"),
        ("a", 3, "O1", "completed", "PE"),
        ("a", 5, "O2", "pending", "CL"),
        ("b", 1, "O1", "completed", None),
        ("b", 2, "O2", "cancelled", "CL"),
        ("b", 3, "O1", "completed", None),
        ("b", 5, "O2", "pending", "CL"),
    ]
    places = source.rows("SELECT source_row, source_line FROM raw.rejected_rows")
    assert places == [(4, 5), (4, 5)]


def test_orders_with_lines_with_and_without_a_status_are_a_warning(source: Source) -> None:
    source.write(
        "orders.csv",
        csv_of(
            {"status": "completed", "country": "PE"},
            UNFILLED,
            {"order_id": "O2", **UNFILLED, "country": "PE"},
            columns=SHOP,
        ),
    )
    warnings = source.load().warnings
    assert [w[:40] for w in warnings] == [
        "status: 1 orders have lines with it and ",
        "country: 1 orders have lines with it and",
    ]
    assert warnings[0].endswith("`order_level: [status]`")


def test_a_returned_order_is_refunded_line_by_line(source: Source) -> None:
    source.write(
        "orders.csv",
        csv_of(
            {"status": "returned", "country": ""},
            {**UNFILLED, "product_id": "P2"},
            columns=SHOP,
        ),
    )
    assert source.load(source.config(order_level=("status",))).total == DayLoad(2, 4, 0, 2)


def test_order_level_names_columns_that_are_there(source: Source, tmp_path: Path) -> None:
    source.write("orders.csv", csv_of({}))
    with pytest.raises(SourceError, match="there is no column 'status'"):
        source.load(source.config(order_level=("status",)))
    file = tmp_path / "sources.yaml"
    start = "calendar: {start: 2024-01-01}\norders: {path: a.csv, order_level: "
    file.write_text(start + "[status, countri]}")
    with pytest.raises(SourceConfigError, match=r"no column of an order\. Did you mean 'country'"):
        load_sources(file)
    file.write_text(start + "[status, country]}")
    assert load_sources(file).sources["orders"].order_level == ("status", "country")


AMOUNTS = ("discount", "shipping", "refunded_amount")
NONE_OF_THEM = dict.fromkeys(AMOUNTS, "")


@pytest.mark.parametrize(("decimal", "form"), [(".", ""), (",", ""), (".", ".gz")])
def test_amounts_of_an_order_are_split_over_its_lines(
    source: Source, decimal: str, form: str
) -> None:
    """The first order has them on its first line, the second on each; the third costs nothing."""

    def row(order: str, quantity: str, price: str, *amounts: str) -> dict[str, str]:
        given = dict(zip(AMOUNTS, amounts, strict=True)) if amounts else NONE_OF_THEM
        row = {"order_id": order, "quantity": quantity, "unit_price": price, **given}
        return {name: f'"{value.replace(".", decimal)}"' for name, value in row.items()}

    content = csv_of(
        row("O1", "1", "1.00", "4.00", "0.10", "2.00"),
        row("O2", "1", "2.00", "0", "5.00", ""),
        row("O1", "2", "1.00"),
        row("O1", "3", "1.00"),
        row("O2", "1", "6.00", "0", "5.00", ""),
        row("O3", "1", "0", "", "3.00", ""),
        row("O3", "1", "0"),
        row("O4", "1", "9.00", "many", "", ""),
        columns=(*ORDERS, *AMOUNTS),
    ).encode()
    source.write(f"orders.csv{form}", gzip.compress(content) if form else content)
    config = source.config(f"orders.csv{form}", order_amounts=AMOUNTS, decimal=decimal)
    result = source.load(config)
    assert result.reasons == {"discount: not a number of at most 4 decimals": 1}
    found = source.rows(
        "SELECT order_id, discount, shipping FROM raw.raw_orders WHERE NOT is_refund "
        "ORDER BY order_id, source_row"
    )
    third = Decimal("0.6667")
    assert found == [
        ("O1", third, Decimal("0.0167")),
        ("O1", 2 - third, Decimal("0.0333")),
        ("O1", Decimal(2), Decimal("0.05")),
        ("O2", 0, Decimal("1.25")),
        ("O2", 0, Decimal("3.75")),
        ("O3", None, Decimal(3)),
        ("O3", None, None),
    ]
    refunds = source.rows("SELECT amount FROM raw.raw_orders WHERE is_refund ORDER BY source_row")
    assert [-amount for (amount,) in refunds] == [
        Decimal("0.3333"),
        Decimal("0.6667"),
        Decimal(1),
    ]


def test_the_cost_of_a_unit_makes_the_cost_of_the_line(source: Source) -> None:
    source.write(
        "orders.csv",
        csv_of(
            {"unit_cost": "1.25", "cost": ""},
            {"unit_cost": "1.25", "cost": "2"},
            {"unit_cost": "", "cost": ""},
            {"unit_cost": "99999999999999", "quantity": "900", "cost": ""},
            columns=(*ORDERS, "unit_cost", "cost"),
        ),
    )
    assert source.load().reasons == {"unit_cost: too large a cost of the line": 1}
    costs = [Decimal("2.5"), Decimal(2), None]
    assert [cost for (cost,) in lines(source, "cost")] == costs


def test_columns_of_orders_are_taken_by_their_names(source: Source) -> None:
    names = ("channel", "coupon", "discount", "tax", "shipping", "is_test")
    values = {"channel": "till", "coupon": "MAY", "discount": "1", "tax": "0.5", "shipping": "3",
              "is_test": "yes"}  # fmt: skip
    bad = {**dict.fromkeys(names, ""), "discount": "-1", "is_test": "maybe"}
    source.write("orders.csv", csv_of(values, bad, columns=(*ORDERS, *names)))
    result = source.load()
    assert lines(source, ", ".join(names)) == [
        ("till", "MAY", Decimal(1), Decimal("0.5"), Decimal(3), True)
    ]
    assert [why.split(":")[0] for why in result.reasons] == ["discount", "is_test"]


ADDRESSES = ("Ana+Shop@Mail.example", " ana@mail.example", "ana@mail.example", "")


@pytest.mark.parametrize(("strip", "customers"), [(False, 2), (True, 1)])
def test_an_address_becomes_a_code(source: Source, strip: bool, customers: int) -> None:
    source.write(
        "orders.csv",
        csv_of(*({"order_id": f"O{n}", "customer_id": a} for n, a in enumerate(ADDRESSES))),
    )
    words: dict[str, Any] = {"customer_key": "email", "strip_plus_tags": strip}
    result = source.load(source.config(**words))
    assert (result.total, result.warnings) == (DayLoad(4, 4, 0), ())
    codes = [code for (code,) in lines(source, "customer_id")]
    assert len({*codes[:3]}) == customers
    assert codes[1:] == ["c" + hashlib.sha256(b"ana@mail.example").hexdigest()[:16]] * 2 + [None]
    source.write("customers.csv", "customer_id,city\nANA@mail.example,Lima\n")
    source.load(source.config("customers.csv", "customers", **words), None)
    assert source.rows("SELECT customer_id FROM raw.raw_customers") == [(codes[1],)]
    kept = source.rows("SELECT * EXCLUDE (order_id) FROM raw.raw_orders")
    assert "@" not in f"{kept} {source.rows('FROM raw.raw_customers')}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("orders: {path: a.csv, customer_key: phone}", "is no choice here"),
        ("orders: {path: a.csv, strip_plus_tags: true}", "means nothing without"),
        ("orders: {path: a.csv, strip_plus_tags: 1}", "1 is neither true nor false"),
        ("orders: {path: a.csv, order_amounts: [unit_price]}", "is no amount of an order"),
        ("orders: {path: '{date}.csv', order_snapshot: true}", "is for orders in files that"),
        ("orders: {path: a.csv}\nproducts: {path: a.csv, customer_key: email}", "no customers"),
    ],
)
def test_wrong_words_of_addresses(tmp_path: Path, words: str, message: str) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(f"calendar: {{start: 2024-01-01}}\n{words}")
    with pytest.raises(SourceConfigError, match=message):
        load_sources(file)


def test_rows_of_days_to_come_are_counted_and_loaded_when_due(source: Source) -> None:
    source.write(
        "orders.csv", csv_of({}, {"ordered_at": "2024-01-20"}, {"ordered_at": "2024-02-08"})
    )
    open_end = Calendar(date(2024, 1, 1))
    ledger = "SELECT sum(rows_read), sum(rows_accepted), sum(rows_not_due) FROM raw.source_loads"
    for end, loaded, coming in ((11, 1, 2), (21, 2, 1)):
        window = Window(date(2024, 1, 1 if end == 11 else 20), date(2024, 1, end))
        noon = datetime(2024, 1, 10 if loaded == 1 else 20, 12)  # noqa: DTZ001
        result = source.load(source.config(), window, open_end, noon)
        assert result.total.not_due == coming
        assert source.rows(ledger) == [(loaded + coming, loaded, coming)]
    # An older day that is loaded again knows nothing of it.
    source.load(source.config(), Window(date(2024, 1, 2), date(2024, 1, 3)), open_end, noon)
    assert source.rows(ledger) == [(3, 2, 1)]


def test_a_day_has_come_when_it_has_in_the_zone_of_the_days(source: Source) -> None:
    source.write("orders.csv", csv_of({"ordered_at": "2024-01-10T22:00:00Z"}))
    window = Window(date(2024, 1, 1), date(2024, 1, 11))
    for zone, coming in (("Asia/Tokyo", 0), ("UTC", 0), (None, 0)):
        config = source.config(reporting_time_zone=zone)
        late = datetime(2024, 1, 10, 22, 30)  # noqa: DTZ001
        result = source.load(config, window, Calendar(date(2024, 1, 1)), late)
        assert result.total.not_due == coming, zone


def test_the_equation_of_a_load_has_the_refunds_and_what_is_not_due(source: Source) -> None:
    refund = {"refunded_amount": "1", "refunded_at": "2024-01-03"}
    later = {**NO_REFUND, "ordered_at": "2024-02-20"}
    source.write("orders.csv", csv_of(refund, later, columns=REFUNDED))
    config = source.config()
    source.load(config, JANUARY, QUARTER)
    sources = SourcesConfig(QUARTER, {"orders": config})
    accounts = next(c for c in checks(sources) if c.name == "read_is_accepted_plus_rejected")
    assert source.rows("SELECT sum(rows_split), sum(rows_not_due) FROM raw.source_loads") == [
        (1, 1)
    ]
    assert not source.rows(accounts.rule.query(None))
    for column in ("rows_split", "rows_not_due"):
        source.rows(f"UPDATE raw.source_loads SET {column} = 1 - {column} WHERE {column} = 1")
        assert source.rows(accounts.rule.query(None))
        source.rows(
            f"UPDATE raw.source_loads SET {column} = 1 WHERE window_date = "
            f"'2024-01-{'03' if column == 'rows_split' else '31'}'"
        )


def exports(source: Source) -> SourceConfig:
    """Two exports: the later one has an order without one of its lines, and one more order."""
    first = [{"order_id": "O1"}, {"order_id": "O1", "product_id": "P2"}, {"order_id": "O2"}]
    second = [{"order_id": " O1", "quantity": "5"}, {"order_id": "O3"}]
    source.write("export_1.csv", csv_of(*first))
    source.write("export_2.csv", csv_of(*second))
    return source.config("export_*.csv", order_snapshot=True)


def test_of_exports_that_overlap_the_last_file_counts_for_each_order(source: Source) -> None:
    config = exports(source)
    result = source.load(config)
    assert result.total == DayLoad(5, 3, 2)
    assert result.reasons == {"order_id: a later file has the order": 2}
    assert "2 lines are of orders that a later file has" in result.warnings
    found = source.rows(
        "SELECT source_file, source_row, order_id, quantity FROM raw.raw_orders ORDER BY 1, 2"
    )
    assert found == [
        ("export_1.csv", 3, "O2", 2),
        ("export_2.csv", 1, "O1", 5),
        ("export_2.csv", 2, "O3", 2),
    ]
    rejected = source.rows("SELECT source_file, source_row FROM raw.rejected_rows ORDER BY 2")
    assert rejected == [("export_1.csv", 1), ("export_1.csv", 2)]
    remembered = source.folder / "source_files.sqlite"
    seen = contents.content_versions(reader_of(config), CALENDAR, JANUARY, remembered)
    assert seen == dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))


def test_superseded_lines_are_within_the_limit_of_rejected_rows(source: Source) -> None:
    lines = csv_of(*({"order_id": f"O{n}"} for n in range(100)))
    for number in (1, 2):
        source.write(f"export_{number}.csv", lines)
    assert source.load(source.config("*.csv", order_snapshot=True)).total == DayLoad(200, 100, 100)


def rated(folder: Path, currency: str) -> SourceConfig:
    """Orders with a configuration of currencies."""
    file = folder / "in" / "sources.yaml"
    file.write_text(
        f"calendar: {{start: 2024-01-01}}\ncurrency: {currency}\norders: {{path: orders.csv}}"
    )
    return load_sources(file).sources["orders"]


PRICES = "unit_price, amount, cost, currency"
PRICED = (*ORDERS, "amount", "cost", "currency", "refunded_amount")


def test_fixed_rates_convert_all_money(source: Source) -> None:
    none = {"amount": "", "cost": "", "refunded_amount": ""}
    source.write(
        "orders.csv",
        csv_of(
            {"currency": "CLP", "amount": "7", "cost": "2000", "refunded_amount": "1000"},
            {**none, "currency": "usd"},
            {**none, "currency": "", "unit_price": "4"},
            columns=PRICED,
        ),
    )
    config = rated(source.folder, "{reporting: usd, rates: {clp: 0.0011}}")
    assert source.load(config).total == DayLoad(3, 4, 0, 1)
    assert lines(source, PRICES) == [
        (Decimal("0.0039"), Decimal("0.0077"), Decimal("2.2"), "CLP"),
        (Decimal("0.0039"), Decimal("-1.1"), None, "CLP"),
        (Decimal("3.5"), None, None, "USD"),
        (Decimal(4), None, None, None),
    ]


def test_rates_of_a_file_are_those_of_the_day(source: Source) -> None:
    days = ("2024-01-04", "2024-01-05", "2024-01-09")
    rows = [{"currency": "SEK", "ordered_at": f"{day} 23:30:00"} for day in days]
    source.write("orders.csv", csv_of(*rows, columns=(*ORDERS, "currency")))
    rates = "day,currency,rate\n2024-01-05,SEK,2\n2024-01-01,SEK,1.5\n"
    source.write("rates.csv", rates)
    words = "{reporting: EUR, rates_file: rates.csv}"
    config = rated(source.folder, words)
    source.load(config)
    prices = [Decimal("5.25"), Decimal(7), Decimal(7)]
    assert [price for (price,) in lines(source, "unit_price")] == prices
    before = dict(source.rows("SELECT window_date, source_version FROM raw.source_loads"))
    source.write("rates.csv", rates + "2024-01-06,SEK,3\n")
    remembered = source.folder / "source_files.sqlite"
    after = contents.content_versions(
        reader_of(rated(source.folder, words)), CALENDAR, JANUARY, remembered
    )
    assert [str(day) for day in before if before[day] != after[day]] == ["2024-01-09"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{reporting: EUR, rates: {CLP: 0.001}}", "1 lines are in SEK, .* from SEK to EUR on "),
        ("{reporting: EUR, rates_file: rates.csv}", "no rate from SEK to EUR on 2024-01-02"),
    ],
)
def test_a_missing_rate_is_an_error(source: Source, words: str, message: str) -> None:
    source.write("orders.csv", csv_of({"currency": "SEK"}, columns=(*ORDERS, "currency")))
    source.write("rates.csv", "day,currency,rate\n2024-01-03,SEK,2\n")
    with pytest.raises(SourceError, match=message):
        source.load(rated(source.folder, words))
    assert not lines(source)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{rates: {CLP: 1}}", "there is no `reporting`"),
        ("{reporting: EUR, rates: {CLP: 0}}", "line 2: currency.rates.CLP: 0 is no rate above 0"),
        ("{reporting: EUR, rates_file: none.csv}", "none.csv cannot be read as rates"),
        ("{reporting: EUR, rates_file: orders.csv}", "has no column 'rate'"),
    ],
)
def test_a_wrong_currency_is_an_error_with_its_line(
    source: Source, words: str, message: str
) -> None:
    source.write("orders.csv", csv_of({}))
    with pytest.raises(SourceConfigError, match=message):
        rated(source.folder, words)
