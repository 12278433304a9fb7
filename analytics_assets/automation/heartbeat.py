"""The heartbeat of a run, by which other machines know that it lives.

Belongs here: beating while a run executes, and how old a beat is. Does not belong here: what
follows from that (`dead_runs`).

Only where Dagster has its records in PostgreSQL: other machines do not share SQLite. Beats have the
time of the database, and so has whoever reads them: clocks of machines may differ.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dagster import DagsterInstance

from analytics_assets.automation.stopping import Stop
from analytics_assets.compat.executor import forget, in_postgres, now, seconds_since
from analytics_assets.processes import Process

BEATS_EVERY = 5.0  # seconds
DEAD_AFTER = 60.0  # seconds without a beat: many times more, as a machine may be busy


@contextmanager
def executing(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """A run of a process that the daemon or the UI has started: it is known, beats, and stops.

    Dagster would act on SIGTERM only between steps, and not while the run waits for its slot.
    """
    instance.add_run_tags(run_id, Process.current().tags(run_id))
    with beating(instance, run_id), Stop().listening() as stop, stop.of_run(instance, run_id):
        yield


@contextmanager
def beating(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """Beat while the block goes on."""
    if not in_postgres(instance):
        yield
        return
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            try:
                _beat(instance, run_id)
            except Exception as error:
                # The database may be back at the next beat; its own error has the statement.
                logging.getLogger(__name__).warning("No heartbeat: %s", type(error).__name__)
            ended.wait(BEATS_EVERY)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(BEATS_EVERY)
        with suppress(Exception):
            forget(instance, _key(run_id))


def silent_for(instance: DagsterInstance, run_id: str) -> float | None:
    """Seconds since the last beat of a run; None where it has none."""
    if not in_postgres(instance):
        return None
    values = instance.daemon_cursor_storage.get_cursor_values({_key(run_id)})
    return seconds_since(instance, float(values[_key(run_id)])) if values else None


def _beat(instance: DagsterInstance, run_id: str) -> None:
    instance.daemon_cursor_storage.set_cursor_values({_key(run_id): f"{now(instance):.3f}"})


def _key(run_id: str) -> str:
    return f"analytics/heartbeat/{run_id}"
