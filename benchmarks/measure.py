"""The cost of a command: time, processor, memory and bytes of all its processes together."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PAUSE = 0.1  # seconds between two measurements of the memory


@dataclass(frozen=True)
class Cost:
    """Cost of a process and all that it started.

    Attributes:
        wall: seconds from start to end.
        cpu: seconds of processor time, user and system.
        peak: gigabytes resident at once, all processes added up.
        written: gigabytes handed to the disk.
    """

    wall: float
    cpu: float
    peak: float
    written: float

    def as_dict(self) -> dict[str, float]:
        return {name: round(value, 3) for name, value in asdict(self).items()}


class CommandError(RuntimeError):
    """The command failed; the message has the end of what it printed."""


def measure(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> Cost:
    """Run a command and measure its cost.

    Args:
        command: program and arguments.
        log: file for its output.
        environment: variables in addition to those of this process.
        limit: seconds after which it is killed.

    Raises:
        CommandError: it failed, or did not end in time.
    """
    used, written = resource.getrusage(resource.RUSAGE_CHILDREN), _written()
    began = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        peak = _Peak(process.pid)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = None
        peak.stop()
    wall = time.perf_counter() - began
    if code != 0:
        why = f"not done after {limit:.0f} s" if code is None else f"exit code {code}"
        raise CommandError(f"{' '.join(command)}: {why}\n{log.read_text()[-2000:]}")
    # Children that were waited for, and their children, are included.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return Cost(wall, cpu, peak.gigabytes, (_written() - written) / 1e9)


class _Peak:
    """Watches the memory of a process and its descendants from a thread."""

    def __init__(self, pid: int) -> None:
        self.gigabytes = 0.0
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            self.gigabytes = max(self.gigabytes, sum(map(_resident, _family(self._pid))) / 1e9)


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    family = [pid]
    for member in family:
        try:
            tasks = list(Path(f"/proc/{member}/task").iterdir())
            for task in tasks:
                family += map(int, (task / "children").read_text().split())
        except OSError:  # it has ended
            continue
    return family


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _written() -> int:
    """Bytes written by this process and by the children that it has waited for."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])
