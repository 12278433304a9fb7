"""The newest day of the calendar that has closed was loaded, and no day before it left out."""

from datetime import UTC, date, datetime, timedelta

from dagster import AssetCheckResult, AssetCheckSeverity

from analytics_assets.checks.freshness import checks
from analytics_assets.checks.registry import evaluate
from analytics_assets.partitions import Calendar, daily_partitions
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.rows import insert

CLOSED = Calendar(date(2024, 1, 1), date(2024, 1, 11))


def check(
    warehouse: Warehouse,
    calendar: Calendar,
    source: str = "orders",
    *days: date,
    name: str = "newest_day_loaded",
) -> AssetCheckResult:
    with warehouse.write() as session:
        for day in days:
            insert(session, "source_loads", {"source": source, "window_date": day})
    sources = SourcesConfig(calendar, {"orders": SourceConfig("orders", "orders.csv")})
    with warehouse.read() as session:
        both = checks(sources, daily_partitions(calendar))
        found = [check for check in both if check.name == name]
        (finding,) = evaluate(session, found, lambda check: None)
    return finding.result("warn")


def test_the_newest_day_loaded_passes(warehouse: Warehouse) -> None:
    result = check(warehouse, CLOSED, "orders", date(2024, 1, 10))
    assert result.passed
    assert result.description == "Newest day loaded is 2024-01-10, newest expected 2024-01-10."


def test_a_backfill_of_old_days_does_not_turn_it_green(warehouse: Warehouse) -> None:
    result = check(warehouse, CLOSED, "orders", date(2024, 1, 9), date(2024, 1, 1))
    assert not result.passed
    assert result.severity == AssetCheckSeverity.WARN
    assert result.metadata["newest loaded"].value == "2024-01-09"
    assert result.metadata["newest expected"].value == "2024-01-10"
    assert result.metadata["keys"].value == [{"day": "2024-01-10"}]


def test_nothing_loaded_fails(warehouse: Warehouse) -> None:
    assert not check(warehouse, CLOSED).passed


def test_another_sources_load_does_not_count(warehouse: Warehouse) -> None:
    assert not check(warehouse, CLOSED, "user_sessions", date(2024, 1, 10)).passed


def test_an_open_calendar_expects_yesterday(warehouse: Warehouse) -> None:
    today = datetime.now(UTC).date()
    calendar = Calendar(today - timedelta(5))
    assert not check(warehouse, calendar, "orders", today - timedelta(2)).passed
    assert check(warehouse, calendar, "orders", today - timedelta(1)).passed


def test_only_sources_with_days_have_the_check() -> None:
    sources = SourcesConfig(
        CLOSED,
        {
            name: SourceConfig(name, f"{name}.csv")
            for name in ("orders", "user_sessions", "products")
        },
    )
    found = list(checks(sources, daily_partitions(CLOSED)))
    assert {check.asset for check in found} == {"raw_orders", "raw_user_sessions"}
    assert {check.name for check in found} == {"newest_day_loaded", "no_day_left_out"}


def test_days_that_were_never_loaded_are_named(warehouse: Warehouse) -> None:
    saturdays = (6, 13, 20, 27)
    days = [date(2024, 1, day) for day in range(1, 32) if day not in (4, *saturdays)]
    result = check(warehouse, CLOSED, "orders", *days, name="no_day_left_out")
    assert not result.passed
    assert result.severity == AssetCheckSeverity.WARN
    # Nor was any Saturday: the shop is closed.
    assert result.description == "Never loaded (1): 2024-01-04."
    assert result.metadata["keys"].value == [{"day": "2024-01-04"}]


def test_a_weekday_that_came_a_few_times_only_may_be_a_gap(warehouse: Warehouse) -> None:
    days = [date(2024, 1, 1), date(2024, 1, 4)]
    result = check(warehouse, CLOSED, "orders", *days, name="no_day_left_out")
    assert result.metadata["keys"].value == [{"day": "2024-01-02"}, {"day": "2024-01-03"}]


def test_days_before_the_first_load_and_after_the_newest_are_not_left_out(
    warehouse: Warehouse,
) -> None:
    days = [date(2024, 1, day) for day in (3, 4, 5)]
    insert_of_others = check(warehouse, CLOSED, "user_sessions", date(2024, 1, 1))
    assert not insert_of_others.passed
    assert check(warehouse, CLOSED, "orders", *days, name="no_day_left_out").passed
    assert check(warehouse, CLOSED, name="no_day_left_out").passed
