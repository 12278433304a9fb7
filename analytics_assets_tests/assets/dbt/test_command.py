"""Calls of dbt in this process: what they are given, and what they must not leave behind."""

import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.contracts.graph.manifest import Manifest

from analytics_assets.assets.dbt import command as dbt_command
from analytics_assets.definitions import build_warehouse
from analytics_assets.partitions import Window


def test_the_window_reaches_dbt_as_environment(settings):
    window = Window(date(2024, 2, 28), date(2024, 3, 1))
    environment = dbt_command.dbt_environment(settings, window)
    assert environment["ANALYTICS_WINDOW_START"] == "2024-02-28"
    assert environment["ANALYTICS_WINDOW_END"] == "2024-03-01"
    assert environment["ANALYTICS_WAREHOUSE"] == str(settings.warehouse_path)


def test_no_window_is_left_behind_by_a_run_that_has_none(settings):
    assert "ANALYTICS_WINDOW_START" not in dbt_command.dbt_environment(settings)


def test_the_environment_is_restored_after_a_failure(monkeypatch):
    monkeypatch.setenv("ANALYTICS_WINDOW_START", "before")
    monkeypatch.delenv("ANALYTICS_WINDOW_END", raising=False)
    values = {"ANALYTICS_WINDOW_START": "inside", "ANALYTICS_WINDOW_END": "inside"}
    with pytest.raises(ZeroDivisionError), dbt_command._environment(values):
        assert os.environ["ANALYTICS_WINDOW_START"] == "inside"
        _ = 1 / 0
    assert os.environ["ANALYTICS_WINDOW_START"] == "before"
    assert "ANALYTICS_WINDOW_END" not in os.environ


def test_each_call_sees_its_own_window_and_leaves_the_warehouse_free(parsed_settings):
    """Of the kept manifest nothing may stick: not the window before, not the open file."""
    warehouse = build_warehouse(parsed_settings)
    warehouse.prepare(["stg_orders"])
    command, target = dbt_command.DbtCommand(parsed_settings), parsed_settings.home / "target"
    folder, before = Path.cwd(), dict(os.environ)
    results = []
    for day in (date(2024, 2, 28), date(2024, 3, 5)):
        window = Window(day, day + timedelta(days=1))
        command.run(["run", "--select", "fact_orders"], target, window, results.append)
        sql = next(target.glob("compiled/*/models/core/fact_orders.sql")).read_text()
        assert str(day) in sql
        with warehouse.read() as session:
            assert session.row("SELECT count(*) FROM core.fact_orders") == (0,)
    assert [result["data"]["node_info"]["node_status"] for result in results] == ["success"] * 2
    assert (Path.cwd(), dict(os.environ)) == (folder, before)


def test_a_failing_model_is_reported_in_dbts_words_and_leaves_the_warehouse_free(parsed_settings):
    warehouse = build_warehouse(parsed_settings)
    warehouse.prepare()  # without the views that the facts are made from
    command = dbt_command.DbtCommand(parsed_settings)
    with pytest.raises(dbt_command.DbtError, match="stg_orders does not exist"):
        command.run(
            ["run", "--select", "fact_orders"],
            parsed_settings.home / "target",
            Window(date(2024, 2, 28), date(2024, 2, 29)),
        )
    with warehouse.write() as session:
        assert session.row("SELECT count(*) FROM raw.raw_orders") == (0,)


def test_an_interrupt_ends_a_running_statement_and_frees_the_warehouse(parsed_settings):
    warehouse = build_warehouse(parsed_settings)
    warehouse.prepare(["stg_orders"])
    with warehouse.write() as session:
        session.execute(
            "CREATE OR REPLACE VIEW staging.stg_orders_slow AS "
            "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
        )

    def interrupt() -> None:
        while not (DuckDBConnectionManager._ENV and DuckDBConnectionManager._ENV.handle_count):
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        dbt_command.DbtCommand(parsed_settings).run(
            ["show", "--inline", "select * from staging.stg_orders_slow"],
            parsed_settings.home / "target",
            None,
        )
    with warehouse.write() as session:
        assert session.row("SELECT count(*) FROM raw.raw_orders") == (0,)


def test_the_manifest_is_parsed_once_and_again_when_the_project_changes(
    settings, monkeypatch, tmp_path
):
    project = tmp_path / "project"
    shutil.copytree(settings.dbt_project_dir, project, ignore=shutil.ignore_patterns("target"))
    settings = replace(settings, dbt_project_dir=project)
    calls = []

    def parse(_, command, *__):
        calls.append(command)
        (settings.dbt_target_dir / "manifest.json").write_text("{}")
        return SimpleNamespace(success=True, result=Manifest())

    monkeypatch.setattr(dbt_command, "_call", parse)
    dbt_command.prepare_manifest(settings)
    dbt_command.prepare_manifest(settings)
    assert len(calls) == 1
    for path in project.rglob("*"):
        os.utime(path, (0, 0))  # times say nothing: an image brings new code with old ones
    dbt_command.prepare_manifest(settings)
    assert len(calls) == 1
    (project / "macros" / "window.sql").write_text("{# other #}")
    os.utime(project / "macros" / "window.sql", (0, 0))
    dbt_command.prepare_manifest(settings)
    assert len(calls) == 2


def test_a_project_that_dbt_cannot_parse_is_reported_in_its_words(settings, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(settings.dbt_project_dir, project, ignore=shutil.ignore_patterns("target"))
    (project / "models" / "core" / "broken.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(RuntimeError, match="nowhere"):
        dbt_command.prepare_manifest(replace(settings, dbt_project_dir=project))
    assert not (settings.dbt_target_dir / "manifest.json").exists()
