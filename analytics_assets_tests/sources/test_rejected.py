"""Rejected rows: listed, exported without formulas, and loaded again."""

import csv
from datetime import date
from pathlib import Path

from analytics_assets.partitions import Window
from analytics_assets.sources import rejected
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.sources.conftest import Source, csv_of


def loaded(source: Source) -> Warehouse:
    """Orders of which two lines, and customers of which one row, are rejected."""
    assert source.warehouse
    source.write(
        "orders.csv",
        csv_of({}, {"quantity": "=1+1"}, {"ordered_at": "2024-01-04", "quantity": "x"}),
    )
    source.write("customers.csv", "customer_id,registered_at\n,yesterday\n")
    source.load()
    source.load(source.config("customers.csv", "customers"), None)
    return source.warehouse


def test_reasons_are_counted_each(source: Source) -> None:
    warehouse = loaded(source)
    whole = "quantity: not a whole number of 32 bits"
    assert rejected.reasons(warehouse, None) == [
        ("orders", whole, 2, date(2024, 1, 2), date(2024, 1, 4)),
        ("customers", "customer_id: missing", 1, None, None),
        ("customers", "registered_at: not a time in the declared format", 1, None, None),
    ]
    assert [row[:3] for row in rejected.reasons(warehouse, "orders")] == [("orders", whole, 2)]


def test_rows_are_counted_once_whatever_their_reasons(source: Source) -> None:
    warehouse = loaded(source)
    assert rejected.counts(warehouse) == [("customers", 1), ("orders", 2)]
    assert rejected.counts(warehouse, "customers") == [("customers", 1)]


def test_an_export_keeps_rows_whole_and_holds_no_formula(source: Source, tmp_path: Path) -> None:
    warehouse = loaded(source)
    source.write("=2+3.csv", csv_of({"quantity": "+3"}, {"quantity": "y"}))
    source.load(source.config("=2+3.csv"), Window(date(2024, 1, 2), date(2024, 1, 3)))
    path = tmp_path / "out" / "rejected.csv"
    assert rejected.export(warehouse, path, "orders") == 2
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["source_file"] == "'=2+3.csv"
    assert '"quantity":"y"' in rows[0]["row"]
    assert not [v for row in rows for v in row.values() if v.startswith(rejected.FORMULA)]


def test_the_days_to_load_again_are_those_that_rejected(source: Source) -> None:
    warehouse = loaded(source)
    last = date(2024, 1, 31)
    assert rejected.days_to_replay(warehouse, None, last) == [
        date(2024, 1, 2),
        date(2024, 1, 4),
        last,
    ]
    assert rejected.days_to_replay(warehouse, "orders", last) == [
        date(2024, 1, 2),
        date(2024, 1, 4),
    ]
    # The source is corrected: after loading the days again nothing is left.
    source.write("orders.csv", csv_of({}, {"quantity": "2"}, {"ordered_at": "2024-01-04"}))
    for window in rejected.windows_of(rejected.days_to_replay(warehouse, "orders", last)):
        source.load(window=window)
    assert rejected.reasons(warehouse, "orders") == []
    assert source.rows("SELECT count(*) FROM raw.raw_orders") == [(3,)]


def test_days_in_a_row_are_one_window() -> None:
    days = [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 5)]
    assert rejected.windows_of(days) == [
        Window(date(2024, 2, 28), date(2024, 3, 2)),
        Window(date(2024, 3, 5), date(2024, 3, 6)),
    ]


def test_without_a_warehouse_there_is_nothing(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    assert rejected.reasons(warehouse, None) == []
    assert rejected.days_to_replay(warehouse, None, date(2024, 1, 1)) == []
