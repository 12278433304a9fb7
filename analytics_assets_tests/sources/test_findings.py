"""What rows give away before they are loaded: each with a file where it is, and one where it is
not.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from analytics_assets.partitions import Calendar
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import Currency, Rate, SourceConfig, SourcesConfig
from analytics_assets.sources.report import SourceReport, in_words
from analytics_assets_tests.sources.conftest import CALENDAR, ORDERS, Source, csv_of

Row = dict[str, str]


def looks(*configs: SourceConfig, calendar: Calendar = CALENDAR) -> list[SourceReport]:
    return check_sources(SourcesConfig(calendar, {config.source: config for config in configs}))


def of(source: Source, *rows: Row, columns: tuple[str, ...] = ORDERS, **words: Any) -> SourceReport:
    source.write("orders.csv", csv_of(*rows, columns=columns))
    (report,) = looks(source.config(**words))
    return report


def said(report: SourceReport) -> list[tuple[str, str]]:
    return [(finding.sentence, finding.line) for finding in report.findings]


def test_plain_orders_give_nothing_away(source: Source) -> None:
    report = of(source, {}, {"order_id": "O2", "customer_id": "C2"})
    assert (report.findings, report.words, report.problem) == ((), (), None)


def test_customers_and_products_that_their_sources_lack(source: Source) -> None:
    source.write("customers.csv", "customer_id\nC1\nC2\n")
    source.write("products.csv", "product_id\nP1\n")
    rows: list[Row] = [
        {},
        {"order_id": "O2", "customer_id": "C9"},
        {"order_id": "O3", "customer_id": "C9", "product_id": "P7"},
        {"order_id": "O4", "customer_id": "an@address.example"},
    ]
    source.write("orders.csv", csv_of(*rows))
    configs = [
        source.config("customers.csv", "customers"),
        source.config("products.csv", "products"),
    ]
    report, *_ = looks(source.config(), *configs)
    address, *sentences = [sentence for sentence, _ in said(report)]
    assert address.startswith("customer_id: has e-mail addresses.")
    kept = "They are kept, and inferred from what names them"
    assert sentences == [
        f"3 orders have a customer_id that customers lacks: 2 of them, such as C9. {kept}",
        f"1 orders have a product_id that products lacks: 1 of them, such as P7. {kept}",
    ]
    source.write("orders.csv", csv_of({}, {"order_id": "O2", "customer_id": "C2"}))
    assert said(looks(source.config(), *configs)[0]) == []


def test_orders_without_a_customer(source: Source) -> None:
    report = of(source, {}, {"order_id": "O2", "customer_id": ""})
    ((sentence, line),) = said(report)
    assert sentence.startswith("1 of 2 orders (50%) are of guests, without a customer_id")
    assert line == ""


def test_a_word_for_nobody_is_named(source: Source) -> None:
    report = of(source, {}, {"order_id": "O2", "customer_id": "NULL"})
    (sentence, line), _ = said(report)
    assert sentence.startswith("customer_id: NULL in 1 rows, read as missing")
    assert line == "null_words: {customer_id: []}"


def test_identifiers_that_a_spreadsheet_has_changed(source: Source) -> None:
    report = of(source, {"customer_id": "13085.0"}, {"order_id": " O2", "customer_id": "13085"})
    assert [sentence for sentence, _ in said(report)] == [
        "customer_id: 1 rows have a number with .0, such as 13085.0, which is read as 13085",
        "order_id: 1 rows have white space around it, which is left out",
    ]


def busy(who: str, orders: int) -> list[Row]:
    return [
        *({"order_id": f"G{n}", "customer_id": who} for n in range(orders)),
        *({"order_id": f"O{n}", "customer_id": f"C{n}"} for n in range(20)),
    ]


@pytest.mark.parametrize(
    ("who", "line"), [("0", "null_words: {customer_id: ['0']}"), ("till@shop.example", "")]
)
def test_a_customer_with_an_implausible_share(source: Source, who: str, line: str) -> None:
    address = said(of(source, *busy(who, 50)))
    assert len(address) == ("@" in who)
    assert all(sentence.startswith("customer_id: has e-mail") for sentence, _ in address)
    *others, (sentence, found) = said(of(source, *busy(who, 60)))
    assert others == address
    assert "has 60 of 80 orders" in sentence
    assert found == line
    assert "till" not in sentence


def test_several_currencies(source: Source) -> None:
    columns = (*ORDERS, "currency")
    rows: list[Row] = [
        {"currency": "EUR"},
        {"currency": "EUR"},
        {"order_id": "O2", "currency": "sek"},
    ]
    report = of(source, *rows, columns=columns)
    (finding,) = report.findings
    assert finding.sentence == "amounts are in 2 currencies: EUR (2 lines), SEK (1 lines)"
    assert (finding.line, finding.top) == ("currency: {reporting: EUR, rates: {SEK: ...}}", True)
    assert report.problem is not None
    assert "never added" in report.problem
    rated = Currency("EUR", (Rate("SEK", "0.1"),))
    report = of(source, *rows, columns=columns, currency=rated)
    assert (report.problem, report.findings[0].line) == (None, "")
    assert said(of(source, *rows[:2], columns=columns)) == []


def test_exports_that_overlap(source: Source) -> None:
    first: list[Row] = [{}, {"order_id": "O2"}, {"order_id": "O3"}]
    source.write("orders-1.csv", csv_of(*first))
    edited = {"order_id": "O3", "quantity": "5"}
    source.write("orders-2.csv", csv_of({"order_id": "O2"}, edited, {"order_id": "O4"}))
    ((sentence, line),) = said(looks(source.config("orders-*.csv"))[0])
    assert sentence.startswith("2 orders are in several files, such as O2, O3; 1 of their lines")
    assert line == "order_snapshot: true"
    assert said(looks(source.config("orders-*.csv", order_snapshot=True))[0]) == []
    # Parts of orders are no exports that overlap.
    source.write("orders-2.csv", csv_of({"order_id": "O2", "product_id": "P8"}))
    ((sentence, line),) = said(looks(source.config("orders-*.csv"))[0])
    assert sentence.endswith("and their lines differ: all of them count")
    assert line == ""
    source.write("orders-2.csv", csv_of({"order_id": "O5"}))
    assert said(looks(source.config("orders-*.csv"))[0]) == []


def test_columns_of_the_order_on_its_first_line(source: Source) -> None:
    columns = (*ORDERS, "status", "country")
    later = {"status": "", "country": "", "product_id": "P2", "ordered_at": ""}
    rows: list[Row] = [{"status": "completed", "country": "DE"}, later]
    ((sentence, line),) = said(of(source, *rows, columns=columns))
    assert sentence.startswith(
        "on some lines of an order only: status in 1 orders, in 1 on the first; country in 1 "
        "orders, in 1 on the first; ordered_at in 1 orders, in 1 on the first."
    )
    assert line == "order_level: [status, country, ordered_at]"
    level = ("status", "country", "ordered_at")
    report = of(source, *rows, columns=columns, order_level=level)
    assert (report.findings, report.rejected) == ((), 0)
    # A value that cannot be read is not missing.
    rows[1] = {**rows[0], "ordered_at": "soon", "product_id": "P2"}
    assert said(of(source, *rows, columns=columns)) == []


@pytest.mark.parametrize(("name", "other"), [("customer_id", "C2"), ("status", "pending")])
def test_orders_that_do_not_agree_with_themselves(source: Source, name: str, other: str) -> None:
    columns = (*ORDERS, "status")
    rows: list[Row] = [{"status": "completed"}, {"status": "completed", name: other}]
    ((sentence, _),) = said(of(source, *rows, columns=columns))
    assert sentence.startswith(f"1 orders have several values of {name}, such as O1")
    assert said(of(source, rows[0], {**rows[1], "order_id": "O2"}, columns=columns)) == []


def test_days_that_have_not_closed(source: Source) -> None:
    source.write("orders.csv", csv_of({}, {"order_id": "O2", "ordered_at": "2099-01-02 10:00:00"}))
    endless = Calendar(date(2024, 1, 1))
    (report,) = looks(source.config(), calendar=endless)
    ((sentence, _),) = said(report)
    assert sentence.startswith("1 rows are of days that have not closed (2099-01-02 to 2099-01-02)")
    source.write("orders.csv", csv_of({}))
    assert said(looks(source.config(), calendar=endless)[0]) == []


def words_of(report: SourceReport) -> dict[str, Any]:
    return dict(report.words)


TIMES: list[tuple[list[str], Any]] = [
    (["13/01/2024", "02/01/2024"], ("%d/%m/%Y",)),
    (["1/13/2024 3:05 PM", "1/2/2024 11:00 AM"], ("%m/%d/%Y %I:%M %p",)),
    (["13.01.2024 10:00", "02.01.2024 11:30"], ("%d.%m.%Y %H:%M",)),
    (["20240113", "20240102"], ("%Y%m%d",)),
    (["Jan 13, 2024", "Jan 2, 2024"], ("%b %d, %Y",)),
    (["13 January 2024", "2 January 2024"], ("%d %B %Y",)),
]  # fmt: skip


@pytest.mark.parametrize(("times", "forms"), TIMES)
def test_the_format_of_times_is_proposed(
    source: Source, times: list[str], forms: tuple[str, ...]
) -> None:
    rows = [{"ordered_at": f'"{time}"'} for time in times]
    report = of(source, *rows)
    assert report.problem == "every row would be rejected"
    assert words_of(report) == {"timestamp_formats": forms}
    assert (report.still, report.undecided) == (0, ())
    assert of(source, *rows, **words_of(report)).rejected == 0


def test_a_format_beside_times_that_are_read(source: Source) -> None:
    report = of(source, {}, {"ordered_at": "31/01/2024"})
    assert words_of(report)["timestamp_formats"][:2] == ("%d/%m/%Y", "%Y-%m-%d %H:%M:%S")
    assert report.still == 0


def test_a_day_that_may_be_a_month_is_said(source: Source) -> None:
    report = of(source, {"ordered_at": "02/01/2024"}, {"ordered_at": "01/01/2024"})
    # The calendar of one month decides: the second is no day of it as a month.
    year = Calendar(date(2024, 1, 1), date(2025, 1, 1))
    assert (words_of(report), report.undecided) == ({"timestamp_formats": ("%d/%m/%Y",)}, ())
    (report,) = looks(source.config(), calendar=year)
    assert "no value says whether day or month comes first" in report.undecided[0]
    assert "# timestamp_formats: ['%m/%d/%Y'] reads as much" in "\n".join(in_words(report))


NUMBERS: list[tuple[list[str], dict[str, Any]]] = [
    (["3,50", "1204,00"], {"decimal": ","}),
    (["1,204.50", "3.50"], {"thousands": ","}),
    (["1.204,50", "3,50"], {"decimal": ",", "thousands": "."}),
    (["$3.50", "$1.00"], {"currency_signs": ("$",)}),
    (["3,50 €", "12,00 €"], {"currency_signs": ("€",), "decimal": ","}),
    (["(3.50)", "1.25"], {"parentheses_are_negative": True}),
    (["3.123456", "1.25"], {"rounding": "half_up"}),
]


@pytest.mark.parametrize(("prices", "words"), NUMBERS)
def test_the_form_of_numbers_is_proposed(
    source: Source, prices: list[str], words: dict[str, Any]
) -> None:
    rows = [{"unit_price": f'"{price}"'} for price in prices]
    report = of(source, *rows)
    assert words_of(report) == words
    assert report.still == 0
    assert of(source, *rows, **words).rejected == 0


def test_a_mark_that_may_be_either_is_said(source: Source) -> None:
    report = of(source, {"unit_price": '"1,250"'})
    assert words_of(report) == {"thousands": ","}
    assert [line.partition(" reads")[0] for line in report.undecided] == ["decimal: ','"]


def test_several_words_are_put_together(source: Source) -> None:
    rows = [{"ordered_at": "13/01/2024", "unit_price": '"3,50"', "quantity": '"0,35"'}] * 2
    report = of(source, *rows)
    assert words_of(report) == {
        "timestamp_formats": ("%d/%m/%Y",), "decimal": ",", "decimal_quantity": True,
    }  # fmt: skip
    assert report.still == 0


def test_what_no_word_reads_has_no_proposal(source: Source) -> None:
    report = of(source, {}, {"quantity": "many", "ordered_at": "soon", "unit_price": "a lot"})
    assert (report.rejected, report.words, report.still) == (1, (), None)
    assert "  rejected  quantity: many" in "\n".join(in_words(report))


def test_statuses_that_mean_one_thing(source: Source) -> None:
    columns = (*ORDERS, "status")
    report = of(source, {"status": "Paid"}, {"status": "voided"}, columns=columns)
    assert words_of(report) == {"status_map": {"paid": "completed", "voided": "cancelled"}}
    assert of(source, {"status": "purple"}, columns=columns).words == ()


def test_a_word_for_a_missing_number(source: Source) -> None:
    columns = (*ORDERS, "discount")
    report = of(source, {"discount": "-"}, {"discount": "1.00"}, columns=columns)
    assert words_of(report) == {"null_words": {"discount": ("-",)}}
    assert report.still == 0


def test_late_rows_of_a_file(source: Source) -> None:
    rows: list[Row] = [{"ordered_at": "2024-01-03 10:00:00"}, {"ordered_at": "2024-01-05 10:00:00"}]
    source.write("orders_2024-01-05.csv", csv_of(*rows))
    (report,) = looks(source.config("orders_{date}.csv"))
    assert (words_of(report), report.still) == ({"late_days": 2}, 0)


@pytest.mark.parametrize(
    ("text", "given", "word"),
    [
        (lambda text: text.replace("P1", "Teeß").encode("cp1252"), {}, ("encoding", "cp1252")),
        (lambda text: text.encode("utf-16"), {}, ("encoding", "utf-16")),
        (lambda text: text.encode(), {"encoding": "utf-16"}, ("encoding", "utf-8")),
        (lambda text: text.encode(), {"delimiter": ";"}, ("delimiter", ",")),
    ],
)  # fmt: skip
def test_words_of_the_file_are_proposed(
    source: Source, text: Callable[[str], bytes], given: dict[str, Any], word: tuple[str, str]
) -> None:
    source.write("orders.csv", text(csv_of({}, {})))
    (report,) = looks(source.config(**given))
    assert report.problem is not None
    assert dict(report.words) == dict([word])
    assert (report.rows, report.still) == (2, 0)
    assert looks(source.config(**{**given, **dict([word])}))[0].problem is None


def test_personal_values_are_in_no_line(source: Source) -> None:
    source.write(
        "customers.csv",
        "customer_id,email,registered_at\nC1,canary@example.org,canary@example.org\n",
    )
    (report,) = looks(source.config("customers.csv", "customers"))
    assert report.rejected == 1
    assert "canary" not in "\n".join(in_words(report))
