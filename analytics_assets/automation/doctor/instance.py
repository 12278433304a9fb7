"""The doctor's checks of the Dagster instance: its settings, its daemon, runs and slots."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from dagster import DagsterInstance, RunsFilter

from analytics_assets.automation.dead_runs import IN_PROGRESS, end_dead_runs
from analytics_assets.automation.doctor.findings import ERROR, OK, WARNING, Context, Finding
from analytics_assets.processes import Process
from analytics_assets.warehouse.connection import POOL

# Keys of dagster.yaml that runs rely on: the value, or any where it is None; what happens without.
NEEDED: dict[str, tuple[Any, str]] = {
    "concurrency.pools.default_limit": (1, "two runs would write to the warehouse at once"),
    "concurrency.pools.granularity": ("run", "two runs could take turns between their steps"),
}
ADVISED: dict[str, tuple[Any, str]] = {
    "run_monitoring.enabled": (True, "the daemon ends no dead run"),
    "run_monitoring.max_runtime_seconds": (
        None,
        "a run of another machine that died stays STARTED",
    ),
    "run_monitoring.free_slots_after_run_end_seconds": (None, "a cancelled run keeps its slot"),
    "retention": (None, "ticks of schedules and sensors are never deleted"),
}
HEARTBEAT = 300  # seconds


def instance_settings(context: Context) -> Iterator[Finding]:
    """The keys of dagster.yaml that a team's own file may lack."""
    file = context.settings.dagster_home / "dagster.yaml"
    if not file.is_file():
        yield Finding(
            "instance_settings",
            WARNING,
            f"There is no {file}.",
            "Run analytics-assets prepare, which writes it, and set DAGSTER_HOME to its folder.",
        )
        return
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[0]
        yield Finding(
            "instance_settings",
            ERROR,
            f"{file} cannot be read: {first}.",
            "Correct it, or remove it and run analytics-assets prepare, which writes it again.",
        )
        return
    found = False
    for keys, state in ((NEEDED, ERROR), (ADVISED, WARNING)):
        for key, (wanted, effect) in keys.items():
            value = _value(config, key)
            if value is None or wanted not in (None, value):
                found = True
                shown = "is not set" if value is None else f"is {value}"
                yield Finding(
                    "instance_settings",
                    state,
                    f"{key} {shown} in {file}: {effect}.",
                    f"Set it{'' if wanted is None else f' to {wanted}'}, and restart the daemon.",
                )
    if not found:
        yield Finding("instance_settings", OK, "dagster.yaml has the keys that runs rely on.")


def _value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def instance_schema(context: Context) -> Iterator[Finding]:
    """Tables of Dagster's storage against the installed Dagster."""
    behind = storages_behind(context.instance)
    if not behind:
        yield Finding("instance_schema", OK, "Dagster's storage has the tables of this version.")
    elif context.mend:
        context.instance.upgrade()
        yield Finding(
            "instance_schema",
            OK,
            f"Tables of an earlier Dagster: {', '.join(behind)}.",
            mended="Migrated, as dagster instance migrate does.",
        )
    else:
        yield Finding(
            "instance_schema",
            ERROR,
            f"Tables of an earlier Dagster: {', '.join(behind)}.",
            "Write a backup, then run dagster instance migrate, or analytics-assets doctor --mend.",
        )


def storages_behind(instance: DagsterInstance) -> list[str]:
    """Dagster's storages whose tables are not of the installed version."""
    storages = {
        "runs": instance.run_storage,
        "events": instance.event_log_storage,
        "schedules": instance.schedule_storage,
    }
    behind = []
    for name, storage in storages.items():
        versions = storage.alembic_version() if storage else None
        if versions and versions[0] != versions[1]:
            behind.append(name)
    return behind


def daemon(context: Context) -> Iterator[Finding]:
    """Whether a daemon lives: without it, schedules and sensors do not run."""
    heartbeats = context.instance.get_daemon_heartbeats()
    outside_dev = context.settings.deployment != "dev"
    start = "Start it: dagster-daemon run, or make dev."
    if not heartbeats:
        yield Finding(
            "daemon",
            WARNING if outside_dev else OK,
            "No daemon has run yet; schedules and sensors need one.",
            start if outside_dev else "",
        )
        return
    newest = max(one.timestamp for one in heartbeats.values())
    seconds = time.time() - newest
    failing = sorted(name for name, one in heartbeats.items() if one.errors)
    if seconds > HEARTBEAT:
        state = ERROR if outside_dev else WARNING
        text = f"The daemon was last seen {seconds / 60:,.0f} minutes ago."
        yield Finding("daemon", state, text, start)
    elif failing:
        yield Finding(
            "daemon",
            WARNING,
            f"The daemon lives, and reports errors of {', '.join(failing)}.",
            "See the page Deployment of the UI, and its log.",
        )
    else:
        yield Finding("daemon", OK, f"The daemon was last seen {seconds:.0f} seconds ago.")


def runs(context: Context) -> Iterator[Finding]:
    """Runs in progress whose process is gone, and those that live."""
    instance = context.instance
    before = instance.get_runs(RunsFilter(statuses=IN_PROGRESS))
    dead = [run for run in before if _is_dead(Process.of_run(run.run_id, run.tags))]
    lines: list[str] = []
    if context.mend:
        ended = {*end_dead_runs(instance, lines.append)}
        dead = [run for run in dead if run.run_id not in ended]
        for line in lines:
            yield Finding("runs", OK, line, mended="Its slot of the warehouse is free.")
    for run in dead:
        yield Finding(
            "runs",
            ERROR,
            f"Run {run.run_id[:8]} of {run.job_name} is {run.status.value}; its process is gone.",
            "analytics-assets doctor --mend ends it; so does the next analytics-assets run.",
        )
    living = [run for run in before if run not in dead and not lines]
    for run in living:
        process = Process.of_run(run.run_id, run.tags)
        yield Finding(
            "runs",
            OK,
            f"Run {run.run_id[:8]} of {run.job_name} is {run.status.value} "
            f"({process or 'process not known'}).",
        )
    if not before:
        yield Finding("runs", OK, "No run is in progress.")


def _is_dead(process: Process | None) -> bool:
    return process is not None and process.is_here and not process.lives


def slots(context: Context) -> Iterator[Finding]:
    """Slots of the pool that ended runs keep."""
    storage = context.instance.event_log_storage
    kept = []
    for run_id in storage.get_concurrency_run_ids():
        run = context.instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            kept.append(run_id)
            if context.mend:
                storage.free_concurrency_slots_for_run(run_id)
    if not kept:
        waiting = len(storage.get_concurrency_info(POOL).pending_steps)
        more = f" {waiting} steps wait for it." if waiting else ""
        yield Finding("slots", OK, f"No ended run keeps the slot of the warehouse.{more}")
    elif context.mend:
        ids = ", ".join(run_id[:8] for run_id in kept)
        yield Finding("slots", OK, f"Ended runs kept the slot: {ids}.", mended="It is free.")
    else:
        yield Finding(
            "slots",
            ERROR,
            f"Ended runs keep the slot of the warehouse: {', '.join(r[:8] for r in kept)}.",
            "analytics-assets doctor --mend frees it; so does the next analytics-assets run.",
        )
