"""Runs of several machines over one PostgreSQL: the dead are ended, the living are left alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test

from analytics_assets.automation import dead_runs, heartbeat
from analytics_assets.automation.dead_runs import WAITS_FOR_TAG, end_dead_runs
from analytics_assets.automation.heartbeat import beating, silent_for
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.processes import Process
from analytics_assets.warehouse.connection import POOL
from analytics_assets.warehouse.occupancy import occupied
from analytics_assets_tests.conftest import REPOSITORY, make_settings
from analytics_assets_tests.postgres import Server, server

pytestmark = pytest.mark.slow

LIMIT = 4.0  # seconds, in the place of a minute
# A machine of another name, whose clock is years off.
ELSEWHERE = f"""
import socket, sys, time
socket.gethostname = lambda: "elsewhere"
time.time = lambda: 1.0
from dagster import DagsterInstance
from analytics_assets.automation import heartbeat
from analytics_assets.processes import Process
heartbeat.BEATS_EVERY = {LIMIT / 10}
with DagsterInstance.get() as instance:
    instance.add_run_tags(sys.argv[1], Process.current().tags(sys.argv[1]))
    with heartbeat.beating(instance, sys.argv[1]):
        print("beating", flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with server(password="x") as started:
        time.sleep(LIMIT)  # silence before the start of the server does not count
        yield started


@pytest.fixture
def instance(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DagsterInstance]:
    for name, value in postgres.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dead_runs, "DEAD_AFTER", LIMIT)
    monkeypatch.setattr(heartbeat, "BEATS_EVERY", LIMIT / 10)
    home = prepare_instance(make_settings(tmp_path, **postgres.settings))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with DagsterInstance.from_config(str(home)) as instance:
        storage = instance.event_log_storage
        if POOL not in storage.get_concurrency_keys():
            storage.initialize_concurrency_limit_to_default(POOL)
        yield instance


def status(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run
    return run.status


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_run_of_another_machine_lives_as_long_as_it_beats(instance: DagsterInstance) -> None:
    run = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
    with subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, run.run_id],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"beating\n"
        storage = instance.event_log_storage
        assert storage.claim_concurrency_slot(POOL, run.run_id, "step").is_claimed
        deadline = time.monotonic() + 2 * LIMIT
        while time.monotonic() < deadline:
            assert end_dead_runs(instance) == []
            time.sleep(0.2)
        other.kill()
        other.wait()
        assert end_dead_runs(instance) == []  # it may only be busy
        ended: list[str] = []
        until(lambda: ended.extend(end_dead_runs(instance)) or ended)
    assert ended == [run.run_id]
    assert status(instance, run.run_id) == DagsterRunStatus.FAILURE
    assert any("on elsewhere) is gone" in entry.message for entry in instance.all_logs(run.run_id))
    assert storage.get_concurrency_run_ids() == set()


def test_a_run_without_a_heartbeat_of_another_machine_is_left_alone(
    instance: DagsterInstance,
) -> None:
    run = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
    instance.add_run_tags(run.run_id, Process("elsewhere", 1, "never").tags(run.run_id))
    assert end_dead_runs(instance) == []
    instance.delete_run(run.run_id)


def test_a_killed_run_of_this_machine_is_found_at_once(instance: DagsterInstance) -> None:
    run = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
    boot = Process.current().started.partition(" ")[2]
    dead = Process(Process.current().host, 2**22 + 1, f"1 {boot}")
    instance.add_run_tags(run.run_id, dead.tags(run.run_id))
    instance.daemon_cursor_storage.set_cursor_values(
        {f"analytics/heartbeat/{run.run_id}": str(time.time())}
    )
    assert end_dead_runs(instance) == [run.run_id]


def test_a_machine_of_the_same_name_is_another_one(instance: DagsterInstance) -> None:
    run = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
    namesake = Process(Process.current().host, 2**22 + 1, "1 another-boot")
    instance.add_run_tags(run.run_id, namesake.tags(run.run_id))
    with beating(instance, run.run_id):
        until(lambda: silent_for(instance, run.run_id) is not None)
        assert end_dead_runs(instance) == []
    assert silent_for(instance, run.run_id) is None
    # Its machine has begun again, and nobody beats.
    assert end_dead_runs(instance) == [run.run_id]


def test_a_database_that_was_away_makes_nobody_dead(
    instance: DagsterInstance, postgres: Server
) -> None:
    run = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
    instance.add_run_tags(run.run_id, Process("elsewhere", 1, "never").tags(run.run_id))
    with beating(instance, run.run_id):
        until(lambda: silent_for(instance, run.run_id) is not None)
        postgres.stop()
        time.sleep(2 * LIMIT)
        postgres.start()
        assert end_dead_runs(instance) == []
        until(lambda: (silent_for(instance, run.run_id) or LIMIT) < LIMIT / 2)
    instance.delete_run(run.run_id)


def test_a_run_that_dagster_started_is_known_while_it_waits_and_stops_in_ten_seconds(
    tmp_path: Path,
) -> None:
    trial = shutil.copytree(REPOSITORY / "deploy" / "trial", tmp_path / "trial")
    settings = make_settings(tmp_path / "home", ANALYTICS_SOURCES=str(trial / "sources.yaml"))
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "ANALYTICS_HOME": str(settings.home),
        "ANALYTICS_SOURCES": str(settings.sources_file),
        "DAGSTER_HOME": str(prepare_instance(settings)),
    }
    command = [sys.executable, "-m", "analytics_assets.cli", "prepare"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        living = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
        instance.add_run_tags(living.run_id, Process.current().tags(living.run_id))
        with occupied(settings.occupancy_path, living.run_id):
            waiting = subprocess.Popen(
                [sys.executable, "-m", "dagster", "asset", "materialize", "-m",
                 "analytics_assets.definitions", "--select", "raw_orders",
                 "--partition", "2024-01-01"],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:

                def waits() -> bool:
                    (run,) = instance.get_runs(limit=1)
                    return run.tags.get(WAITS_FOR_TAG) == living.run_id

                until(waits, 120)
                (run,) = instance.get_runs(limit=1)
                process = Process.of_run(run.run_id, run.tags)
                assert process
                assert process.pid == waiting.pid
                began = time.monotonic()
                waiting.send_signal(signal.SIGTERM)
                waiting.wait(30)
                assert time.monotonic() - began < 10
            finally:
                waiting.kill()
        assert status(instance, run.run_id) in (
            DagsterRunStatus.CANCELED,
            DagsterRunStatus.FAILURE,
        )
        assert instance.event_log_storage.get_concurrency_run_ids() == set()
