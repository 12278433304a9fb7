"""Runs whose process is gone: they are ended, and what they occupied is free.

Belongs here: finding them, and saying for whom a run waits. Does not belong here: processes
(the module `processes`), or finishing what a dead run has left (`outdated`).

Dagster learns of the end of a process only from the process. One that is killed leaves its run
STARTED, with its slot of the pool, and every other run waits.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter

from analytics_assets.automation.heartbeat import DEAD_AFTER, silent_for
from analytics_assets.processes import Process, started

Say = Callable[[str], None]

IN_PROGRESS = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
LOOKS_EVERY = 2.0  # seconds
# The run for which a run waits, or waited last: it had the warehouse.
WAITS_FOR_TAG = "analytics/waits_for"


def end_dead_runs(instance: DagsterInstance, say: Say = lambda line: None) -> list[str]:
    """End the runs whose process is gone, free their slots, and return their ids.

    A run of another machine is dead when its heartbeat has been silent for long. Without one, it
    counts as living, and so does a run whose process is not known yet.
    """
    ended = []
    for record in instance.get_run_records(RunsFilter(statuses=IN_PROGRESS)):
        run = record.dagster_run
        if _lives(instance, run) is not False:
            continue
        reason = (
            f"The process of this run ({_process_in_words(instance, run)}) is gone: it was killed, "
            "or its machine was restarted or is away. The run was ended by the next one."
        )
        cancelled = run.status == DagsterRunStatus.CANCELING
        (instance.report_run_canceled if cancelled else instance.report_run_failed)(run, reason)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        how = "cancelled" if cancelled else "failed"
        say(f"Run {run.run_id[:8]} of {run.job_name} is dead: it is marked as {how}.")
        ended.append(run.run_id)
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        # Ended without giving its slot back, by whomever.
        occupant = instance.get_run_by_id(run_id)
        if occupant is None or (occupant.is_finished and _lives(instance, occupant) is not True):
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return ended


@contextmanager
def watching(instance: DagsterInstance, run_id: str, say: Say) -> Iterator[None]:
    """Meanwhile, end runs that die, and say for whom the run waits."""
    ended = threading.Event()
    said: set[str] = set()

    def look() -> None:
        while not ended.wait(LOOKS_EVERY):
            lines = occupants(instance, run_id)
            for line in lines:
                if line not in said:
                    said.add(line)
                    say(line)
            if lines:  # one that lived at the last look may have died since
                end_dead_runs(instance, say)

    thread = threading.Thread(target=look, name="watching runs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LOOKS_EVERY)


def occupants(instance: DagsterInstance, run_id: str) -> list[str]:
    """For whom a run waits: a line for each run that has the warehouse; none if it need not."""
    waiting = instance.get_run_by_id(run_id)
    occupant = waiting and waiting.tags.get(WAITS_FOR_TAG)
    record = instance.get_run_record_by_id(occupant) if occupant else None
    if record is None or record.dagster_run.is_finished:
        return []
    run = record.dagster_run
    return [
        f"Waiting for run {run.run_id[:8]} of {run.job_name} "
        f"({_process_in_words(instance, run)}), in progress since {_since(record)}."
    ]


def _lives(instance: DagsterInstance, run: DagsterRun) -> bool | None:
    """Whether the process of a run lives; None where that cannot be known here."""
    process = Process.of_run(run.run_id, run.tags)
    if process and process.is_here and process.is_of_this_boot:
        return process.lives
    if process:
        silent = silent_for(instance, run.run_id)
        if silent is not None:
            return silent < DEAD_AFTER
        # Without a heartbeat only this machine has such runs, and it has begun again.
        return False if process.is_here else None
    pid = _reported_pid(instance, run)
    # A later process may have the number: only its absence says something.
    return False if pid is not None and started(pid) is None else None


def _reported_pid(instance: DagsterInstance, run: DagsterRun) -> int | None:
    """The process of a run that has not come to our steps, as the launcher has reported it."""
    if run.status == DagsterRunStatus.NOT_STARTED:
        return None
    for entry in reversed(instance.all_logs(run.run_id)):
        event = entry.dagster_event
        if event and event.is_engine_event and event.engine_event_data.metadata.get("pid"):
            return int(str(event.engine_event_data.metadata["pid"].value))
    return None


def _process_in_words(instance: DagsterInstance, run: DagsterRun) -> str:
    process = Process.of_run(run.run_id, run.tags)
    return str(process or f"process {_reported_pid(instance, run) or 'unknown'}")


def _since(record: RunRecord) -> str:
    began = record.start_time or record.create_timestamp.timestamp()
    return f"{datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M:%S} UTC"
