"""`analytics-assets dev`: a run asked for in the UI is queued, launched, and loads its day."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from dagster import AssetKey, DagsterEventType, DagsterRunStatus, build_sensor_context

from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window, run_window
from analytics_assets.processes import Process
from analytics_assets.warehouse.occupancy import occupied

from .conftest import REPOSITORY, Project

pytestmark = pytest.mark.slow

DAY = "2024-06-30"
ENDS_WITHIN = 10.0  # seconds
DEV = (sys.executable, "-m", "analytics_assets.cli", "dev")
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
TERMINATE = """
mutation Terminate($id: String!) {
  terminateRun(runId: $id) { __typename ... on TerminateRunFailure { message } }
}
"""
LOCATIONS = """
{ workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""


@pytest.fixture
def server(copied_project: Project) -> Iterator[Callable[..., Any]]:
    """Web server and daemon on the project; the function that asks them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = copied_project.settings.home / "dev.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [*DEV, "-h", "127.0.0.1", "-p", str(port)],
            env=copied_project.environment(),
            cwd=REPOSITORY,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ask(query: str, **variables: Any) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            answer = json.loads(response.read())
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            ask("{ version }")
        except urllib.error.URLError:
            return False
        return True

    try:
        wait_for(answers, 60)
        yield ask
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            # The group is the session of the server that was started here.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.25)


def test_a_partition_is_materialized_by_a_run_launched_in_the_ui(
    server: Callable[..., Any], copied_project: Project
) -> None:
    (location,) = server(LOCATIONS)["workspaceOrError"]["locationEntries"]
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation", location

    before = copied_project.query(
        f"SELECT count(*), max(loaded_at) FROM raw.raw_orders WHERE order_date = DATE '{DAY}'"
    )
    checks = ["schema", "read_is_accepted_plus_rejected", "newest_day_loaded"]
    params = {
        "selector": {
            "repositoryLocationName": location["name"],
            "repositoryName": "__repository__",
            "pipelineName": "load_days",
            "assetSelection": [{"path": ["raw_orders"]}],
            "assetCheckSelection": [
                {"assetKey": {"path": ["raw_orders"]}, "name": name} for name in checks
            ],
        },
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": DAY}]},
    }
    launched = server(LAUNCH, params=params)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]

    instance = copied_project.instance

    def status() -> DagsterRunStatus:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    wait_for(
        lambda: status() in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE),
        120,
    )
    logs = instance.all_logs(run_id)
    assert status() == DagsterRunStatus.SUCCESS, [entry.user_message for entry in logs][-5:]

    record = instance.get_latest_materialization_event(AssetKey("raw_orders"))
    assert record is not None
    assert record.run_id == run_id
    evaluated = [entry.asset_check_evaluation for entry in logs if entry.asset_check_evaluation]
    assert sorted((check.check_name, check.passed) for check in evaluated) == [
        (name, True) for name in sorted(checks)
    ]
    after = copied_project.query(
        f"SELECT count(*), max(loaded_at) FROM raw.raw_orders WHERE order_date = DATE '{DAY}'"
    )
    assert after[0][0] == before[0][0] > 0
    assert after[0][1] > before[0][1]
    # The worker has gone, and with it its turn at the warehouse.
    assert instance.event_log_storage.get_concurrency_info("warehouse").active_slot_count == 0


def test_a_run_terminated_in_the_ui_ends_and_its_days_are_asked_for_again(
    server: Callable[..., Any], copied_project: Project
) -> None:
    (location,) = server(LOCATIONS)["workspaceOrError"]["locationEntries"]
    project, instance = copied_project, copied_project.instance
    end = project.calendar.end
    assert end is not None
    days = Window(end - timedelta(days=40), end)
    params = {
        "selector": {
            "repositoryLocationName": location["name"],
            "repositoryName": "__repository__",
            "pipelineName": LOAD_DAYS,
        },
        "mode": "default",
        "executionMetadata": {
            "tags": [{"key": key, "value": value} for key, value in range_tags(days).items()]
        },
    }
    run_id = server(LAUNCH, params=params)["launchRun"]["run"]["runId"]

    def ends(name: str, kind: DagsterEventType) -> bool:
        events = [entry.dagster_event for entry in instance.all_logs(run_id, kind)]
        return any(event and event.step_key == name for event in events)

    wait_for(lambda: ends("raw_orders", DagsterEventType.STEP_SUCCESS), 120)
    began = time.monotonic()
    answer = server(TERMINATE, id=run_id)["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer
    wait_for(
        lambda: instance.get_run_by_id(run_id).status == DagsterRunStatus.CANCELED,  # type: ignore
        ENDS_WITHIN,
    )
    run = instance.get_run_by_id(run_id)
    assert run is not None
    process = Process.of_run(run_id, run.tags)
    assert process is not None
    wait_for(lambda: not process.lives, ENDS_WITHIN - (time.monotonic() - began))
    # Another can have the warehouse at once.
    with occupied(project.settings.occupancy_path, "next", lambda _: pytest.fail("it is taken")):
        assert instance.event_log_storage.get_concurrency_run_ids() == set()
        with project.warehouse.transaction():
            pass
    sensor = project.definitions().resolve_sensor_def("changed_sources")
    asked = sensor.evaluate_tick(build_sensor_context(instance=instance)).run_requests
    assert [run_window(request.tags) for request in asked or ()] == [days]
