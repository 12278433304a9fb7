"""The step around dbt: what it hands over, and what of dagster-dbt it relies on."""

import os
import shutil
from dataclasses import replace
from datetime import date

import pytest
from dagster_dbt import DbtCliResource

from analytics_assets.assets import dbt
from analytics_assets.partitions import Window


def test_upstream_methods_that_dbt_command_replaces_still_exist():
    """An upgrade that renames them would bring the 3 seconds back without a word."""
    assert "_cli_version" in vars(DbtCliResource)
    assert "_initialize_dbt_core_adapter" in vars(DbtCliResource)


def test_dbt_is_the_one_beside_this_python(settings):
    command = dbt.dbt_command(settings)
    assert command.dbt_executable == dbt.dbt_executable()
    assert command._cli_version.major == 1


def test_the_window_reaches_dbt_as_environment(settings):
    window = Window(date(2024, 2, 28), date(2024, 3, 1))
    environment = dbt._dbt_environment(settings, settings.dbt_target_dir, window)
    assert environment["ANALYTICS_WINDOW_START"] == "2024-02-28"
    assert environment["ANALYTICS_WINDOW_END"] == "2024-03-01"
    assert environment["ANALYTICS_WAREHOUSE"] == str(settings.warehouse_path)


def test_no_window_is_left_behind_by_a_run_that_has_none(settings):
    environment = dbt._dbt_environment(settings, settings.dbt_target_dir)
    assert "ANALYTICS_WINDOW_START" not in environment


def test_the_environment_is_restored_after_a_failure(monkeypatch):
    monkeypatch.setenv("ANALYTICS_WINDOW_START", "before")
    monkeypatch.delenv("ANALYTICS_WINDOW_END", raising=False)
    values = {"ANALYTICS_WINDOW_START": "inside", "ANALYTICS_WINDOW_END": "inside"}
    with pytest.raises(ZeroDivisionError), dbt._environment(values):
        assert os.environ["ANALYTICS_WINDOW_START"] == "inside"
        _ = 1 / 0
    assert os.environ["ANALYTICS_WINDOW_START"] == "before"
    assert "ANALYTICS_WINDOW_END" not in os.environ


def test_the_manifest_is_parsed_once_and_again_when_the_project_changes(
    settings, monkeypatch, tmp_path
):
    project = tmp_path / "project"
    shutil.copytree(settings.dbt_project_dir, project, ignore=shutil.ignore_patterns("target"))
    settings = replace(settings, dbt_project_dir=project)
    calls = []

    def parse(command, **_):
        calls.append(command)
        (settings.dbt_target_dir / "manifest.json").write_text("{}")
        return type("Result", (), {"returncode": 0})

    monkeypatch.setattr(dbt.subprocess, "run", parse)
    dbt.prepare_manifest(settings)
    dbt.prepare_manifest(settings)
    assert len(calls) == 1
    for path in project.rglob("*"):
        os.utime(path, (0, 0))  # times say nothing: an image brings new code with old ones
    dbt.prepare_manifest(settings)
    assert len(calls) == 1
    (project / "macros" / "window.sql").write_text("{# other #}")
    os.utime(project / "macros" / "window.sql", (0, 0))
    dbt.prepare_manifest(settings)
    assert len(calls) == 2


def test_a_project_that_dbt_cannot_parse_is_reported_in_its_words(settings, tmp_path):
    project = tmp_path / "project"
    shutil.copytree(settings.dbt_project_dir, project, ignore=shutil.ignore_patterns("target"))
    (project / "models" / "core" / "broken.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(RuntimeError, match="nowhere"):
        dbt.prepare_manifest(replace(settings, dbt_project_dir=project))
    assert not (settings.dbt_target_dir / "manifest.json").exists()
