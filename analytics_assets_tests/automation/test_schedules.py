"""The schedules at given times: which window, and whether there is one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    ScheduleDefinition,
    build_schedule_context,
)
from dagster._core.test_utils import create_run_for_test
from dagster._utils.schedules import is_valid_cron_schedule, schedule_execution_time_iterator

from analytics_assets.automation.instance import prepare_instance
from analytics_assets.automation.jobs import build_jobs, job_plans, observing_jobs
from analytics_assets.automation.schedules import build_schedules, labelled_months
from analytics_assets.definitions import build_warehouse
from analytics_assets.partitions import (
    Calendar,
    Window,
    daily_partitions,
    monthly_partitions,
    next_month,
    run_window,
)
from analytics_assets.setting_rules import CRON, SettingsError
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.warehouse.publish import POINTER

from .test_sensors import all_sensors

OPEN = Calendar(date(2023, 11, 15))
SOURCES = SourcesConfig(OPEN, {"orders": SourceConfig("orders", "orders.csv")})
ENDED = Calendar(date(2023, 11, 15), date(2024, 3, 10))


def schedules(settings: Settings, calendar: Calendar) -> dict[str, ScheduleDefinition]:
    partitions = {
        "daily": daily_partitions(calendar),
        "monthly": monthly_partitions(calendar),
        None: None,
    }
    sources = SourcesConfig(calendar, {"orders": SourceConfig("orders")})
    jobs = {
        **build_jobs(job_plans([], sources), partitions),
        **observing_jobs([AssetKey("orders_source")], [AssetCheckKey(AssetKey("a"), "b")]),
    }
    return {schedule.name: schedule for schedule in build_schedules(settings, calendar, jobs)}


def tick(schedule: ScheduleDefinition, *time: int) -> Any:
    return tick_at(schedule, datetime(*time, tzinfo=UTC))


def tick_at(schedule: ScheduleDefinition, at: datetime) -> Any:
    return schedule.evaluate_tick(build_schedule_context(scheduled_execution_time=at))


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


# Clocks, and the switch.

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
YEAR = datetime(2024, 1, 1, tzinfo=UTC)  # a leap year


def ticks(schedule: ScheduleDefinition, days: int) -> list[datetime]:
    """When Dagster's scheduler ticks, from the year's beginning on."""
    iterator = schedule_execution_time_iterator(
        YEAR.timestamp(), schedule.cron_schedule, schedule.execution_timezone
    )
    end = YEAR + timedelta(days=days)
    return list(takewhile(lambda at: at < end, iterator))


@pytest.mark.parametrize("clock", [-1, 0, 1])
@pytest.mark.parametrize("at", ["0 2 * * *", "30 2 * * *", "30 1 * * *"])
@pytest.mark.parametrize("zone", ZONES)
def test_no_day_is_skipped_or_doubled_in_a_year_of_clock_changes(
    settings: Settings, zone: str, at: str, clock: int
) -> None:
    """Also where the machine's clock is an hour off: its ticks then come an hour early or late."""
    calendar = Calendar(date(2023, 1, 1), zone=zone)
    refresh = schedules(replace(settings, refresh_at=at), calendar)["daily_refresh"]
    newest = []
    for tick in ticks(refresh, 366):
        (request,) = tick_at(refresh, tick + timedelta(hours=clock)).run_requests
        window = run_window(request.tags)
        assert window is not None
        newest.append(list(window)[-1])
    first = newest[0]
    assert newest == [first + timedelta(days=n) for n in range(len(newest))]
    assert len(newest) in (365, 366)
    assert date(2024, 2, 29) in newest


def test_days_close_by_the_clock_of_the_shop_wherever_the_schedule_runs(settings: Settings) -> None:
    calendar = Calendar(date(2023, 1, 1), zone="America/New_York")
    refresh = schedules(replace(settings, schedule_zone="UTC"), calendar)["daily_refresh"]
    assert refresh.execution_timezone == "UTC"
    # It is still the evening before in New York.
    (request,) = tick(refresh, 2024, 6, 20, 2).run_requests
    window = run_window(request.tags)
    assert window is not None
    assert list(window)[-1] == date(2024, 6, 18)


