"""Commands that materialize: run and backfill."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from analytics_assets.cli.common import (
    clear_errors,
    open_instance,
    project_errors,
    read_settings,
    read_sources,
)
from analytics_assets.cli.progress import outcome_table, progress
from analytics_assets.cli.published import print_published
from analytics_assets.settings import Settings

if TYPE_CHECKING:
    from analytics_assets.automation.stopping import Stop
    from analytics_assets.partitions import Calendar, Window

DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--from", "first", type=DAY, help="First day of a range, such as 2024-01-31.")
@click.option("--to", "last", type=DAY, help="Last day of the range, included.")
@click.option("--day", "days", type=DAY, multiple=True, help="A single day; may be repeated.")
@click.option(
    "--snapshots",
    type=click.Choice(["newest", "every"]),
    default="newest",
    show_default=True,
    help="Customer snapshots and scores of the newest day, or of every day from the first on.",
)
def backfill(
    first: datetime | None, last: datetime | None, days: Sequence[datetime], snapshots: str
) -> None:
    """Materialize everything for some days, in order, as runs of the Dagster instance.

    The days are a range (--from and --to), single days (--day), or both. Whatever lies between
    them, they are scored and published once, at the end.
    """
    settings = read_settings()
    from analytics_assets.automation.ranges import contiguous
    from analytics_assets.automation.stopping import Stop

    windows = list(contiguous(_named_days(first, last, days)))
    with Stop().listening() as stop:
        code = materialize(settings, windows, snapshots == "every", stop=stop)
    sys.exit(code)


def _named_days(
    first: datetime | None, last: datetime | None, days: Sequence[datetime]
) -> set[date]:
    from analytics_assets.partitions import Window

    named = {day.date() for day in days}
    if (first is None) != (last is None):
        raise click.ClickException(
            "A range needs both --from and --to; name single days with --day."
        )
    if first and last:
        if first > last:
            raise click.ClickException(f"--from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}.")
        named |= {*Window(first.date(), last.date() + timedelta(days=1))}
    if not named:
        raise click.ClickException("Name the days: --from and --to, or --day, once for each day.")
    return named


@click.command()
@click.option("--customers", type=int, default=20_000, show_default=True, help="Of the sample.")
@click.option("--months", type=int, default=24, show_default=True, help="Of the sample.")
def run(customers: int, months: int) -> None:
    """Bring everything up to date: load what is new or changed, and rebuild what depends on it.

    Without ANALYTICS_SOURCES the generated sample is the source; it is written if it is missing.
    """
    settings = read_settings()
    from analytics_assets.automation.stopping import Stop

    with Stop().listening() as stop:
        code = _bring_up_to_date(settings, customers, months, stop)
    if code:
        sys.exit(code)
    print_published(settings)


def _bring_up_to_date(settings: Settings, customers: int, months: int, stop: "Stop") -> int:
    if settings.sources_file is None:
        from analytics_assets.sources.sample import write_sample

        with clear_errors(ValueError):
            write_sample(settings.sample_dir, customers, months, settings.seed)
    from analytics_assets.automation.dead_runs import end_dead_runs
    from analytics_assets.automation.outdated import (
        forget_what_is_gone,
        outdated,
        outdated_jobs,
        read_history,
    )
    from analytics_assets.definitions import build_definitions, build_warehouse

    with project_errors(), open_instance(settings) as instance:
        end_dead_runs(instance, click.echo)
        state = (
            *(build_definitions(settings), instance),
            *(read_sources(settings), build_warehouse(settings)),
        )
        for line in state[3].migrate():
            click.echo(line)
        for line in forget_what_is_gone(state[0], state[2], state[3]):
            click.echo(line)
        windows, own_jobs = outdated(*state, click.echo), outdated_jobs(*state)
        calendar, horizon = state[2].calendar, settings.churn_horizon_days
        history = read_history(instance, state[3], calendar, horizon, state[0])
    if windows or own_jobs or history.is_behind:
        return materialize(settings, windows, every_snapshot=False, own_jobs=own_jobs, stop=stop)
    click.echo("Everything is up to date: neither the sources nor the code have changed.")
    return 0


def materialize(
    settings: Settings,
    windows: "list[Window]",
    every_snapshot: bool,
    own_jobs: Sequence[str] = (),
    stop: "Stop | None" = None,
) -> int:
    """Run the backfill of each window, print its outcome and return the exit code."""
    from analytics_assets.automation.alerts.watch import watch
    from analytics_assets.automation.backfill import plan_backfill, run_backfill
    from analytics_assets.automation.outdated import read_history, unfinished_days
    from analytics_assets.automation.ranges import contiguous, most_days_of, windows_to_load
    from analytics_assets.automation.retention import prune
    from analytics_assets.definitions import build_definitions, build_warehouse
    from analytics_assets.sources.readers import read_whole
    from analytics_assets.warehouse.connection import WarehouseError

    began = time.monotonic()
    code = 0
    with project_errors(), open_instance(settings) as instance:
        composed = build_definitions(settings)
        sources = read_sources(settings)
        wanted = {day for window in windows for day in window}
        begun = unfinished_days(composed, sources, build_warehouse(settings)) - wanted
        for window in windows:
            _require_within(window, sources.calendar, sources.has_days)
        if begun:
            days = ", ".join(map(str, contiguous(begun)))
            click.echo(f"Loaded too, as their load was begun and has not finished: {days}.")
        if begun or read_whole(sources):
            windows = windows_to_load(wanted | begun, sources)
        plans = plan_backfill(
            windows,
            sources.calendar,
            settings.churn_horizon_days,
            read_history(
                instance,
                build_warehouse(settings),
                sources.calendar,
                settings.churn_horizon_days,
                composed,
            ),
            every_snapshot,
            own_jobs,
            most_days_of(settings, sources),
        )
        with progress() as listener:
            outcome = run_backfill(
                composed,
                instance,
                plans,
                settings.home / "logs" / "backfill.log",
                listener,
                lambda line: print(line, file=sys.__stderr__),
                stop,
            )
        # There may be no daemon whose sensor would tell people.
        checks = sorted(composed.resolve_asset_graph().asset_check_keys)
        problems = watch(settings, instance, build_warehouse(settings, patience=5.0), checks)
        with suppress(WarehouseError):  # another run has it; then the next one prunes
            prune(settings, instance, build_warehouse(settings, patience=5.0))
    click.echo(outcome_table(outcome.assets))
    for failure in outcome.failures:
        click.secho(f"FAILED  {failure}", fg="red", err=True)
        code = 1
    for line in outcome.details:
        click.echo(line, err=True)
    for problem in problems:
        click.echo(f"Not reported: {problem}", err=True)
    click.echo(f"{len(plans)} runs in {time.monotonic() - began:.0f} s.")
    return code


def _require_within(window: "Window", calendar: "Calendar", has_days: bool) -> None:
    from analytics_assets.partitions import Window, daily_partitions

    if not has_days:
        raise click.ClickException("No configured source has days. Use `analytics-assets run`.")
    # For a calendar without an end, the last partition is the last day that has closed.
    last = daily_partitions(calendar).get_last_partition_key()
    end = Window.of_days(last, last).end if last else calendar.start
    if window.start < calendar.start or window.end > end:
        raise click.ClickException(
            f"The sources cover {calendar.start} to {end - timedelta(days=1)}; "
            f"{window.start} to {window.end - timedelta(days=1)} is not within this range."
        )
