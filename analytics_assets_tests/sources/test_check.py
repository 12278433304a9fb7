"""Looking at sources before they are loaded."""

from pathlib import Path

import pytest

from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourceConfig, SourcesConfig
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
