"""One run at a time has the warehouse, and a process that is killed has it no more."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from analytics_assets.warehouse.occupancy import LOOKS_EVERY, occupied

OCCUPY = """
import sys
from pathlib import Path
from analytics_assets.warehouse.occupancy import occupied
with occupied(Path(sys.argv[1]), "other"):
    print("occupied", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def other_process(path: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", OCCUPY, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process


@pytest.mark.parametrize("killed", [True, False])
def test_a_run_waits_for_the_other_by_name_and_not_for_a_dead_one(
    tmp_path: Path, killed: bool
) -> None:
    path = tmp_path / "home" / "warehouse.run"
    said: list[str] = []
    with other_process(path) as process:

        def end(occupant: str) -> None:
            said.append(occupant)
            process.kill() if killed else process.communicate("\n")

        with occupied(path, "this", end):
            assert path.read_text() == "this"
    assert said == ["other"]
    assert path.read_text() == ""
    with occupied(path, "next", said.append):
        pass
    assert said == ["other"]


def test_threads_wait_for_each_other_too(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "warehouse.run", [], []

    def run(name: str) -> None:
        with occupied(path, name):
            inside.append(name)
            most.append(len(inside))
            threading.Event().wait(LOOKS_EVERY / 4)
            inside.remove(name)

    threads = [threading.Thread(target=run, args=(f"run {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 4


def test_a_run_that_fails_leaves_it_free(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.run"
    with pytest.raises(ValueError, match="broken"), occupied(path, "first"):
        raise ValueError("broken")
    with occupied(path, "second", pytest.fail):
        pass
