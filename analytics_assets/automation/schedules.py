"""Schedules: the daily refresh, the monthly features, and the jobs of single sources.

Only for configured sources. The first two request a range: one run each, however many days.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from analytics_assets.automation.jobs import LOAD_DAYS, MONTHLY_FEATURES
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Calendar, Window, month_start
from analytics_assets.settings import Settings
from analytics_assets.sources.declared import SOURCES


def build_schedules(
    settings: Settings, calendar: Calendar, jobs: dict[str, Any]
) -> list[ScheduleDefinition]:
    """The schedules of the jobs; stopped by default, to be started in the UI."""
    schedules = _day_schedules(settings, calendar, jobs) if LOAD_DAYS in jobs else []
    return schedules + [
        ScheduleDefinition(
            name=f"daily_{name}",
            job=jobs[name],
            cron_schedule=source.job.cron,
            execution_timezone="UTC",
            default_status=DefaultScheduleStatus.STOPPED,
            description=source.job.schedule,
        )
        for name, source in SOURCES.items()
        if source.job and name in jobs
    ]


def _day_schedules(
    settings: Settings, calendar: Calendar, jobs: dict[str, Any]
) -> list[ScheduleDefinition]:
    @schedule(
        name="daily_refresh",
        job=jobs[LOAD_DAYS],
        cron_schedule="0 2 * * *",
        execution_timezone=calendar.zone,
        default_status=DefaultScheduleStatus.STOPPED,
        description=(
            f"At 02:00 {calendar.zone}: loads the day that closed and the "
            f"{settings.refresh_days - 1} before it, for late rows. Scoring follows when "
            "the load has succeeded."
        ),
    )
    def daily_refresh(context: ScheduleEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        tick = context.scheduled_execution_time.date()
        window = closed_days(calendar, tick, settings.refresh_days)
        if window is None:
            yield SkipReason(f"The calendar has no day among the last ones before {tick}.")
            return
        yield RunRequest(run_key=f"refresh-{window}", tags=range_tags(window))

    @schedule(
        name="monthly_churn_features",
        job=jobs[MONTHLY_FEATURES],
        cron_schedule="0 5 1 * *",
        execution_timezone=calendar.zone,
        default_status=DefaultScheduleStatus.STOPPED,
        description=(
            f"At 05:00 {calendar.zone} on the first of the month: features of the month that "
            "closed, and of those before it whose churn labels close later. Retraining follows."
        ),
    )
    def monthly_churn_features(
        context: ScheduleEvaluationContext,
    ) -> Iterator[RunRequest | SkipReason]:
        tick = month_start(context.scheduled_execution_time.date())
        window = labelled_months(calendar, tick, settings.churn_horizon_days)
        if window is None:
            yield SkipReason(f"The calendar has no month that closed before {tick}.")
            return
        yield RunRequest(run_key=f"features-{window}", tags=range_tags(window, monthly=True))

    return [daily_refresh, monthly_churn_features]


def closed_days(calendar: Calendar, today: date, days: int) -> Window | None:
    """The last days before a day, as far as the calendar has them."""
    start = max(today - timedelta(days=days), calendar.start)
    end = min(today, calendar.end or today)
    return Window(start, end) if start < end else None


def labelled_months(calendar: Calendar, month: date, horizon_days: int) -> Window | None:
    """The months before a month's first day whose labels may have closed since they were built."""
    start = max(month_start(month - timedelta(days=horizon_days + 62)), month_start(calendar.start))
    end = min(month, month_start(calendar.end) if calendar.end else month)
    return Window(start, end) if start < end else None
