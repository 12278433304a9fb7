"""Runs whose process is gone are ended; those of a living one are waited for, by name."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.events import EngineEventData
from dagster._core.test_utils import create_run_for_test

from analytics_assets.automation.dead_runs import (
    LOOKS_EVERY,
    WAITS_FOR_TAG,
    end_dead_runs,
    occupants,
    watching,
)
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.automation.ranges import range_tags
from analytics_assets.automation.sensors import failed_loads
from analytics_assets.partitions import Window
from analytics_assets.processes import PROCESS_TAG, Process, started
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL


@pytest.fixture
def instance(settings: Settings) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)
        yield instance


def dead_process() -> Process:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        began = started(child.pid)
        assert began
        child.communicate(b"\n")
    return Process(Process.current().host, child.pid, began)


def run_of(
    instance: DagsterInstance,
    process: Process | None,
    status: DagsterRunStatus = DagsterRunStatus.STARTED,
) -> str:
    run = create_run_for_test(instance, "load_days", status=status)
    if process:
        instance.add_run_tags(run.run_id, process.tags(run.run_id))
    return run.run_id


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def claim(instance: DagsterInstance, run_id: str) -> bool:
    return instance.event_log_storage.claim_concurrency_slot(POOL, run_id, "step").is_claimed


def status(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run
    return run.status


def test_a_run_whose_process_was_killed_is_failed_and_its_slot_is_free(
    instance: DagsterInstance,
) -> None:
    dead = run_of(instance, dead_process())
    assert claim(instance, dead)
    lines: list[str] = []
    assert end_dead_runs(instance, lines.append) == [dead]
    assert status(instance, dead) == DagsterRunStatus.FAILURE
    assert lines == [f"Run {dead[:8]} of load_days is dead: it is marked as failed."]
    assert any("is gone: it was killed" in entry.message for entry in instance.all_logs(dead))
    assert claim(instance, run_of(instance, Process.current()))


def test_a_run_that_was_being_cancelled_is_cancelled(instance: DagsterInstance) -> None:
    dead = run_of(instance, dead_process(), DagsterRunStatus.CANCELING)
    end_dead_runs(instance)
    assert status(instance, dead) == DagsterRunStatus.CANCELED


def test_a_living_run_is_waited_for_by_name(instance: DagsterInstance) -> None:
    living = run_of(instance, Process.current())
    waiting = run_of(instance, Process.current())
    assert occupants(instance, waiting) == []
    instance.add_run_tags(waiting, {WAITS_FOR_TAG: living})
    assert end_dead_runs(instance) == []
    (line,) = occupants(instance, waiting)
    assert line.startswith(f"Waiting for run {living[:8]} of load_days (process {os.getpid()} on ")
    assert " UTC." in line
    instance.report_run_failed(instance.get_run_by_id(living))
    assert occupants(instance, waiting) == []


def test_a_run_that_dies_while_another_waits_is_ended(instance: DagsterInstance) -> None:
    lines: list[str] = []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = Process(Process.current().host, child.pid, str(started(child.pid)))
        dying = run_of(instance, process)
        waiting = run_of(instance, Process.current())
        instance.add_run_tags(waiting, {WAITS_FOR_TAG: dying})
        with watching(instance, waiting, lines.append):
            until(lambda: bool(lines))
            time.sleep(2 * LOOKS_EVERY)
            assert status(instance, dying) == DagsterRunStatus.STARTED
            child.kill()
            child.wait()
            until(lambda: status(instance, dying) == DagsterRunStatus.FAILURE)


@pytest.mark.parametrize(
    "process",
    [
        Process("elsewhere", 1, "never"),  # only that machine knows
        None,  # it has not come to a step, and no launcher has said anything
    ],
)
def test_what_cannot_be_known_is_left_alone(
    instance: DagsterInstance, process: Process | None
) -> None:
    run_id = run_of(instance, process)
    assert end_dead_runs(instance) == []
    assert status(instance, run_id) == DagsterRunStatus.STARTED


def test_the_number_of_a_dead_process_that_a_later_one_has_is_no_life(
    instance: DagsterInstance,
) -> None:
    dead = run_of(instance, Process(Process.current().host, os.getpid(), "earlier"))
    assert end_dead_runs(instance) == [dead]


def test_the_tags_of_a_run_that_is_executed_again_say_nothing(instance: DagsterInstance) -> None:
    first = run_of(instance, dead_process(), DagsterRunStatus.FAILURE)
    again = run_of(instance, None)
    before = instance.get_run_by_id(first)
    assert before
    instance.add_run_tags(again, {PROCESS_TAG: before.tags[PROCESS_TAG]})
    assert end_dead_runs(instance) == []


def test_a_process_that_the_launcher_has_reported(instance: DagsterInstance) -> None:
    """As Dagster's own launcher does, before the first step: see `dagster._grpc.impl`."""
    run_ids = {}
    for pid in (os.getpid(), dead_process().pid):
        run_ids[pid] = run_of(instance, None)
        run = instance.get_run_by_id(run_ids[pid])
        instance.report_engine_event(
            "Started process for run", run, EngineEventData.in_process(pid)
        )
    assert end_dead_runs(instance) == [run_ids[pid]]


def test_a_slot_of_a_run_that_has_ended_is_freed(instance: DagsterInstance) -> None:
    ended = run_of(instance, dead_process(), DagsterRunStatus.FAILURE)
    assert claim(instance, ended)
    assert end_dead_runs(instance) == []
    assert claim(instance, run_of(instance, Process.current()))


def test_a_process_that_has_ended_and_was_not_waited_for_does_not_live() -> None:
    with subprocess.Popen([sys.executable, "-c", "print()"], stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.read()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert started(child.pid) is None


@pytest.mark.parametrize(
    ("newest", "asked"),
    [
        (DagsterRunStatus.CANCELED, True),
        (DagsterRunStatus.FAILURE, True),
        (DagsterRunStatus.CANCELING, False),
        (DagsterRunStatus.STARTED, False),
        (DagsterRunStatus.SUCCESS, False),
    ],
)
def test_days_of_a_cancelled_load_are_asked_for_again(
    instance: DagsterInstance, newest: DagsterRunStatus, asked: bool
) -> None:
    days = Window.of_days("2024-03-05", "2024-03-06")
    run = create_run_for_test(instance, "load_days", status=newest, tags=range_tags(days))
    assert failed_loads(instance) == ({day: [run.run_id] for day in days} if asked else {})
