"""Schedules: the daily refresh, monthly features, weekly training, and what looks each hour.

Belongs here: what runs at a time. Does not belong here: reactions to an event (`sensors`).

Times and their zone are settings. The first two request a range: one run each, however many days.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    SkipReason,
    schedule,
)

from analytics_assets.automation.jobs import (
    CHECK_TABLES,
    LOAD_DAYS,
    MONTHLY_FEATURES,
    OBSERVE_SOURCES,
    RETRAIN,
)
from analytics_assets.automation.ranges import UNFINISHED, range_tags
from analytics_assets.partitions import Calendar, Window, month_start
from analytics_assets.settings import Settings
from analytics_assets.sources.declared import SOURCES
from analytics_assets.warehouse.publish import POINTER


def build_schedules(
    settings: Settings, calendar: Calendar, jobs: dict[str, Any]
) -> list[ScheduleDefinition]:
    """The schedules of the jobs; they run by default where automation is on."""
    schedules = _day_schedules(settings, calendar, jobs) if LOAD_DAYS in jobs else []
    zone = settings.schedule_zone or calendar.zone
    return [
        *schedules,
        *(_hourly(settings, zone, jobs[name]) for name in (OBSERVE_SOURCES, CHECK_TABLES)),
        *(
            ScheduleDefinition(
                name=f"daily_{name}",
                job=jobs[name],
                cron_schedule=source.job.cron,
                execution_timezone=zone,
                default_status=_status(settings),
                description=source.job.schedule,
            )
            for name, source in SOURCES.items()
            if source.job and name in jobs
        ),
    ]


def _status(settings: Settings) -> DefaultScheduleStatus:
    return DefaultScheduleStatus.RUNNING if settings.automatic else DefaultScheduleStatus.STOPPED


def _day_schedules(
    settings: Settings, calendar: Calendar, jobs: dict[str, Any]
) -> list[ScheduleDefinition]:
    zone = settings.schedule_zone or calendar.zone

    def options(name: str, job: str, at: str, description: str) -> dict[str, Any]:
        return {
            "name": name,
            "job": jobs[job],
            "cron_schedule": at,
            "execution_timezone": zone,
            "default_status": _status(settings),
            "description": f"At {at} ({zone}): {description}",
        }

    def today(context: ScheduleEvaluationContext) -> date:
        """The day of the tick where the shop is: its days close by that clock."""
        return context.scheduled_execution_time.astimezone(ZoneInfo(calendar.zone)).date()

    @schedule(
        **options(
            "daily_refresh",
            LOAD_DAYS,
            settings.refresh_at,
            f"loads the day that closed and the {settings.refresh_days - 1} before it, for late "
            "rows. Scoring follows when the load has succeeded.",
        )
    )
    def daily_refresh(context: ScheduleEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        tick = today(context)
        window = closed_days(calendar, tick, settings.refresh_days)
        if window is None:
            yield SkipReason(f"The calendar has no day among the last ones before {tick}.")
            return
        yield RunRequest(run_key=f"refresh-{window}", tags=range_tags(window))

    @schedule(
        **options(
            "monthly_churn_features",
            MONTHLY_FEATURES,
            settings.features_at,
            "features of the month that closed, and of those before it whose churn labels close "
            "later. Retraining follows.",
        )
    )
    def monthly_churn_features(
        context: ScheduleEvaluationContext,
    ) -> Iterator[RunRequest | SkipReason]:
        tick = month_start(today(context))
        window = labelled_months(calendar, tick, settings.churn_horizon_days)
        if window is None:
            yield SkipReason(f"The calendar has no month that closed before {tick}.")
            return
        yield RunRequest(run_key=f"features-{window}", tags=range_tags(window, monthly=True))

    @schedule(
        **options(
            "weekly_retraining",
            RETRAIN,
            settings.retrain_at,
            "trains the churn model again. A new model takes over only if it is better.",
        )
    )
    def weekly_retraining(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if not (settings.published_dir / POINTER).exists():
            return SkipReason("Nothing has been published yet.")
        return RunRequest(run_key=f"retrain-{today(context)}")

    return [daily_refresh, monthly_churn_features, weekly_retraining]


def _hourly(settings: Settings, zone: str, job: Any) -> ScheduleDefinition:
    @schedule(
        name=f"hourly_{job.name}",
        job=job,
        cron_schedule=settings.checks_at,
        execution_timezone=zone,
        default_status=_status(settings),
        description=f"At {settings.checks_at} ({zone}): {job.description}",
    )
    def hourly(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
        if job.name == CHECK_TABLES and not (settings.published_dir / POINTER).exists():
            return SkipReason("Nothing has been published yet.")
        # During a long load, one look is enough after it.
        if context.instance.get_run_ids(
            RunsFilter(job_name=job.name, statuses=UNFINISHED), limit=1
        ):
            return SkipReason("The run of an earlier tick waits or goes on.")
        return RunRequest(run_key=f"{context.scheduled_execution_time.timestamp():.0f}")

    return hourly


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
