"""Delta tables: what their newest version has, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from deltalake import write_deltalake

from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.sources.conftest import Source
from analytics_assets_tests.sources.forms import arrow_of


def order(order_id: str) -> dict[str, Any]:
    values = {"ordered_at": "2024-01-02 10:00:00", "customer_id": "C1", "product_id": "P1"}
    return {"order_id": order_id, **values, "quantity": "1", "unit_price": "9.50"}


def put(source: Source, rows: Sequence[dict[str, Any]], **words: Any) -> SourceConfig:
    place = source.folder / "in" / "orders"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(place, arrow_of(rows, [*rows[0]]), **words)
    return source.config("orders", format="delta")


def ids(source: Source) -> list[str]:
    return sorted(row[0] for row in source.rows("SELECT order_id FROM raw.raw_orders"))


def test_rows_that_were_replaced_are_not_read(source: Source) -> None:
    config = put(source, [order("O1"), order("O2")])
    source.load(config)
    assert ids(source) == ["O1", "O2"]
    put(source, [order("O3")], mode="append")
    source.load(config)
    assert ids(source) == ["O1", "O2", "O3"]
    put(source, [order("O4")], mode="overwrite")
    assert len(list((source.folder / "in" / "orders").glob("*.parquet"))) == 3
    source.load(config)
    assert ids(source) == ["O4"]


def test_files_whose_writing_was_cut_off_are_not_read(source: Source) -> None:
    config = put(source, [order("O1")])
    (file,) = (source.folder / "in" / "orders").glob("*.parquet")
    file.with_name("part-99999.parquet").write_bytes(file.read_bytes())
    source.load(config)
    assert ids(source) == ["O1"]


def test_columns_of_folders(source: Source) -> None:
    rows = [{**order("O1"), "country": "DE"}, {**order("O2"), "country": "France"}]
    place = source.folder / "in" / "orders"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(place, arrow_of(rows, [*rows[0]]), partition_by=["country"])
    source.load(source.config("orders", format="delta"))
    found = source.rows("SELECT order_id, country FROM raw.raw_orders ORDER BY ALL")
    assert found == [("O1", "DE"), ("O2", "France")]


def test_a_folder_without_a_log_is_an_error(source: Source) -> None:
    (source.folder / "in" / "orders").mkdir(parents=True)
    with pytest.raises(SourceError, match="is no Delta table"):
        source.load(source.config("orders", format="delta"))


def test_a_log_that_cannot_be_read_is_an_error(source: Source) -> None:
    config = put(source, [order("O1")])
    (log,) = Path(config.path, "_delta_log").glob("*.json")
    log.write_text("{")
    with pytest.raises(SourceError, match=r"Check `path`|Correct the table"):
        source.load(config)
