"""Two runs at once on an instance without our settings: no harm, and they say what to set."""

import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance

from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.faults.test_killed_load import (
    DAY,
    SAMPLE,
    command,
    correct_a_day,
    grosses,
)

pytestmark = pytest.mark.slow

EXECUTE = (sys.executable, "-m", "dagster", "job", "execute", "-m", "analytics_assets.definitions")


def start(project: Project, home: Path, first: str, last: str) -> "subprocess.Popen[str]":
    """What `dagster job execute` does, with a DAGSTER_HOME without our settings."""
    tags = (
        f'{{"dagster/asset_partition_range_start": "{first}", '
        f'"dagster/asset_partition_range_end": "{last}"}}'
    )
    return subprocess.Popen(
        [*EXECUTE, "-j", "load_days", "--tags", tags],
        env={**project.environment(), "DAGSTER_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_they_do_no_harm_and_say_what_to_set(copied_project: Project, tmp_path: Path) -> None:
    home = tmp_path / "default"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    # Dagster's databases are made here: two processes that make them at once end in an error.
    DagsterInstance.from_config(str(home)).dispose()
    correct_a_day(copied_project)
    published = current_build(copied_project.settings.published_dir)
    runs = [
        start(copied_project, home, str(DAY), "2024-03-07"),
        start(copied_project, home, "2024-03-04", "2024-03-06"),
    ]
    said = [run.communicate(timeout=500)[0] for run in runs]
    for run, words in zip(runs, said, strict=True):
        assert "no limit for the pool 'warehouse'" in words
        assert "default_limit: 1" in words
        # One may have to give up; then it is because of the other, or of what the other has begun.
        assert run.returncode == 0 or "locked by another process" in words or "unfinished" in words
    assert current_build(copied_project.settings.published_dir) == published
    done = command(copied_project, "analytics_assets.cli", "run", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert copied_project.query("FROM raw.unfinished_tables") == []
    with open_build(current_build(copied_project.settings.published_dir)) as session:
        assert len(set(grosses(session).values())) == 1
        keys = "SELECT DISTINCT order_id, line_number FROM core.fact_orders"
        assert session.count("core.fact_orders") == session.count(f"({keys})")
