"""Which snapshots and months are older than the days that they depend on."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from dagster import AssetMaterialization, DagsterInstance

from analytics_assets.checks.staleness import FEATURES, SNAPSHOTS, Stale, find_stale
from analytics_assets.partitions import Window
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.rows import insert

HORIZON = 30
JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
DAYS = Window(JANUARY, date(2024, 4, 1))
ENDS = [date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)]


class Shop:
    """Three months in the ledger, snapshots of their last days and features of all of them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, instance: DagsterInstance) -> None:
        self.session, self.instance = DuckDBSession(connection), instance
        self.connection = connection
        self.load(*DAYS)
        insert(
            connection,
            SNAPSHOTS[0],
            *({"snapshot_date": day, "as_of": day + timedelta(days=1)} for day in ENDS),
        )

    def load(self, *days: date, hours: int = -1, source: str = "orders") -> None:
        """The content of days changed so many hours from now."""
        at = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=hours)
        rows = [{"source": source, "window_date": day, "changed_at": at} for day in days]
        insert(self.connection, "source_loads", *rows)

    def build(self, *days: date, names: tuple[str, ...] = SNAPSHOTS) -> None:
        for name in names:
            for day in days:
                event = AssetMaterialization(name, partition=str(day))
                self.instance.report_runless_asset_event(event)

    def build_all(self) -> None:
        self.build(*ENDS)
        self.build(JANUARY, FEBRUARY, MARCH, names=(FEATURES,))

    def stale(self, **due: Any) -> Stale:
        return find_stale(self.session, self.instance, HORIZON, **due)


@pytest.fixture
def shop(connection: duckdb.DuckDBPyConnection) -> Iterator[Shop]:
    with DagsterInstance.ephemeral() as instance:
        yield Shop(connection, instance)


def test_what_was_built_after_its_days_is_not_stale(shop: Shop) -> None:
    shop.build_all()
    assert shop.stale() == Stale()


def test_what_was_never_built_is_due_and_not_stale(shop: Shop) -> None:
    assert shop.stale() == Stale(tuple(ENDS), (JANUARY, FEBRUARY, MARCH))
    assert shop.stale(due=False) == Stale()
    shop.build(*ENDS, names=SNAPSHOTS[:1])  # without scores
    assert shop.stale().snapshots == tuple(ENDS)


@pytest.mark.parametrize("source", ["orders", "user_sessions"])
def test_a_day_changes_the_snapshots_and_months_after_it(shop: Shop, source: str) -> None:
    shop.build_all()
    shop.load(date(2024, 2, 10), hours=1, source=source)
    # Labels of January look at the thirty days after it.
    both = Stale((ENDS[1], ENDS[2]), (JANUARY, FEBRUARY, MARCH))
    assert shop.stale() == shop.stale(due=False) == both
    shop.build(*ENDS)
    assert shop.stale().months == both.months


def test_a_day_after_the_window_of_a_label_does_not_change_it(shop: Shop) -> None:
    shop.build_all()
    shop.load(date(2024, 3, 31), hours=1)
    # The windows are closed on March 1st and 30th; that of March is open.
    assert shop.stale() == Stale((ENDS[2],), (MARCH,))


def test_a_label_that_closes_after_its_month_was_built_is_due(shop: Shop) -> None:
    shop.build_all()
    shop.load(date(2024, 4, 30), hours=1)
    assert shop.stale().months == (MARCH, date(2024, 4, 1))
    assert shop.stale(due=False) == Stale()


def test_before_any_load_nothing_is_stale(connection: duckdb.DuckDBPyConnection) -> None:
    with DagsterInstance.ephemeral() as instance:
        assert find_stale(DuckDBSession(connection), instance, HORIZON) == Stale()
