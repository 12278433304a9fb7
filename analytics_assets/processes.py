"""Processes of this machine: which one executes a run, and whether it still lives.

Belongs here: what is asked of the operating system. Does not belong here: what follows for a run
(`automation.dead_runs`).
"""

import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PROCESS_TAG = ".analytics/process"  # hidden in the UI


@dataclass(frozen=True)
class Process:
    """A process: its machine, its number, and what tells it from a later one of that number."""

    host: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> "Process":
        """The process that asks."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, started(pid) or "")

    @classmethod
    def of_run(cls, run_id: str, tags: Mapping[str, str]) -> "Process | None":
        """The process that executes a run, by its tags; None where it has not said so.

        A run that is executed again has the tags of the one before.
        """
        of, _, text = tags.get(PROCESS_TAG, "").partition(" ")
        if of != run_id:
            return None
        host, pid, began = text.split(" ", 2)
        return cls(host, int(pid), began)

    def tags(self, run_id: str) -> dict[str, str]:
        """Tags of a run that this process executes."""
        return {PROCESS_TAG: f"{run_id} {self.host} {self.pid} {self.started}"}

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Whether this machine can tell if it lives."""
        return self.host == socket.gethostname()

    @property
    def is_of_this_boot(self) -> bool:
        """Whether the machine has not begun again since; two of one name differ in this, too."""
        if not PROC.joinpath("stat").exists():
            return True
        return self.started.endswith(f" {_boot()}")

    @property
    def lives(self) -> bool:
        """Whether it exists on this machine; a later process with its number does not count."""
        return started(self.pid) == self.started


def started(pid: int) -> str | None:
    """When a process began, in the system's words; None where there is none."""
    if not PROC.joinpath("stat").exists():
        return _started_by_ps(pid)
    try:
        # The name, in brackets, may contain anything.
        fields = PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":  # ended, and nobody has asked for its exit code
        return None
    # Ticks since the machine began: unlike a time, no clock that is set changes them.
    return f"{fields[19]} {_boot()}"


def _boot() -> str:
    return PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()


def _started_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return done.stdout.strip() or None
