"""Windows are half-open UTC days; no day or month is skipped, doubled or cut."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest
from dagster import TimeWindow

from analytics_assets.partitions import (
    Calendar,
    Window,
    daily_partitions,
    month_start,
    monthly_partitions,
    next_month,
    window_of,
)


@pytest.fixture(params=["UTC", "America/New_York", "Pacific/Auckland"])
def machine_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_window_includes_its_start_and_excludes_its_end() -> None:
    window = Window(date(2024, 1, 30), date(2024, 2, 2))
    assert list(window) == [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)]
    assert window.days == 3
    assert window.as_of == date(2024, 2, 2)
    assert str(window) == "[2024-01-30, 2024-02-02)"


@pytest.mark.parametrize("days", [0, -1])
def test_a_window_is_not_empty(days: int) -> None:
    with pytest.raises(ValueError, match="a start before its end"):
        Window(date(2024, 1, 1), date(2024, 1, 1) + timedelta(days))


def test_of_days_includes_the_last_key() -> None:
    assert Window.of_days("2024-02-28", "2024-02-29") == Window(date(2024, 2, 28), date(2024, 3, 1))
    assert Window.of_days("2024-01-01", "2024-01-01").days == 1
    with pytest.raises(ValueError, match="a start before its end"):
        Window.of_days("2024-01-02", "2024-01-01")


@pytest.mark.parametrize("end", [date(2024, 1, 1), date(2023, 12, 31)])
def test_a_calendar_ends_after_it_starts(end: date) -> None:
    with pytest.raises(ValueError, match="not before its end"):
        Calendar(date(2024, 1, 1), end)


def test_a_leap_day_is_one_partition() -> None:
    daily = daily_partitions(Calendar(date(2024, 2, 28), date(2024, 3, 2)))
    assert daily.get_partition_keys() == ["2024-02-28", "2024-02-29", "2024-03-01"]


@pytest.mark.usefixtures("machine_zone")
@pytest.mark.parametrize(
    "change",
    [date(2024, 3, 10), date(2024, 3, 31), date(2024, 9, 29), date(2024, 10, 27)],
)
def test_days_on_which_clocks_change_last_24_hours_utc(change: date) -> None:
    span = Window(change - timedelta(2), change + timedelta(3))
    daily = daily_partitions(Calendar(span.start, span.end))
    assert daily.get_partition_keys() == [day.isoformat() for day in span]
    for day in span:
        bounds = daily.time_window_for_partition_key(day.isoformat())
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        assert (bounds.start, bounds.end) == (midnight, midnight + timedelta(hours=24))
        context = SimpleNamespace(partition_time_window=bounds)
        assert window_of(context) == Window(day, day + timedelta(1))


def test_the_window_of_a_range_reaches_over_all_its_days() -> None:
    daily = daily_partitions(Calendar(date(2024, 1, 1), date(2024, 2, 1)))
    first, last = (daily.time_window_for_partition_key(key) for key in ("2024-01-30", "2024-01-31"))
    context = SimpleNamespace(partition_time_window=TimeWindow(first.start, last.end))
    assert window_of(context) == Window(date(2024, 1, 30), date(2024, 2, 1))


def test_an_open_calendar_has_the_days_that_have_closed() -> None:
    keys = daily_partitions(Calendar(date(2024, 1, 1))).get_partition_keys(
        current_time=datetime(2024, 1, 3, 23, 59, tzinfo=UTC)
    )
    assert keys == ["2024-01-01", "2024-01-02"]


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (date(2024, 3, 31), "2024-02-01"),
        (date(2024, 4, 1), "2024-03-01"),
        (date(2024, 4, 2), "2024-03-01"),
    ],
)
def test_a_month_is_a_partition_only_when_it_is_whole(end: date, last: str) -> None:
    months = monthly_partitions(Calendar(date(2024, 1, 15), end)).get_partition_keys()
    assert months[0] == "2024-01-01"
    assert months[-1] == last


def test_an_open_calendar_has_the_months_that_have_closed() -> None:
    monthly = monthly_partitions(Calendar(date(2023, 12, 1)))
    keys = monthly.get_partition_keys(current_time=datetime(2024, 2, 29, 12, tzinfo=UTC))
    assert keys == ["2023-12-01", "2024-01-01"]


def test_months_follow_each_other() -> None:
    for ordinal in range(date(2023, 1, 1).toordinal(), date(2025, 1, 1).toordinal()):
        day = date.fromordinal(ordinal)
        after = next_month(day)
        assert after.day == 1
        assert after.year * 12 + after.month == day.year * 12 + day.month + 1
        assert month_start(day) <= day < after
        assert month_start(day) == day.replace(day=1)


@pytest.mark.parametrize(
    ("zone", "last"),
    [("UTC", "2024-01-09"), ("Asia/Tokyo", "2024-01-10"), ("America/New_York", "2024-01-09")],
)
def test_a_day_is_a_partition_when_it_has_ended_in_the_zone_of_the_calendar(
    zone: str, last: str
) -> None:
    daily = daily_partitions(Calendar(date(2024, 1, 1), zone=zone))
    at = datetime(2024, 1, 10, 16, tzinfo=UTC)
    assert daily.get_partition_keys(current_time=at)[-1] == last
    bounds = daily.time_window_for_partition_key("2024-01-09")
    context = SimpleNamespace(partition_time_window=bounds)
    assert window_of(context) == Window(date(2024, 1, 9), date(2024, 1, 10))
