"""The doctor's checks of the warehouse and its published copies."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

from dagster import RunsFilter

from analytics_assets.automation.dead_runs import IN_PROGRESS
from analytics_assets.automation.doctor.findings import (
    ERROR,
    OK,
    WARNING,
    Context,
    Finding,
    NotCheckedError,
    one_line,
)
from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.automation.outdated import forget_what_is_gone
from analytics_assets.automation.ranges import contiguous
from analytics_assets.checks.staleness import find_stale
from analytics_assets.processes import PROC, Process
from analytics_assets.sources.declared import LEADING
from analytics_assets.sources.ledger import loaded_versions
from analytics_assets.warehouse.connection import WarehouseLockedError
from analytics_assets.warehouse.damage import DamagedError, WarehouseError
from analytics_assets.warehouse.migration import differences
from analytics_assets.warehouse.publish import POINTER, builds, current_build
from analytics_assets.warehouse.recovery import begin_again, damage_of, read_all
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.unfinished import unfinished

RUN = "analytics-assets run"
DAY = 24 * 60 * 60.0
STALE_BUILD = 36 * 60 * 60.0  # seconds, as in deploy/prometheus/alerts.yml
DAYS_NAMED = 3


def warehouse(context: Context) -> Iterator[Finding]:
    """Whether the file opens and all of it can be read, or who has it open."""
    path = context.warehouse.path
    if not path.exists():
        yield Finding("warehouse", WARNING, f"There is no warehouse at {path}.", f"Run {RUN}.")
        return
    began = time.perf_counter()
    try:
        tables = read_all(context.warehouse)
    except WarehouseLockedError as error:
        yield Finding(
            "warehouse",
            WARNING,
            f"{_holder(context, str(error))} has the warehouse open; it was not read.",
            "Wait for its end, or stop that process. The published copy can be read meanwhile.",
        )
    except DamagedError as error:
        if context.mend:
            *lines, last = begin_again(path, context.settings.published_dir)
            yield Finding(
                "warehouse", WARNING, one_line(error), f"Run {RUN}.", " ".join([*lines, last])
            )
        else:
            text, _, remedy = one_line(error).partition(" Nothing was changed. ")
            yield Finding("warehouse", ERROR, text, remedy or f"See above, then {RUN}.")
    else:
        seconds = time.perf_counter() - began
        yield Finding("warehouse", OK, f"{tables} tables were read whole, in {seconds:.1f} s.")


def _holder(context: Context, error: str) -> str:
    """Who has the warehouse open, by DuckDB's error."""
    number = re.search(r"PID (\d+)", error)
    if not number:
        return "Another process"
    pid = int(number[1])
    try:
        for run in context.instance.get_runs(RunsFilter(statuses=IN_PROGRESS)):
            process = Process.of_run(run.run_id, run.tags)
            if process and process.is_here and process.pid == pid:
                return f"Run {run.run_id[:8]} of {run.job_name} (process {pid})"
    except NotCheckedError:
        pass
    command = PROC / str(pid) / "cmdline"
    words = command.read_bytes().split(b"\0") if command.exists() else []
    shown = " ".join(word.decode(errors="replace") for word in words[:4]).strip()
    return f"Process {pid}{f' ({shown})' if shown else ''}"


def schema(context: Context) -> Iterator[Finding]:
    """Stored columns against the declared ones."""
    if not context.warehouse.path.exists():
        return
    with _readable(context) as session:
        behind = differences(session)
    if not behind:
        yield Finding("schema", OK, "All tables have the columns of this code.")
        return
    names = ", ".join(
        f"{one.table.name} ({len([*one.dropped, *one.retyped, *one.given, *one.computed])} columns)"
        for one in behind
    )
    if context.mend:
        lines = context.warehouse.migrate()
        asked = lines[-1] if len(lines) > len(behind) else ""
        yield Finding(
            "schema",
            WARNING if asked else OK,
            f"Tables were of other code: {names}.",
            f"Run {RUN}." if asked else "",
            f"Migrated. {asked}".strip(),
        )
    else:
        yield Finding(
            "schema",
            WARNING,
            f"Tables are of other code: {names}.",
            f"{RUN} migrates them and loads what has to be computed; doctor --mend migrates only.",
        )


