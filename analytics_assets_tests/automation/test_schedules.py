"""The schedules at given times: which window, and whether there is one."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from dagster import ScheduleDefinition, build_schedule_context

from analytics_assets.automation.jobs import build_jobs, job_plans
from analytics_assets.automation.schedules import build_schedules, labelled_months
from analytics_assets.partitions import (
    Calendar,
    Window,
    daily_partitions,
    monthly_partitions,
    next_month,
    run_window,
)
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig

OPEN = Calendar(date(2023, 11, 15))
ENDED = Calendar(date(2023, 11, 15), date(2024, 3, 10))


def schedules(settings: Settings, calendar: Calendar) -> dict[str, ScheduleDefinition]:
    partitions = {
        "daily": daily_partitions(calendar),
        "monthly": monthly_partitions(calendar),
        None: None,
    }
    sources = SourcesConfig(calendar, {"orders": SourceConfig("orders")})
    jobs = build_jobs(job_plans([], sources), partitions)
    return {schedule.name: schedule for schedule in build_schedules(settings, calendar, jobs)}


def tick(schedule: ScheduleDefinition, *time: int) -> Any:
    context = build_schedule_context(scheduled_execution_time=datetime(*time, tzinfo=UTC))
    return schedule.evaluate_tick(context)


def asked(schedule: ScheduleDefinition, *time: int) -> Window | None:
    (request,) = tick(schedule, *time).run_requests
    return run_window(request.tags, monthly=schedule.name == "monthly_churn_features")


def test_the_refresh_asks_for_the_closed_day_and_those_before_it(settings: Settings) -> None:
    refresh = schedules(settings, OPEN)["daily_refresh"]
    window = asked(refresh, 2024, 6, 20, 2)
    assert window == Window.of_days("2024-06-12", "2024-06-19")
    assert window.days == settings.refresh_days


@pytest.mark.parametrize(
    ("time", "newest"),
    [
        ((2024, 3, 1, 2), "2024-02-29"),
        ((2024, 2, 29, 2), "2024-02-28"),
        ((2023, 3, 1, 2), "2023-02-28"),
        ((2024, 1, 1, 2), "2023-12-31"),
        # Days on which Europe and America change their clocks are days like others in UTC.
        ((2024, 3, 31, 2), "2024-03-30"),
        ((2024, 11, 4, 2), "2024-11-03"),
    ],
)
def test_the_newest_day_is_the_one_before(
    settings: Settings, time: tuple[int, ...], newest: str
) -> None:
    refresh = schedules(settings, Calendar(date(2022, 1, 1)))["daily_refresh"]
    window = asked(refresh, *time)
    assert window is not None
    assert list(window)[-1].isoformat() == newest
    assert window.days == 8


def test_refreshes_on_consecutive_days_skip_no_day(settings: Settings) -> None:
    refresh = schedules(settings, OPEN)["daily_refresh"]
    first = datetime(2024, 2, 1, 2, tzinfo=UTC)
    closed = [
        list(asked(refresh, *(first + timedelta(days=n)).timetuple()[:4]))[-1] for n in range(60)
    ]
    assert closed == [date(2024, 1, 31) + timedelta(days=n) for n in range(60)]


def test_the_refresh_does_not_reach_before_the_calendar(settings: Settings) -> None:
    refresh = schedules(settings, OPEN)["daily_refresh"]
    assert asked(refresh, 2023, 11, 17, 2) == Window.of_days("2023-11-15", "2023-11-16")


def test_the_refresh_stops_at_the_end_of_the_calendar(settings: Settings) -> None:
    refresh = schedules(settings, ENDED)["daily_refresh"]
    assert asked(refresh, 2024, 3, 12, 2) == Window.of_days("2024-03-04", "2024-03-09")


@pytest.mark.parametrize("time", [(2023, 11, 15, 2), (2024, 3, 18, 2)])
def test_a_tick_without_a_day_says_why(settings: Settings, time: tuple[int, ...]) -> None:
    result = tick(schedules(settings, ENDED)["daily_refresh"], *time)
    assert not result.run_requests
    assert "calendar has no day" in result.skip_message


def test_a_repeated_tick_asks_for_the_same_run_and_the_next_for_another(
    settings: Settings,
) -> None:
    refresh = schedules(settings, OPEN)["daily_refresh"]
    keys = [
        tick(refresh, 2024, 6, day, hour).run_requests[0].run_key
        for day, hour in [(20, 2), (20, 2), (20, 3), (21, 2)]
    ]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_the_months_end_with_the_one_that_closed(settings: Settings) -> None:
    features = schedules(settings, OPEN)["monthly_churn_features"]
    window = asked(features, 2024, 3, 1, 5)
    assert window is not None
    assert window.end == date(2024, 3, 1)
    assert window.start == OPEN.start.replace(day=1)


def test_before_a_month_has_closed_the_schedule_says_so(settings: Settings) -> None:
    result = tick(schedules(settings, OPEN)["monthly_churn_features"], 2023, 11, 1, 5)
    assert not result.run_requests
    assert "no month" in result.skip_message


def test_the_last_month_of_an_ended_calendar_is_whole(settings: Settings) -> None:
    features = schedules(settings, ENDED)["monthly_churn_features"]
    window = asked(features, 2024, 4, 1, 5)
    assert window is not None
    assert window.end == date(2024, 3, 1)  # March was observed to the 9th


@pytest.mark.parametrize("horizon", [1, 29, 30, 31, 60, 90, 180, 365])
def test_a_label_is_made_by_the_first_tick_after_it_closed_or_else_by_the_next(
    horizon: int,
) -> None:
    calendar = Calendar(date(2020, 1, 1))
    ticks = [date(2022 + n // 12, 1 + n % 12, 1) for n in range(36)]
    for before, _, tick in zip(ticks, ticks[1:], ticks[2:], strict=False):
        window = labelled_months(calendar, tick, horizon)
        assert window is not None
        month = calendar.start
        while month < tick:
            if before < next_month(month) + timedelta(days=horizon) <= tick:
                assert month in set(window), (tick, month)
            month = next_month(month)
