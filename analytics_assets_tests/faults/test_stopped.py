"""SIGTERM and Ctrl-C: the command line ends within ten seconds, and leaves nothing in the way."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.test_utils import create_run_for_test

from analytics_assets.automation.dead_runs import IN_PROGRESS
from analytics_assets.processes import Process
from analytics_assets.warehouse.occupancy import occupied
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets_tests.conftest import Project

pytestmark = pytest.mark.slow

DAYS = ("--from", "2024-03-05", "--to", "2024-03-06")
ENDS_WITHIN = 10.0
STARTS_WITHIN = 120.0  # with other tests on the machine

# Statements that do not end by themselves, in the place of the dbt step's.
BLOCKED_IN_DBT = """
from analytics_assets.assets.dbt import command
from analytics_assets.cli import main

def endless(arguments, listen):
    import duckdb
    print("in dbt", flush=True, file=__import__("sys").__stderr__)
    many = duckdb.sql("FROM range(1000000)")
    duckdb.sql("SELECT sum(hash(a.range + b.range)) FROM many a, many b, many c").show()

command.call_dbt = endless
main()
"""

# The same at the end of the transaction of a load, and before the pointer moves to a new build.
BLOCKED = """
import importlib
import sys
from analytics_assets.cli import main

def endless(*arguments, **named):
    import duckdb
    print("blocked", flush=True, file=sys.__stderr__)
    many = duckdb.sql("FROM range(1000000)")
    duckdb.sql("SELECT sum(hash(a.range + b.range)) FROM many a, many b, many c").show()

setattr(importlib.import_module("{module}"), "{function}", endless)
main()
"""


def start(project: Project, *arguments: str) -> "subprocess.Popen[str]":
    log = (project.settings.home / "command.log").open("w")
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=project.environment(),
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = STARTS_WITHIN) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def said(project: Project) -> str:
    return Path(project.settings.home / "command.log").read_text()


def stop(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    began = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=3 * ENDS_WITHIN)
    assert time.monotonic() - began < ENDS_WITHIN
    assert process.returncode == 128 + number


def require_free(project: Project) -> None:
    """No run is in progress, no slot is taken, and the warehouse opens."""
    assert project.instance.get_runs(RunsFilter(statuses=IN_PROGRESS)) == []
    assert project.instance.event_log_storage.get_concurrency_run_ids() == set()
    with project.warehouse.transaction():
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_step_of_dbt(copied_project: Project, number: signal.Signals) -> None:
    before = copied_project.query("SELECT count(*), sum(amount) FROM core.fact_orders")
    process = start(copied_project, "-c", BLOCKED_IN_DBT, "backfill", *DAYS)
    wait_for(lambda: "in dbt" in said(copied_project))
    stop(process, number)
    require_free(copied_project)
    assert copied_project.query("SELECT count(*), sum(amount) FROM core.fact_orders") == before
    # The rows of the load are there, and the tables that follow from them are not.
    days = "SELECT DISTINCT window_date::VARCHAR FROM raw.unfinished_tables ORDER BY 1"
    assert copied_project.query(days) == [("2024-03-05",), ("2024-03-06",), (None,)]


def test_while_waiting_for_the_warehouse(copied_project: Project) -> None:
    instance = copied_project.instance
    # A run of this process, which lives.
    other = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
    instance.add_run_tags(other.run_id, Process.current().tags(other.run_id))
    with occupied(copied_project.settings.occupancy_path, other.run_id):
        process = start(copied_project, "-m", "analytics_assets.cli", "backfill", *DAYS)
        wait_for(lambda: f"Waiting for run {other.run_id[:8]}" in said(copied_project))
        stop(process, signal.SIGTERM)
    instance.report_run_failed(other)
    require_free(copied_project)
    stopped = next(run for run in instance.get_runs(limit=2) if run.run_id != other.run_id)
    assert stopped.status in (DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE)


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("analytics_assets.sources.load", "write_ledger"),
        ("analytics_assets.warehouse.publish", "_verify"),
    ],
    ids=["loading", "publishing"],
)
def test_while_loading_and_publishing(copied_project: Project, module: str, function: str) -> None:
    orders = "SELECT count(*), max(loaded_at) FROM raw.raw_orders"
    before = copied_project.query(orders)
    build = current_build(copied_project.settings.published_dir)
    code = BLOCKED.format(module=module, function=function)
    process = start(copied_project, "-c", code, "backfill", *DAYS)
    wait_for(lambda: "blocked" in said(copied_project), 5 * STARTS_WITHIN)  # after three runs
    stop(process, signal.SIGTERM)
    require_free(copied_project)
    assert current_build(copied_project.settings.published_dir) == build
    if function == "write_ledger":
        assert copied_project.query(orders) == before
    with open_build(build) as session:
        assert session.count("core.fact_orders")