def unfinished_loads(context: Context) -> Iterator[Finding]:
    """Days whose load was begun and has not finished."""
    if not context.warehouse.path.exists():
        return
    with _readable(context) as session:
        left = unfinished(session)
    if context.mend and left:
        for line in forget_what_is_gone(context.composed, context.sources, context.warehouse):
            yield Finding("unfinished_loads", OK, line, mended="Forgotten.")
        with _readable(context) as session:
            left = unfinished(session)
    if not left:
        yield Finding("unfinished_loads", OK, "No load is unfinished.")
        return
    days = {day for some in left.values() for day in some if day}
    named = _days(days) if days else ", ".join(sorted(left))
    yield Finding(
        "unfinished_loads",
        ERROR,
        f"The load of {named} was begun and has not finished: nothing is published until then.",
        f"{RUN} finishes it. If a run is at work on it, wait for its end.",
    )


def partitions(context: Context) -> Iterator[Finding]:
    """Days that were never loaded, and snapshots and months that are older than their days."""
    daily = context.composed.resolve_job_def(LOAD_DAYS).partitions_def
    keys = list(daily.get_partition_keys()) if daily and context.sources.has_days else []
    if not keys:
        yield Finding("partitions", OK, "No source has days.")
        return
    if not context.warehouse.path.exists():
        yield Finding(
            "partitions", WARNING, f"None of {len(keys):,} days is loaded.", f"Run {RUN}."
        )
        return
    with _readable(context) as session:
        loaded = {day for day in loaded_versions(session, LEADING) if day}
        has_columns = not differences(session)
        stale = None
        if has_columns:
            stale = find_stale(session, context.instance, context.settings.churn_horizon_days)
    missing = {date.fromisoformat(key) for key in keys} - loaded
    if missing:
        text = f"{len(missing):,} of {len(keys):,} days are not loaded: {_days(missing)}."
        yield Finding(
            "partitions", WARNING, text, f"Run {RUN}, or start the sensor changed_sources."
        )
    if stale and (stale.snapshots or stale.months):
        text = (
            f"{len(stale.snapshots):,} snapshots and {len(stale.months):,} months are older than "
            f"days that they depend on: {_days({*stale.snapshots, *stale.months})}."
        )
        yield Finding("partitions", WARNING, text, f"{RUN} builds them again.")
    if not missing and stale and not stale.snapshots and not stale.months:
        yield Finding("partitions", OK, f"All {len(keys):,} days are loaded, and nothing is stale.")


def published(context: Context) -> Iterator[Finding]:
    """Whether the newest build is whole, and how old it is."""
    folder = context.settings.published_dir
    if not folder.is_dir() or not builds(folder):
        # Where all is up to date, a run has nothing to do and does not publish.
        remedy = f"Run {RUN}; if that says that all is up to date, materialize published_warehouse."
        yield Finding("published", WARNING, "Nothing is published.", remedy)
        return
    build, text = None, f"{POINTER} names no build."
    with suppress(WarehouseError):
        build = current_build(folder)
    damage = build and damage_of(build)
    if build and damage:
        text = f"Build {build.parent.name}, which is the current one, is damaged: {damage}."
    if build is None or damage:
        whole = [b for b in reversed(builds(folder)) if not damage_of(b / "warehouse.duckdb")]
        name = whole[0].name if whole else None
        if context.mend and name:
            _point_to(folder, whole[0])
            done = f"{POINTER} names build {name} again, which is whole."
            yield Finding("published", WARNING, text, f"Publish again: {RUN}.", done)
        else:
            yield Finding(
                "published",
                ERROR,
                text,
                f"doctor --mend makes build {name} the current one."
                if name
                else "Materialize published_warehouse, or restore a backup.",
            )
        return
    age = time.time() - build.stat().st_mtime
    text = f"Build {build.parent.name} is whole, and {age / 3600:,.0f} hours old."
    if context.sources.calendar.end is None and age > STALE_BUILD:
        yield Finding("published", WARNING, text, f"Run {RUN}, or start the daemon.")
    else:
        yield Finding("published", OK, text)


def _point_to(folder: Path, build: Path) -> None:
    pointer = folder / f".{POINTER}"
    pointer.write_text(f"{build.name}/warehouse.duckdb\n", encoding="utf-8")
    pointer.replace(folder / POINTER)


@contextmanager
def _readable(context: Context) -> Iterator[Session]:
    """The tables as stored; what keeps them from being read is a finding of `warehouse`."""
    try:
        with context.warehouse.as_stored() as session:
            yield session
    except (WarehouseLockedError, DamagedError) as error:
        raise NotCheckedError("the warehouse cannot be read") from error


def _days(days: set[date]) -> str:
    windows = list(contiguous(days))
    more = f" and {len(windows) - DAYS_NAMED} more ranges" if len(windows) > DAYS_NAMED else ""
    return ", ".join(map(str, windows[:DAYS_NAMED])) + more
