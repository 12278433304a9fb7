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
from typing import Any

import pytest
from dagster import AssetKey, DagsterRunStatus

from .conftest import REPOSITORY, Project

pytestmark = pytest.mark.slow

DAY = "2024-06-30"
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
