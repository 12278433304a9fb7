"""Backups and runs: a backup waits its turn like a run, and a restore needs the home to itself.

Belongs here: the turn of a backup, processes that use a home, and runs in progress of a
restored instance. Does not belong here: copying files (`warehouse.backup`).
"""

import os
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

from analytics_assets.automation.dead_runs import IN_PROGRESS, WAITS_FOR_TAG, Say, occupants
from analytics_assets.processes import PROC, Process
from analytics_assets.warehouse.backup import BackupError
from analytics_assets.warehouse.occupancy import occupied

JOB = "backup"


@contextmanager
def turn(instance: DagsterInstance, lock: Path, say: Say, wait: bool = True) -> Iterator[None]:
    """Have the warehouse, as a run of its own that the UI shows.

    Args:
        instance: the instance.
        lock: the file of the lock of the warehouse.
        say: takes a line on which run is waited for.
        wait: whether to wait for a run at work.

    Raises:
        BackupError: a run is at work, and it is not waited for.
    """
    run_id = str(uuid4())
    tags = Process.current().tags(run_id)
    run = DagsterRun(JOB, run_id=run_id, status=DagsterRunStatus.STARTED, tags=tags)
    instance.add_run(run)

    def waiting(occupant: str) -> None:
        instance.add_run_tags(run_id, {WAITS_FOR_TAG: occupant})
        lines = occupants(instance, run_id)
        if not wait:
            raise BackupError(
                f"A run is at work on the warehouse. {' '.join(lines)} Try again when it has "
                "ended, or without --no-wait."
            )
        for line in lines:
            say(line)

    done = False
    try:
        with occupied(lock, run_id, waiting):
            yield
        done = True
    finally:
        if done:
            event = DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, JOB)
            instance.report_dagster_event(event, run_id)
        else:
            instance.report_run_failed(run, "The backup was not written.")


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
