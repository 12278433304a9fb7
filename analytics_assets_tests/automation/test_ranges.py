"""Ranges of partitions as run tags, and back."""

from datetime import date

import pytest

from analytics_assets.assets.common import backfill_policy
from analytics_assets.automation.ranges import (
    contiguous,
    in_chunks,
    most_days_of,
    range_tags,
    windows_to_load,
)
from analytics_assets.partitions import Calendar, Window, run_window
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig


def days(*numbers: int) -> list[date]:
    return [date(2024, 2, number) for number in numbers]


def test_days_without_gap_are_one_window() -> None:
    assert list(contiguous(days(27, 28, 29))) == [Window(date(2024, 2, 27), date(2024, 3, 1))]


def test_a_gap_parts_windows_and_order_does_not_matter() -> None:
    assert list(contiguous(days(9, 2, 1, 5, 8))) == [
        Window(date(2024, 2, 1), date(2024, 2, 3)),
        Window(date(2024, 2, 5), date(2024, 2, 6)),
        Window(date(2024, 2, 8), date(2024, 2, 10)),
    ]


def test_no_days_are_no_windows() -> None:
    assert list(contiguous([])) == []


@pytest.mark.parametrize("last", [date(2024, 2, 29), date(2024, 3, 1), date(2023, 12, 31)])
def test_tags_of_days_give_the_window_back(last: date) -> None:
    window = Window.of_days("2023-11-05", last.isoformat())
    assert run_window(range_tags(window)) == window


@pytest.mark.parametrize("end", [date(2024, 1, 1), date(2024, 3, 1), date(2024, 4, 1)])
def test_tags_of_months_name_the_last_month_and_give_the_window_back(end: date) -> None:
    window = Window(date(2023, 12, 1), end)
    tags = range_tags(window, monthly=True)
    assert all(day.endswith("-01") for day in tags.values())
    assert run_window(tags, monthly=True) == window


def test_a_run_of_one_partition_has_its_window() -> None:
    tags = {"dagster/partition": "2024-02-29"}
    assert run_window(tags) == Window(date(2024, 2, 29), date(2024, 3, 1))


def test_a_run_without_partitions_has_none() -> None:
    assert run_window({"team": "analytics"}) is None


def sources(**paths: str) -> SourcesConfig:
    calendar = Calendar(date(2024, 1, 1), date(2025, 1, 1))
    return SourcesConfig(calendar, {n: SourceConfig(n, path) for n, path in paths.items()})


BY_DAY = "orders_{date}.csv"


def test_changed_days_of_one_file_are_loaded_together() -> None:
    scattered = days(2, 5, 6, 20, 28)
    together = [Window(date(2024, 2, 2), date(2024, 2, 29))]
    assert windows_to_load(scattered, sources(orders="orders.csv")) == together
    # A load of any window reads both.
    both = sources(orders=BY_DAY, user_sessions="sessions.csv")
    assert windows_to_load(scattered, both) == together


def test_files_of_days_are_read_for_the_changed_days_and_little_between() -> None:
    # Customers are read as a whole whatever the days.
    by_day = sources(orders=BY_DAY, customers="customers.csv")
    assert windows_to_load(days(2, 5, 6, 20, 28), by_day) == [
        Window(date(2024, 2, 2), date(2024, 2, 7)),
        Window(date(2024, 2, 20), date(2024, 2, 21)),
        Window(date(2024, 2, 28), date(2024, 2, 29)),
    ]
    for few in (days(), days(7), days(7, 9), days(1, 3, 9)):
        assert windows_to_load(few, by_day) == list(contiguous(few))


def test_a_database_is_asked_for_days_and_joined_files_are_not() -> None:
    calendar = Calendar(date(2024, 1, 1), date(2025, 1, 1))
    for format_, windows in (("postgres", 2), ("duckdb", 2), ("sqlite", 1), ("joined", 1)):
        config = SourceConfig("orders", format=format_, table="t", query="FROM t")
        found = windows_to_load(days(2, 9), SourcesConfig(calendar, {"orders": config}))
        assert len(found) == windows, format_


def test_a_long_range_is_cut_into_chunks_that_cover_it_exactly() -> None:
    window = Window(date(2024, 1, 1), date(2026, 1, 1))
    chunks = in_chunks([window, Window.of_days("2026-03-01", "2026-03-01")], 366)
    assert [chunk.days for chunk in chunks] == [366, 365, 1]
    assert [day for chunk in chunks[:2] for day in chunk] == list(window)
    assert in_chunks([window], None) == [window]


def test_a_source_that_is_read_as_a_whole_is_read_once(settings: Settings) -> None:
    calendar = Calendar(date(2024, 1, 1))
    for path, most in (("{date}.csv", settings.max_run_days), ("*.csv", None)):
        sources = SourcesConfig(calendar, {"orders": SourceConfig("orders", path)})
        assert most_days_of(settings, sources) == most
        policy = backfill_policy(settings.max_run_days, sources)
        assert policy.max_partitions_per_run == most
