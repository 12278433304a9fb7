"""Which run has the warehouse: one run at a time, from its first step to its last.

Belongs here: the lock, and whom it names. Does not belong here: which runs take it
(`definitions`), or telling people for whom a run waits (`automation.dead_runs`).

DuckDB lets one process write, but only while it has the file open: between two steps of a run
another one could write, and its tables would get into the first one's. Dagster's pools are not
enough: the daemon applies them to the runs that it launches, and a slot outlives a process that was
killed. The operating system frees a lock of a file with the process that has it.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOKS_EVERY = 0.2  # seconds


@contextmanager
def occupied(
    path: Path, run_id: str, waiting: Callable[[str], None] = lambda run_id: None
) -> Iterator[None]:
    """Wait until no other run has the warehouse, and have it meanwhile.

    Args:
        path: the file of the lock.
        run_id: the run.
        waiting: takes the id of each run that this one waits for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waits_for = ""
    with path.open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                occupant = path.read_text()
                if occupant not in ("", waits_for):
                    waits_for = occupant
                    waiting(occupant)
                time.sleep(LOOKS_EVERY)
        try:
            # For messages only: nothing is decided by what the file says.
            path.write_text(run_id)
            yield
        finally:
            path.write_text("")
