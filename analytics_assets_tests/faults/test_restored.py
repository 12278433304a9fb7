"""A backup and a restore of a whole project: afterwards everything is up to date."""

import contextlib
import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.test_utils import create_run_for_test

from analytics_assets.automation.backups import turn
from analytics_assets.automation.dead_runs import IN_PROGRESS
from analytics_assets.cli import main
from analytics_assets.processes import Process
from analytics_assets.warehouse.backup import BackupError, verify
from analytics_assets.warehouse.diff import diff_builds
from analytics_assets.warehouse.occupancy import occupied
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.faults.damage import command, doctor, run

pytestmark = pytest.mark.slow


def here(project: Project, *arguments: str) -> str:
    """Run a command in this process: its own open files do not count as a use of the home."""
    done = CliRunner().invoke(main, arguments, env=project.environment())
    assert done.exit_code == 0, done.output
    return done.output


def test_after_a_restore_everything_is_up_to_date(copied_project: Project, tmp_path: Path) -> None:
    home = copied_project.settings.home
    before = shutil.copy(copied_project.settings.warehouse_path, tmp_path / "before.duckdb")
    done = command(copied_project, "backup", str(tmp_path / "backups"))
    assert done.returncode == 0, done.stdout + done.stderr
    (place,) = (tmp_path / "backups").iterdir()
    verify(place)
    (latest,) = copied_project.instance.get_runs(limit=1)
    assert (latest.job_name, latest.status) == ("backup", DagsterRunStatus.SUCCESS)
    assert copied_project.instance.event_log_storage.get_concurrency_run_ids() == set()

    # A later day of work is lost with the disk.
    copied_project.instance.dispose()
    for name in ("warehouse.duckdb", "source_files.sqlite"):
        (home / name).unlink()
    for name in ("published", "dagster", "mlflow", "dbt"):
        shutil.rmtree(home / name)
    shown = here(copied_project, "restore", str(tmp_path / "backups"))
    assert "set aside as" in shown
    assert [*home.parent.glob("copy.before-*")]
    with DagsterInstance.from_config(str(copied_project.settings.dagster_home)) as instance:
        assert instance.get_runs(RunsFilter(statuses=IN_PROGRESS)) == []
        assert instance.event_log_storage.get_concurrency_run_ids() == set()
    assert "Everything is up to date" in run(copied_project)
    compared = diff_builds(Path(before), copied_project.settings.warehouse_path)
    assert [one for one in compared if not one.same] == []
    assert {one["state"] for some in doctor(copied_project).values() for one in some} == {"ok"}


def test_a_home_in_use_is_not_restored(copied_project: Project, tmp_path: Path) -> None:
    done = command(copied_project, "backup", str(tmp_path / "backups"))
    assert done.returncode == 0, done.stdout + done.stderr
    file = copied_project.settings.published_dir / "CURRENT"
    user = subprocess.Popen(
        [sys.executable, "-c", f"f = open({str(file)!r}); print(1, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert user.stdout and user.stdout.readline() == b"1\n"
        refused = CliRunner().invoke(
            main, ["restore", str(tmp_path / "backups")], env=copied_project.environment()
        )
        assert refused.exit_code == 1
        assert f"in use by process {user.pid} (" in refused.output
        assert "Stop the daemon" in refused.output
    finally:
        user.communicate(b"\n")


def test_a_backup_waits_for_its_turn_or_says_for_whom(
    copied_project: Project, tmp_path: Path
) -> None:
    instance = copied_project.instance
    living = create_run_for_test(instance, "load_days", status=DagsterRunStatus.STARTED)
    instance.add_run_tags(living.run_id, Process.current().tags(living.run_id))
    lock = copied_project.settings.occupancy_path
    lines: list[str] = []
    with contextlib.ExitStack() as at_work:
        at_work.enter_context(occupied(lock, living.run_id))
        refused = turn(instance, lock, lines.append, wait=False)
        with pytest.raises(BackupError, match=f"Waiting for run {living.run_id[:8]}"), refused:
            pytest.fail("it has no turn")

        def end(line: str) -> None:
            lines.append(line)
            at_work.close()

        with turn(instance, lock, end), lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a run would wait for it
    assert [line.split(" of ")[0] for line in lines] == [f"Waiting for run {living.run_id[:8]}"]
    (last, failed) = instance.get_runs(limit=2)
    assert (last.status, failed.status) == (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)
