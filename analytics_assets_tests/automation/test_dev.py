"""`dg dev` with its daemon: a file that appears or changes is published, and people are told."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

import pytest
from dagster import AssetKey, DagsterRun, DagsterRunStatus, RunsFilter

from analytics_assets.automation.jobs import LOAD_DAYS, SCORE_DAY
from analytics_assets.automation.ranges import UNFINISHED
from analytics_assets.partitions import Window, run_window
from analytics_assets.warehouse.publish import current_build, open_build

from ..conftest import REPOSITORY, Project
from ..faults.damage import with_other_prices
from .servers import accept, http_server

pytestmark = pytest.mark.slow

OLD = date(2024, 5, 14)
NEVER = "0 0 29 2 *"  # schedules, so that none of them ticks within the test
WAITS = 45.0  # seconds from the file to the message, without those in which its runs were at work
PATIENCE = 240.0  # with other tests on the machine


@contextmanager
def dev(project: Project, webhook: str) -> Iterator[None]:
    """`analytics-assets dev` with automation on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **project.environment(),
        "ANALYTICS_AUTOMATION": "on",
        "ANALYTICS_SENSOR_SECONDS": "5",
        "ANALYTICS_CHECKS_AT": NEVER,
        "ANALYTICS_RETRAIN_AT": NEVER,
        "ANALYTICS_WEBHOOK_URL": webhook,
    }
    with (project.settings.home / "dev.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "analytics_assets.cli", "dev", "-p", str(port)],
            env=environment,
            cwd=REPOSITORY,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            # The group is the session of the server that was started here.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def wait_for(condition: Callable[[], Any], what: str) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE, what
        time.sleep(0.5)
    return time.monotonic() - began


def runs(project: Project, job: str) -> list[DagsterRun]:
    """The runs of a job since the daemon has run, newest first."""
    return [
        run
        for run in project.instance.get_runs(RunsFilter(job_name=job))
        if "dagster/sensor_name" in run.tags
    ]


def quiet(project: Project) -> bool:
    """Whether no run waits or goes on, and the sensors had time to ask for others."""
    for _ in range(25):
        if project.instance.get_runs(RunsFilter(statuses=UNFINISHED), limit=1):
            return False
        time.sleep(1)
    return True


def ticks(project: Project, name: str) -> int:
    states = [s for s in project.instance.all_instigator_state() if s.instigator_name == name]
    if not states:
        return 0
    return len(project.instance.get_ticks(states[0].instigator_origin_id, states[0].selector_id))


def published(received: list[dict[str, str]]) -> list[str]:
    return [message["text"] for message in received if "is published" in message["text"]]


def built_since(project: Project, table: str, since: float) -> set[str]:
    """The partitions of an asset that were built since a time."""
    records = project.instance.fetch_materializations(AssetKey(table), limit=500).records
    return {str(record.partition_key) for record in records if record.timestamp > since}


def test_a_file_that_appears_is_published_within_a_minute_and_a_changed_one_touches_its_day(
    copied_project: Project,
) -> None:
    project = copied_project
    orders = project.settings.sample_dir / "orders"
    end = project.calendar.end
    assert end is not None
    # The calendar has one more day than there are files.
    manifest = project.settings.sample_dir / "manifest.json"
    span = {**json.loads(manifest.read_text()), "end": str(end + timedelta(days=1))}
    manifest.write_text(json.dumps(span))
    last = end - timedelta(days=1)
    header, *lines = (orders / f"orders_{last}.csv").read_text().splitlines()
    # Without late rows, which would change the days before.
    of_day = [
        f"N{line}".replace(str(last), str(end))
        for line in lines
        if line.split(",")[2].startswith(str(last))
    ]
    new = "\n".join([header, *of_day, ""])
    with http_server(accept) as (url, received), dev(project, url):
        wait_for(lambda: ticks(project, "changed_sources") >= 2, "the daemon ticks")
        wait_for(lambda: published(received), "the summary of the build that exists")
        assert quiet(project)
        assert not runs(project, LOAD_DAYS)

        (orders / f"orders_{end}.csv").write_text(new)
        seconds = wait_for(lambda: len(published(received)) == 2, "the message on the new day")
        ran = sum(
            (record.end_time or 0) - record.create_timestamp.timestamp()
            for record in project.instance.get_run_records(limit=2)
        )
        print(f"The message had arrived {seconds:.0f} s after the file; its runs took {ran:.0f} s.")
        # How long runs take is the machine's: a minute in all where it does nothing else.
        assert seconds - ran < WAITS
        wait_for(lambda: quiet(project), "the end of the runs")
        assert [run_window(run.tags) for run in runs(project, LOAD_DAYS)] == [
            Window.of_days(str(end), str(end))
        ]
        (scoring,) = runs(project, SCORE_DAY)
        assert scoring.tags["dagster/partition"] == str(end)
        assert len(published(received)) == 2
        with open_build(current_build(project.settings.published_dir)) as session:
            for table, column in (
                ("core.fact_orders", "order_date"),
                ("marts.sales_daily", "order_date"),
                ("marts.customer_analytics_daily", "snapshot_date"),
                ("churn.churn_predictions", "snapshot_date"),
            ):
                assert session.value(f"SELECT max({column})::DATE FROM {table}") == end, table

        changed = time.time()
        before = len(runs(project, SCORE_DAY))
        file = orders / f"orders_{OLD}.csv"
        file.write_text(with_other_prices(file.read_text()))
        wait_for(lambda: len(published(received)) == 3, "the message on the old day")
        wait_for(lambda: quiet(project), "the end of the runs")
        assert len(published(received)) == 3
        # Others may say that a day has unusually few rows, or that a run took long.
        assert not [message for message in received if " failed" in message["text"]]
        for table in ("raw_orders", "fact_orders", "customer_days"):
            assert built_since(project, table, changed) == {str(OLD)}, table
        # The snapshots after that day depend on it, and the day of the newest one is scored.
        snapshots = {last, end}
        for table in ("customer_analytics_daily", "churn_predictions"):
            assert built_since(project, table, changed) == {str(day) for day in snapshots}, table
        assert built_since(project, "published_warehouse", changed) == {"None"}
        publishing = [run for run in runs(project, SCORE_DAY) if not run.asset_selection]
        assert len(publishing) == 2
        assert len(runs(project, SCORE_DAY)) == before + 2
        failed = project.instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))
        assert [run.job_name for run in failed if "dagster/sensor_name" in run.tags] == []
