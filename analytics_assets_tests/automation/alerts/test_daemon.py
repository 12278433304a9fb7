"""A real daemon: it tells once, also where it is killed and started again."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...conftest import REPOSITORY, Project
from ..servers import accept, http_server
from .conftest import DAY, FAILED, load, titles

pytestmark = pytest.mark.slow

WORKSPACE = ("-w", "workspace.yaml")


def dagster(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).parent / arguments[0]), *arguments[1:], *WORKSPACE]


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.5)


@contextmanager
def daemon(environment: dict[str, str], log: Path) -> Iterator[None]:
    """A daemon, which is killed in the end."""
    with (
        log.open("a") as stream,
        subprocess.Popen(
            dagster("dagster-daemon", "run"),
            env=environment,
            cwd=REPOSITORY,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield
        finally:
            # Its code server ends by itself, without the daemon's heartbeat.
            process.send_signal(signal.SIGKILL)


def test_a_daemon_that_is_killed_and_started_again_tells_once(
    copied_project: Project,
) -> None:
    instance, log = copied_project.instance, copied_project.settings.home / "daemon.log"

    def ticks() -> int:
        states = [s for s in instance.all_instigator_state() if s.instigator_name == "alerts"]
        return len(instance.get_ticks(states[0].instigator_origin_id, states[0].selector_id))

    load(instance, str(DAY), str(DAY), fails=True)
    with http_server(accept) as (url, received):
        environment = {**copied_project.environment(), "ANALYTICS_WEBHOOK_URL": url}
        subprocess.run(
            dagster("dagster", "sensor", "start", "alerts"),
            env=environment,
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            timeout=120,
        )
        with daemon(environment, log):
            wait_for(lambda: FAILED in titles(received))
        before = ticks()
        load(instance, str(DAY), str(DAY))
        with daemon(environment, log):
            wait_for(lambda: len(received) >= 3)
            wait_for(lambda: ticks() >= before + 1)
    said = titles(received)
    assert said[0] == FAILED
    assert "is published" in said[1]
    assert said[2:] == [f"[dev] Over: {FAILED.removeprefix('[dev] ')}"]
    assert "alerts" in log.read_text()
    assert "Traceback" not in log.read_text()
