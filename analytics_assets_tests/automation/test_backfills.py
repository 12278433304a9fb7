"""Backfills: a daemon that is killed in the middle resumes one; separate days together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date

import pytest
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from analytics_assets.automation.backfill import RunPlan
from analytics_assets.automation.jobs import LOAD_DAYS, SCORE_DAY
from analytics_assets.automation.outdated import outdated
from analytics_assets.automation.ranges import UNFINISHED, range_tags
from analytics_assets.partitions import Window, run_window
from analytics_assets.processes import Process
from analytics_assets_tests.automation.alerts.test_daemon import daemon
from analytics_assets_tests.conftest import Project, table_contents
from analytics_assets_tests.faults.test_killed_load import correct_a_day

pytestmark = pytest.mark.slow

DAYS = Window(date(2024, 3, 1), date(2024, 3, 25))
CHUNK = 10
TABLES = ("raw_orders", "fact_orders", "customer_days")
PATIENCE = 300.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def left_to_load(project: Project) -> list[Window]:
    state = (project.definitions(), project.instance, project.sources, project.warehouse)
    return outdated(*state)


def test_a_daemon_that_is_killed_goes_on_with_its_backfill(copied_project: Project) -> None:
    project, instance = copied_project, copied_project.instance
    correct_a_day(project)
    composed = project.definitions()
    graph = composed.resolve_asset_graph()
    job = composed.resolve_job_def(LOAD_DAYS).asset_layer
    daily = [key for key in job.executable_asset_keys if graph.get(key).is_partitioned]
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id="march",
        asset_graph=graph,
        partition_names=[str(day) for day in DAYS],
        asset_selection=daily,
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    before = {run.run_id for run in instance.get_runs()}
    instance.add_backfill(backfill)
    environment = {**project.environment(), "ANALYTICS_MAX_RUN_DAYS": str(CHUNK)}
    log = project.settings.home / "daemon.log"

    def started() -> bool:
        return bool(instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]), limit=1))

    with daemon(environment, log):
        wait_for(started, "the first run")
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        process = Process.of_run(run.run_id, run.tags)
        if process and process.lives:
            os.kill(process.pid, signal.SIGKILL)  # as when the machine is started again

    def ended() -> bool:
        found = instance.get_backfill("march")
        return found is not None and found.status not in (
            BulkActionStatus.REQUESTED,
            BulkActionStatus.FAILING,
        )

    with daemon(environment, log):
        wait_for(ended, "the end of the backfill")
        wait_for(lambda: not instance.get_runs(RunsFilter(statuses=UNFINISHED)), "its runs")

    windows = [run_window(run.tags) for run in instance.get_runs() if run.run_id not in before]
    assert all(window and window.days <= CHUNK for window in windows), windows
    assert {day for window in windows if window for day in window} == set(DAYS)
    # What the killed run has left is finished by the next one, which the record asks for.
    load = [RunPlan(LOAD_DAYS, range_tags(window)) for window in left_to_load(project)]
    assert project.run(load).failures == []
    with project.warehouse.read() as session:
        found = {name: table_contents(session, name) for name in TABLES}
        query = "SELECT count(*) - count(DISTINCT (order_id, line_number)) FROM core.fact_orders"
        assert session.value(query) == 0
    calendar = project.calendar
    whole = Window(calendar.start, calendar.end or DAYS.end)
    assert project.run([RunPlan(LOAD_DAYS, range_tags(whole))]).failures == []
    with project.warehouse.read() as session:
        for name in TABLES:
            assert table_contents(session, name) == found[name], name


def test_separate_days_are_loaded_together_and_published_once(copied_project: Project) -> None:
    instance = copied_project.instance
    before = {run.run_id for run in instance.get_runs()}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "analytics_assets.cli", "backfill"),
            *("--day", "2024-05-20", "--day", "2024-03-05"),
            *("--from", "2024-04-09", "--to", "2024-04-10", "--day", "2024-04-11"),
        ],
        env=copied_project.environment(),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [run for run in reversed(instance.get_runs()) if run.run_id not in before]
    assert [run_window(run.tags) for run in runs if run.job_name == LOAD_DAYS] == [
        Window.of_days("2024-03-05", "2024-03-05"),
        Window.of_days("2024-04-09", "2024-04-11"),
        Window.of_days("2024-05-20", "2024-05-20"),
    ]
    publishing = [run for run in runs if run.job_name == SCORE_DAY and not run.asset_selection]
    assert publishing == runs[-1:]
