"""Two backfills at once: no run's steps come between another's, and the tables are the same."""

import subprocess
import sys
from datetime import date
from itertools import pairwise

import pytest
from dagster import DagsterEventType, DagsterRunStatus

from analytics_assets.automation.backfill import RunPlan
from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets_tests.conftest import OF_SAMPLE, Project, table_contents

from .test_killed_load import correct_a_day, grosses

pytestmark = pytest.mark.slow

# Both have the corrected day.
RANGES = (("2024-03-01", "2024-03-20"), ("2024-03-05", "2024-03-25"))
COMMAND = (sys.executable, "-m", "analytics_assets.cli", "backfill")
TABLES = [
    table.name
    for table in OF_SAMPLE
    if table.group in ("core", "marts")
    and not table.is_view
    and table.name != "customer_segment_moves"
]


def spans(project: Project, runs: list[str]) -> list[tuple[float, float, str]]:
    """When the first step of each run began and its last one ended, in order."""
    steps = {DagsterEventType.STEP_START, DagsterEventType.STEP_SUCCESS}
    times = {
        run_id: [log.timestamp for log in project.instance.all_logs(run_id, of_type=steps)]
        for run_id in runs
    }
    return sorted((min(times[run_id]), max(times[run_id]), run_id) for run_id in runs)


@pytest.mark.parametrize("ours", [True, False], ids=["our dagster.yaml", "another"])
def test_backfills_that_overlap_take_turns_run_by_run(copied_project: Project, ours: bool) -> None:
    project = copied_project
    if not ours:
        # As `dagster dev` without `analytics-assets prepare`: no pools, and Dagster's own storage.
        (project.settings.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    correct_a_day(project)
    before = {run.run_id for run in project.instance.get_runs()}
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "analytics_assets.cli",
                "backfill",
                "--from",
                first,
                "--to",
                last,
            ],
            env=project.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for first, last in RANGES
    ]
    said = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert any("Waiting for run " in text for text in said)

    runs = [run for run in project.instance.get_runs() if run.run_id not in before]
    assert {run.status for run in runs} == {DagsterRunStatus.SUCCESS}
    assert len([run for run in runs if run.job_name == LOAD_DAYS]) == 2
    ordered = spans(project, [run.run_id for run in runs])
    for (_, end, one), (begin, _, other) in pairwise(ordered):
        assert end <= begin, (one, other)

    with open_build(current_build(project.settings.published_dir)) as session:
        assert len(set(grosses(session).values())) == 1
    with project.warehouse.read() as session:
        together = {name: table_contents(session, name) for name in TABLES}
    calendar = project.calendar
    whole = Window(calendar.start, calendar.end or date.max)
    assert project.run([RunPlan(LOAD_DAYS, range_tags(whole))]).failures == []
    with project.warehouse.read() as session:
        for name in TABLES:
            assert table_contents(session, name) == together[name], name
