"""The record of what was begun: by day, until it is finished, and who must not go on."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from analytics_assets.partitions import Window
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import publish
from analytics_assets.warehouse.unfinished import (
    UnfinishedError,
    begin,
    finish,
    require_finished,
    unfinished,
)

AT = datetime(2024, 3, 1, tzinfo=UTC)
FIRST, SECOND, THIRD = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
TWO_DAYS = Window.of_days(str(FIRST), str(SECOND))
LAST_TWO = Window.of_days(str(SECOND), str(THIRD))


@pytest.fixture
def begun(warehouse: Warehouse) -> Warehouse:
    warehouse.prepare()
    with warehouse.transaction() as session:
        begin(session, ["fact_orders", "customer_days"], TWO_DAYS, AT)
    return warehouse


def test_nothing_is_unfinished_in_a_warehouse_without_the_record(warehouse: Warehouse) -> None:
    with warehouse.write() as session:
        assert unfinished(session) == {}


def test_days_are_finished_table_by_table(begun: Warehouse) -> None:
    with begun.transaction() as session:
        assert unfinished(session) == {
            "fact_orders": {FIRST, SECOND},
            "customer_days": {FIRST, SECOND},
        }
        finish(session, ["fact_orders"], TWO_DAYS)
        finish(session, ["customer_days"], LAST_TWO)
        assert unfinished(session) == {"customer_days": {FIRST}}


def test_begun_twice_is_begun_once(begun: Warehouse) -> None:
    with begun.transaction() as session:
        begin(session, ["fact_orders"], LAST_TWO, AT)
        finish(session, ["customer_days"], TWO_DAYS)
        assert session.rows("SELECT window_date FROM raw.unfinished_tables ORDER BY 1") == [
            (FIRST,),
            (SECOND,),
            (THIRD,),
        ]


def test_what_has_no_days_is_finished_with_any(begun: Warehouse) -> None:
    with begun.transaction() as session:
        begin(session, ["raw_customers"], None, AT)
        finish(session, ["raw_customers", "fact_orders", "customer_days"], TWO_DAYS)
        assert unfinished(session) == {}


def test_a_rolled_back_load_has_begun_nothing(begun: Warehouse) -> None:
    with pytest.raises(RuntimeError), begun.transaction() as session:
        begin(session, ["raw_orders"], LAST_TWO, AT)
        raise RuntimeError
    with begun.read() as session:
        assert "raw_orders" not in unfinished(session)


def test_the_error_names_the_days_and_the_remedy() -> None:
    require_finished({})
    with pytest.raises(UnfinishedError, match=r"load of 2024-01-01, 2024-01-03 was begun.* Run an"):
        require_finished({"raw_orders": {THIRD}, "fact_orders": {FIRST}})
    with pytest.raises(UnfinishedError, match="The load of raw_customers was begun"):
        require_finished({"raw_customers": {None}})
    many = set(Window.of_days("2024-01-01", "2024-01-09"))
    with pytest.raises(UnfinishedError, match="and 4 more days up to 2024-01-09"):
        require_finished({"raw_orders": many})


def test_nothing_is_published(begun: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(UnfinishedError, match="2024-01-01, 2024-01-02"):
        publish(begun, tmp_path / "published", 3)
    assert [*(tmp_path / "published").iterdir()] == []
