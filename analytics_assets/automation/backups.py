"""Backups and runs: a backup waits its turn like a run, and a restore needs the home to itself.

Belongs here: the slot of the warehouse, processes that use a home, and runs in progress of a
restored instance. Does not belong here: copying files (`warehouse.backup`).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from dagster import (
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunsFilter,
)

from analytics_assets.automation.dead_runs import IN_PROGRESS, Say, end_dead_runs, occupants
from analytics_assets.processes import PROC, Process
from analytics_assets.warehouse.backup import BackupError
from analytics_assets.warehouse.connection import POOL

JOB = "backup"
STEP = "copy"
LOOKS_EVERY = 1.0  # seconds


@contextmanager
def turn(instance: DagsterInstance, say: Say, wait: bool = True) -> Iterator[None]:
    """Have the slot of the warehouse, as a run of its own that the UI shows.

    Args:
        instance: the instance.
        say: takes a line on which run is waited for.
        wait: whether to wait for runs at work.

    Raises:
        BackupError: a run is at work, and it is not waited for.
    """
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(POOL)
    run_id = str(uuid4())
    run = DagsterRun(
        job_name=JOB,
        run_id=run_id,
        status=DagsterRunStatus.STARTED,
        tags=Process.current().tags(run_id),
    )
    instance.add_run(run)
    done = False
    try:
        said: set[str] = set()
        while not storage.claim_concurrency_slot(POOL, run_id, STEP).is_claimed:
            lines = occupants(instance, run_id)
            if not wait:
                raise BackupError(
                    f"A run is at work on the warehouse. {' '.join(lines)} Try again when it has "
                    "ended, or without --no-wait."
                )
            for line in lines:
                if line not in said:
                    said.add(line)
                    say(line)
            end_dead_runs(instance, say)
            time.sleep(LOOKS_EVERY)
        yield
        done = True
    finally:
        if done:
            event = DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, JOB)
            instance.report_dagster_event(event, run_id)
        else:
            instance.report_run_failed(run, "The backup was not written.")
        storage.free_concurrency_slots_for_run(run_id)


def end_restored_runs(instance: DagsterInstance) -> None:
    """End the runs that were in progress when the backup was written, such as its own."""
    for run in instance.get_runs(RunsFilter(statuses=IN_PROGRESS)):
        instance.report_run_canceled(run, "It was in progress when the backup was written.")
    storage = instance.event_log_storage
    for run_id in storage.get_concurrency_run_ids():
        storage.free_concurrency_slots_for_run(run_id)


def users_of(home: Path) -> list[str]:
    """Other processes of this machine that have a file of a home open; a line for each."""
    if not PROC.joinpath("self").exists():
        return []  # the system does not tell
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            targets = [str(entry.readlink()) for entry in (folder / "fd").iterdir()]
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (OSError, PermissionError):
            continue
        if any(target.startswith(f"{home}{os.sep}") for target in targets):
            shown = " ".join(word.decode(errors="replace") for word in words[:4]).strip()
            found.append(f"process {folder.name} ({shown})")
    return found


def require_unused(home: Path, runs: list[str]) -> None:
    """Refuse while anything uses a home.

    Raises:
        BackupError: a process has a file of it open, or a run of it lives.
    """
    users = [*users_of(home), *runs]
    if users:
        raise BackupError(
            f"The home is in use by {', '.join(users)}. Nothing was restored. Stop the daemon, the "
            "webserver and all runs first."
        )


def living_runs(instance: DagsterInstance) -> list[str]:
    """Runs in progress whose process lives, here or on another machine; a text for each."""
    texts = []
    for run in instance.get_runs(RunsFilter(statuses=IN_PROGRESS)):
        process = Process.of_run(run.run_id, run.tags)
        if process is None or not process.is_here or process.lives:
            who = process or "a process that is not known"
            texts.append(f"run {run.run_id[:8]} of {run.job_name} ({who})")
    return texts
