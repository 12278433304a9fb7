"""The doctor: each check says what is wrong and what to do, and none waits or breaks the others."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat

from analytics_assets.assets.churn.model import model_registry
from analytics_assets.automation.doctor import environment, files, instance, tables
from analytics_assets.automation.doctor.checks import CHECKS
from analytics_assets.automation.doctor.findings import Check, Context, Finding, examine
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.churn.version_list import read_list
from analytics_assets.cli import main
from analytics_assets.definitions import build_definitions, build_warehouse
from analytics_assets.processes import Process
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL
from analytics_assets_tests.automation.test_dead_runs import dead_process
from analytics_assets_tests.conftest import Project

MakeContext = Callable[..., Context]


@pytest.fixture
def context(settings: Settings) -> Iterator[MakeContext]:
    made: list[Context] = []

    def make(mend: bool = False, of: Settings = settings) -> Context:
        prepare_instance(of)
        made.append(
            Context(
                of,
                mend,
                lambda: DagsterInstance.from_config(str(of.dagster_home)),
                lambda: build_definitions(of),
                build_warehouse(of, patience=0.0),
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def only(check: Check, context: Context) -> Finding:
    (finding,) = examine(context, [check])
    return finding


def test_every_finding_that_is_not_ok_says_what_to_do(context: MakeContext) -> None:
    """An empty home: nothing was sampled, run or published."""
    findings = list(examine(context(), CHECKS))
    assert {one.check for one in findings} >= {"packages", "disk", "warehouse", "published"}
    assert [one for one in findings if one.state != "ok" and not one.remedy] == []


def test_a_check_that_breaks_off_does_not_keep_the_others_from_looking(
    context: MakeContext,
) -> None:
    def broken(_: Context) -> Iterator[Finding]:
        raise ZeroDivisionError("postgresql://user:secret@host/db is away\nmore")
        yield

    first, second = examine(context(), [broken, environment.disk])
    assert (first.check, first.state) == ("broken", "error")
    assert first.text == "Could not be checked: postgresql://user:***@host/db is away"
    assert second.check == "disk"


def test_an_instance_that_does_not_open_is_said_once_and_the_rest_is_looked_at(
    settings: Settings, context: MakeContext
) -> None:
    made = context()
    (settings.dagster_home / "dagster.yaml").write_text("storage: {nonsense: [")
    found = {one.check: one for one in examine(made, CHECKS)}
    assert found["instance_settings"].state == "error"
    assert "cannot be read" in found["instance_settings"].text
    assert found["runs"].text.startswith("Not checked: the Dagster instance does not open")
    assert found["disk"].state in ("ok", "warning")


def test_versions_outside_their_ranges(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only(environment.packages, context()).state == "ok"
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda n: "1.4.0" if n == "duckdb" else version(n))
    found = only(environment.packages, context())
    assert found.state == "error"
    assert "duckdb 1.4.0 is installed (needed: <3,>=2.0)" in found.text
    monkeypatch.setattr(metadata, "version", lambda n: "2.0.9" if n == "duckdb" else version(n))
    found = only(environment.packages, context())
    assert found.state == "warning"
    assert f"duckdb 2.0.9 instead of {version('duckdb')}" in found.text


@pytest.mark.parametrize(("free", "state"), [(10**12, "ok"), (5 * 10**10, "warning"), (0, "error")])
def test_the_disk(
    context: MakeContext, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    made = context()
    made.warehouse.prepare()
    usage = SimpleNamespace(total=10**12, used=10**12 - free, free=free)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: usage)
    assert only(environment.disk, made).state == state


@pytest.mark.parametrize(
    ("keys", "value", "state", "words"),
    [
        (("concurrency", "pools", "default_limit"), 2, "error", "default_limit is 2"),
        (("concurrency",), None, "error", "default_limit is not set"),
        (("run_monitoring", "enabled"), False, "warning", "run_monitoring.enabled is False"),
        (("retention",), None, "warning", "retention is not set"),
    ],
)
def test_a_key_that_a_file_of_a_team_lacks(
    settings: Settings,
    context: MakeContext,
    keys: tuple[str, ...],
    value: object,
    state: str,
    words: str,
) -> None:
    made = context()
    assert only(instance.instance_settings, made).state == "ok"
    file = settings.dagster_home / "dagster.yaml"
    config = yaml.safe_load(file.read_text())
    place = config
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    file.write_text(yaml.safe_dump(config))
    found = next(iter(examine(made, [instance.instance_settings])))
    assert found.state == state
    assert words in found.text


def test_dead_runs_and_slots_are_said_and_mended(context: MakeContext) -> None:
    made = context()
    storage = made.instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(POOL)
    run = create_run_for_test(made.instance, "load_days", status=DagsterRunStatus.STARTED)
    made.instance.add_run_tags(run.run_id, dead_process().tags(run.run_id))
    ended = create_run_for_test(made.instance, "score_day", status=DagsterRunStatus.FAILURE)
    assert storage.claim_concurrency_slot(POOL, ended.run_id, "step").is_claimed
    found = only(instance.runs, made)
    assert found.state == "error"
    assert f"Run {run.run_id[:8]} of load_days is STARTED; its process is gone." == found.text
    assert only(instance.slots, made).state == "error"

    mending = context(mend=True)
    assert "is dead: it is marked as failed" in only(instance.runs, mending).text
    assert only(instance.slots, mending).state == "ok"
    assert storage.get_concurrency_run_ids() == set()
    assert only(instance.runs, made).text == "No run is in progress."


def test_a_living_run_is_left_alone(context: MakeContext) -> None:
    mending = context(mend=True)
    run = create_run_for_test(mending.instance, "load_days", status=DagsterRunStatus.STARTED)
    mending.instance.add_run_tags(run.run_id, Process.current().tags(run.run_id))
    found = only(instance.runs, mending)
    assert found.state == "ok"
    assert f"process {os.getpid()}" in found.text
    after = mending.instance.get_run_by_id(run.run_id)
    assert after and after.status == DagsterRunStatus.STARTED


@pytest.mark.parametrize(("age", "state"), [(10, "ok"), (3600, "warning")])
def test_the_heartbeat_of_the_daemon(context: MakeContext, age: int, state: str) -> None:
    made = context()
    beat = DaemonHeartbeat(time.time() - age, "SENSOR", "id", [])
    made.instance.add_daemon_heartbeat(beat)
    assert only(instance.daemon, made).state == state


def test_tables_of_an_earlier_dagster_are_said_and_migrated(context: MakeContext) -> None:
    import sqlite3
    from contextlib import closing

    made = context()
    made.instance.get_runs()
    file = made.settings.dagster_home / "history" / "runs.db"
    with closing(sqlite3.connect(file)) as database, database:
        (head,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        # The revision before the newest; its tables are there, so migrating adds what exists.
        database.execute("UPDATE alembic_version SET version_num = '7e2f3204cf8e'")
    found = only(instance.instance_schema, made)
    assert found.state == "error" and "dagster instance migrate" in found.remedy
    mended = only(instance.instance_schema, context(mend=True))
    assert mended.state == "ok" and mended.mended
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (head,)


OPEN = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"


def test_who_has_the_warehouse_open_is_named_at_once(context: MakeContext) -> None:
    made = context()
    made.warehouse.prepare()
    holder = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(made.warehouse.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout and holder.stdout.readline() == b"1\n"
        began = time.monotonic()
        found = only(tables.warehouse, made)
        assert found.text.startswith(f"Process {holder.pid} (")
        assert found.state == "warning"
        run = create_run_for_test(made.instance, "load_days", status=DagsterRunStatus.STARTED)
        process = Process(Process.current().host, holder.pid, "x")
        made.instance.add_run_tags(run.run_id, process.tags(run.run_id))
        found = only(tables.warehouse, made)
        assert found.text.startswith(f"Run {run.run_id[:8]} of load_days (process {holder.pid})")
        assert only(tables.schema, made).text == "Not checked: the warehouse cannot be read."
        assert time.monotonic() - began < 30
    finally:
        holder.communicate(b"\n")


def test_columns_of_other_code_are_said_and_migrated_only_if_asked(context: MakeContext) -> None:
    made = context()
    made.warehouse.prepare()
    with made.warehouse.write() as session:
        session.execute("ALTER TABLE raw.raw_orders ADD COLUMN colour VARCHAR")
    before = made.warehouse.path.read_bytes()
    found = only(tables.schema, context())
    assert found.text == "Tables are of other code: raw_orders (1 columns)."
    assert made.warehouse.path.read_bytes() == before
    assert only(tables.schema, context(mend=True)).mended == "Migrated."
    assert only(tables.schema, context()).state == "ok"


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"x" * 5000, b"no database" * 9])
def test_a_damaged_file_of_dagster_is_set_aside_whole(context: MakeContext, content: bytes) -> None:
    made = context(mend=True)
    file = made.settings.dagster_home / "history" / "runs" / "index.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    assert only(files.dagster_files, context()).state == "error"
    assert only(files.dagster_files, made).mended
    (aside,) = file.parent.glob("index.db.damaged-*")
    assert aside.read_bytes() == content
    assert made.instance.get_runs() == []  # a new one begins


def test_the_command_ends_with_one_for_errors_and_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(main, ["doctor", "--json"])
    findings = json.loads(done.stdout)
    errors = [one for one in findings if one["state"] == "error"]
    assert done.exit_code == (1 if errors else 0)
    assert findings[0]["check"] == "settings"


def test_settings_that_are_missing_are_the_only_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYTICS_DEPLOYMENT", "production")
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert "ANALYTICS_HOME is not set" in done.output


@pytest.mark.slow
def test_a_lost_registry_has_its_models_registered_again(
    copied_project: Project, context: MakeContext
) -> None:
    settings = copied_project.settings
    # MLflow would keep the lost file open in this process, had it opened it.
    known = [v.model_version for v in read_list(settings.mlflow_dir, "churn")[0]]
    assert known
    (settings.mlflow_dir / "mlflow.db").unlink()
    found = only(files.mlflow_file, context(of=settings))
    assert found.state == "error"
    assert "has lost its models" in found.text
    assert not (settings.mlflow_dir / "mlflow.db").exists()  # looking creates nothing
    found = only(files.mlflow_file, context(mend=True, of=settings))
    assert found.state == "ok"
    assert [v.model_version for v in model_registry(settings).good_versions()] == known
    assert only(files.mlflow_file, context(of=settings)).text.endswith("is whole.")


@pytest.mark.slow
def test_builds_without_a_pointer_are_pointed_to(
    copied_project: Project, context: MakeContext
) -> None:
    settings = copied_project.settings
    pointer = settings.published_dir / "CURRENT"
    named = pointer.read_text()
    pointer.unlink()
    found = only(tables.published, context(of=settings))
    assert (found.state, found.text) == ("error", "CURRENT names no build.")
    assert "doctor --mend" in found.remedy
    only(tables.published, context(mend=True, of=settings))
    assert pointer.read_text() == named
    assert only(tables.published, context(of=settings)).state == "ok"
    (settings.published_dir / named.strip()).unlink()
    found = only(tables.published, context(of=settings))
    assert "materialize published_warehouse" in found.remedy.lower()