def test_times_and_zone_are_settings(settings: Settings) -> None:
    other = replace(
        settings,
        schedule_zone="Asia/Tokyo",
        refresh_at="15 3 * * *",
        features_at="0 7 2 * *",
        retrain_at="0 8 * * 3",
        checks_at="*/20 * * * *",
    )
    found = {
        name: (schedule.cron_schedule, schedule.execution_timezone)
        for name, schedule in schedules(other, OPEN).items()
    }
    assert found == {
        "daily_refresh": ("15 3 * * *", "Asia/Tokyo"),
        "monthly_churn_features": ("0 7 2 * *", "Asia/Tokyo"),
        "weekly_retraining": ("0 8 * * 3", "Asia/Tokyo"),
        "hourly_observe_sources": ("*/20 * * * *", "Asia/Tokyo"),
        "hourly_check_tables": ("*/20 * * * *", "Asia/Tokyo"),
    }


@pytest.mark.parametrize(
    "text",
    [
        *("0 2 * * *", "*/15 * * * *", "0 0,12 1-7 * 1", "5 4 * * 0", "0 2 1 1-12/3 *"),
        *("60 2 * * *", "0 24 * * *", "0 2 0 * *", "0 2 * 13 *", "0 2 * * 8", "0 2 * *", "daily"),
        *("*/0 * * * *", "0 2 * * *; rm"),
    ],
)
def test_what_is_accepted_as_a_time_is_one_for_dagster(text: str) -> None:
    try:
        CRON("ANALYTICS_REFRESH_AT", text)
    except SettingsError as error:
        assert "as cron does" in str(error)
        assert not is_valid_cron_schedule(text)
    else:
        assert is_valid_cron_schedule(text)


def test_retraining_and_checks_wait_until_something_is_published(settings: Settings) -> None:
    found = schedules(settings, OPEN)
    for name in ("weekly_retraining", "hourly_check_tables"):
        assert "Nothing has been published" in tick(found[name], 2024, 6, 17, 6).skip_message
    settings.published_dir.mkdir(parents=True)
    (settings.published_dir / POINTER).write_text("some build")
    (request,) = tick(found["weekly_retraining"], 2024, 6, 17, 6).run_requests
    assert request.run_key == "retrain-2024-06-17"
    at = datetime(2024, 6, 17, 6, tzinfo=UTC)
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        context = build_schedule_context(instance, scheduled_execution_time=at)
        assert len(found["hourly_check_tables"].evaluate_tick(context).run_requests) == 1


def test_looks_do_not_pile_up_behind_a_long_load(settings: Settings) -> None:
    hourly = schedules(settings, OPEN)["hourly_observe_sources"]
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:

        def at(hour: int) -> Any:
            when = datetime(2024, 6, 17, hour, 30, tzinfo=UTC)
            return hourly.evaluate_tick(
                build_schedule_context(instance, scheduled_execution_time=when)
            )

        keys = [at(hour).run_requests[0].run_key for hour in (6, 6, 7)]
        assert keys[0] == keys[1] != keys[2]
        waiting = create_run_for_test(
            instance, "observe_sources", status=DagsterRunStatus.NOT_STARTED
        )
        assert not at(8).run_requests
        instance.report_run_failed(waiting)
        assert at(9).run_requests


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"ANALYTICS_AUTOMATION": "on"}, True),
        ({"ANALYTICS_DEPLOYMENT": "staging"}, True),
        ({"ANALYTICS_DEPLOYMENT": "production"}, True),
        ({"ANALYTICS_DEPLOYMENT": "production", "ANALYTICS_AUTOMATION": "off"}, False),
    ],
)
def test_automation_is_off_in_dev_and_on_elsewhere_unless_switched(
    settings: Settings, environment: dict[str, str], on: bool
) -> None:
    automation = {"on": True, "off": False}.get(environment.get("ANALYTICS_AUTOMATION", ""))
    deployment = environment.get("ANALYTICS_DEPLOYMENT", "dev")
    deployed = replace(settings, deployment=deployment, automation=automation)
    for schedule in schedules(deployed, OPEN).values():
        assert (schedule.default_status == DefaultScheduleStatus.RUNNING) is on, schedule.name
    for name, sensor in all_sensors(deployed, SOURCES, build_warehouse(deployed)).items():
        always = name in ("end_dead_runs", "prune_history")
        assert (sensor.default_status == DefaultSensorStatus.RUNNING) is (on or always), name
