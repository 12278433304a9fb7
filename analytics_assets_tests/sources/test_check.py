"""Looking at sources before they are loaded."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from analytics_assets.sources import check
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import Computed, SourceConfig, SourcesConfig
from analytics_assets.sources.readers import databases, files
from analytics_assets.sources.report import SourceReport, in_words
from analytics_assets_tests.sources.conftest import CALENDAR, Source, csv_of


def look(config: SourceConfig) -> SourceReport:
    (report,) = check_sources(SourcesConfig(CALENDAR, {config.source: config}))
    return report


def words(report: SourceReport) -> str:
    return "\n".join(in_words(report))


def test_a_good_source_is_described(source: Source) -> None:
    for day in range(1, 21):
        at = f"2024-01-{day:02} 10:00:00"
        source.write(f"orders_2024-01-{day:02}.csv", csv_of({"ordered_at": at}, {"quantity": "x"}))
    report = look(source.config("orders_{date}.csv", late_days=31))
    assert report.found == "20 files, 2024-01-01 to 2024-01-20"
    assert report.problem is None
    assert (report.rows, report.rejected, report.part) == (40, 20, "")
    assert report.span == ("2024-01-01 10:00:00", "2024-01-20 10:00:00")
    assert ("quantity: not a whole number of 32 bits", 20) in report.reasons
    (price,) = [column for column in report.columns if column.name == "unit_price"]
    assert (price.source, price.required, price.filled) == ("unit_price", True, 40)
    assert price.samples == ("3.5000",)
    text = words(report)
    assert "orders: can be loaded" in text
    assert "20  quantity: not a whole number of 32 bits" in text


def test_columns_under_other_names_are_recognised(source: Source) -> None:
    source.write(
        "orders.csv", "Invoice No,Order Date,CUSTOMER-ID,SKU,Qty,Price\n1,2024-01-02,2,3,4,5\n"
    )
    report = look(source.config())
    assert dict(report.proposal) == {
        "order_id": "Invoice No",
        "ordered_at": "Order Date",
        "customer_id": "CUSTOMER-ID",
        "product_id": "SKU",
        "quantity": "Qty",
        "unit_price": "Price",
    }
    assert report.problem is not None
    assert "there is no column 'order_id'" in report.problem
    assert "        order_id: Invoice No" in words(report)
    # What is proposed works.
    assert look(source.config(columns=dict(report.proposal))).problem is None


def test_a_mapped_column_is_not_proposed_for_another(source: Source) -> None:
    source.write("orders.csv", csv_of({}).replace("order_id", "id"))
    report = look(source.config(columns={"order_id": "id"}))
    assert report.proposal == ()


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"quantity": "x"}] * 2, "every row would be rejected"),
        (
            [{}] * 70 + [{"quantity": "x"}] * 30,
            "30 of 100 rows are rejected, more than max_rejected_share",
        ),
    ],
)
def test_a_load_that_would_fail_is_a_problem(
    source: Source, rows: list[dict[str, str]], problem: str
) -> None:
    source.write("orders.csv", csv_of(*rows))
    report = look(source.config())
    assert report.problem is not None
    assert problem in report.problem
    assert "orders: cannot be loaded" in words(report)


def test_no_file_is_a_problem(source: Source) -> None:
    report = look(source.config("none.csv"))
    assert report.problem is not None
    assert "no file at" in report.problem


def test_personal_values_are_not_shown(source: Source) -> None:
    source.write("customers.csv", "customer_id,email\nC1,canary@example.org\n")
    assert "canary" not in words(look(source.config("customers.csv", "customers")))


def test_nothing_is_written(source: Source, tmp_path: Path) -> None:
    source.write("orders.csv", csv_of({}))
    before = sorted(tmp_path.rglob("*"))
    look(source.config())
    assert sorted(tmp_path.rglob("*")) == before


PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


def test_the_example_of_the_docs(source: Source) -> None:
    section = PAGE.read_text().partition("## Check before you load")[2].partition("\n## ")[0]
    export, printed = re.findall(r"```text\n(.*?)```", section, re.DOTALL)
    path = source.write("orders.csv", export)
    report = look(source.config())
    assert words(report).replace(str(path), "orders.csv").startswith(printed.rstrip())
    assert dict(report.words) == {
        "timestamp_formats": ("%d/%m/%Y",), "decimal": ",", "status_map": {"paid": "completed"},
    }  # fmt: skip
    assert report.still == 1
    told = [finding.line for finding in report.findings]
    assert told == [
        "null_words: {customer_id: []}",
        "",
        "order_level: [status, customer_id, ordered_at]",
    ]


def test_many_rows_are_looked_at_in_whole_orders(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "LOOKED_AT_ROWS", 1000)
    rows = [{"order_id": f"O{n // 2}", "quantity": "x" if n % 4 == 0 else "1"} for n in range(8000)]
    source.write("orders.csv", csv_of(*rows) + "cut\n" * 16)
    report = look(source.config(max_rejected_share=0.5))
    assert report.part == "one order_id in 9, with all of its rows: there are 8,016 rows"
    assert 700 < report.rows < 1100
    assert ("too few fields: 1 for 6 columns", 2) in report.reasons
    assert 0.2 < report.rejected / report.rows < 0.3
    assert "  part      one order_id in 9" in words(report)


def test_rows_whose_order_is_computed_are_spread_by_their_place(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "LOOKED_AT_ROWS", 10)
    source.write("orders.csv", csv_of(*[{}] * 40))
    constant = Computed("'O' || product_id", ("product_id",))
    report = look(source.config(computed={"order_id": constant}))
    assert (report.rows, report.part) == (10, "one row in 4: there are 40 rows")


def test_many_files_are_spread_evenly(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 31):
        at = f"2024-01-{day:02} 10:00:00"
        source.write(f"orders_2024-01-{day:02}.csv", csv_of({"ordered_at": at}))
    size = (source.folder / "in" / "orders_2024-01-01.csv").stat().st_size
    monkeypatch.setattr(files, "LOOKED_AT_BYTES", 5 * size)
    report = look(source.config("orders_{date}.csv"))
    assert (report.found, report.rows) == ("30 files, 2024-01-01 to 2024-01-30", 5)
    assert report.part.startswith("5 of the 30 files, spread evenly")
    assert report.span == ("2024-01-01 10:00:00", "2024-01-30 10:00:00")


def test_many_rows_of_a_database_are_spread(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source.write("shop.sqlite", b"")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE orders (order_id INTEGER, ordered_at TEXT, customer_id, product_id TEXT, "
            "quantity INTEGER, unit_price REAL)"
        )
        connection.executemany(
            "INSERT INTO orders VALUES (?, '2024-01-04 09:00:00', 7, 'MUG', 2, 3.5)",
            [(n,) for n in range(1, 101)],
        )
    config = source.config("shop.sqlite", format="sqlite", table="orders")
    report = look(config)
    assert (report.found, report.part, report.rows) == ("100 rows", "", 100)
    monkeypatch.setattr(databases, "LOOKED_AT_ROWS", 20)
    report = look(config)
    assert (report.rows, report.warnings) == (20, ())
    assert report.part == "one row in 5, as the database lists them"
    (order,) = [column for column in report.columns if column.name == "order_id"]
    assert order.samples == ("5", "10", "95")


def test_files_of_days_outside_the_calendar_are_not_looked_at(source: Source) -> None:
    source.write("orders_2023-12-31.csv", csv_of({"ordered_at": "2023-12-31 10:00:00"}))
    source.write("orders_2024-01-02.csv", csv_of({}))
    report = look(source.config("orders_{date}.csv"))
    assert (report.rows, report.rejected) == (1, 0)


def test_lost_digits_cannot_be_loaded(source: Source) -> None:
    rows = [{}, {"order_id": "O2", "customer_id": "1.30E+04"}]
    source.write("orders.csv", csv_of(*rows))
    report = look(source.config())
    assert report.problem is not None
    assert "customer_id: in scientific notation: the export has lost digits" in report.problem
    source.write("orders.csv", csv_of(rows[0]))
    assert look(source.config()).problem is None
