"""What has to be loaded again: nothing, some days, or everything."""

import os
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    AssetSpec,
    DagsterInstance,
    Definitions,
    map_asset_specs,
)

from analytics_assets.assets.dbt.models import _model_version
from analytics_assets.automation.outdated import outdated, read_history
from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.configured import sample_sources
from analytics_assets_tests.conftest import Project


@pytest.fixture
def sample(built_project: Project, tmp_path: Path) -> Path:
    """A copy of the sample's files, to be changed: what counts is content, not place."""
    return Path(shutil.copytree(built_project.settings.sample_dir, tmp_path / "sample"))


def windows(
    project: Project,
    sample: Path | None = None,
    composed: Definitions | None = None,
    instance: DagsterInstance | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Window]:
    sources: SourcesConfig = project.sources
    if sample:
        sources = sample_sources(sample, project.calendar)
    return outdated(
        composed or project.definitions(),
        instance or project.instance,
        sources,
        project.warehouse,
        say,
    )


def of_other_code(project: Project, name: str) -> Definitions:
    """The definitions, with one asset whose code is another."""

    def changed(spec: AssetSpec) -> AssetSpec:
        if spec.key == AssetKey(name):
            return spec.replace_attributes(code_version="other")
        return spec

    composed = project.definitions()
    made: list[Any] = [a for a in composed.assets or [] if hasattr(a, "specs")]
    others = [a for a in composed.assets or [] if not hasattr(a, "specs")]
    return Definitions(
        assets=[*others, *map_asset_specs(changed, made)],
        asset_checks=composed.asset_checks,
        jobs=composed.jobs,
        resources=composed.resources,
    )


def everything(project: Project) -> list[Window]:
    assert project.calendar.end is not None
    return [Window(project.calendar.start, project.calendar.end)]


@pytest.mark.slow
class TestAfterAFullRun:
    def test_nothing_is_outdated(self, built_project: Project) -> None:
        assert windows(built_project) == []

    def test_files_elsewhere_with_the_same_content_are_no_change(
        self, built_project: Project, sample: Path
    ) -> None:
        for file in sample.rglob("*.csv"):
            os.utime(file, (0, 0))
        assert windows(built_project, sample) == []

    def test_a_changed_file_is_the_days_whose_rows_changed_and_no_other(
        self, built_project: Project, sample: Path
    ) -> None:
        file = sample / "orders" / "orders_2024-03-04.csv"
        header, *rows = file.read_text().splitlines(keepends=True)
        file.write_text("".join([header, *rows, "\n"]))  # a blank line is no row
        assert windows(built_project, sample) == []
        kept = [row for row in rows if ",2024-03-04 " not in row.split("completed")[0]]
        assert len(kept) < len(rows)
        file.write_text("".join([header, *kept]))
        assert windows(built_project, sample) == [Window.of_days("2024-03-04", "2024-03-04")]

    def test_changed_sessions_and_a_gap_are_two_windows(
        self, built_project: Project, sample: Path
    ) -> None:
        for day in ("2024-03-04", "2024-05-01", "2024-05-02"):
            (sample / "user_sessions" / f"user_sessions_{day}.csv").unlink()
        assert windows(built_project, sample) == [
            Window.of_days("2024-03-04", "2024-03-04"),
            Window.of_days("2024-05-01", "2024-05-02"),
        ]

    def test_changed_customers_are_the_last_day_which_loads_them_whole(
        self, built_project: Project, sample: Path
    ) -> None:
        with (sample / "customers.csv").open("a") as stream:
            stream.write(
                "C9,new@example.com,New,One,2024-01-01 00:00:00,DE,Ulm,2024-01-01 00:00:00\n"
            )
        assert windows(built_project, sample) == [Window.of_days("2024-06-30", "2024-06-30")]

    @pytest.mark.parametrize("name", ["raw_orders", "fact_orders"])
    def test_a_load_of_other_code_is_everything_and_says_so(
        self, built_project: Project, name: str
    ) -> None:
        lines: list[str] = []
        composed = of_other_code(built_project, name)
        assert windows(built_project, composed=composed, say=lines.append) == everything(
            built_project
        )
        assert lines == [f"All days are loaded: {name} was built by other code or settings."]

    @pytest.mark.parametrize(
        ("name", "snapshots", "months"),
        [
            ("churn_features", [], range(1, 7)),
            ("churn_model", [], [6]),  # features of the newest month are followed by a training
            ("churn_predictions", [date(2024, 6, 30)], []),
            ("published_warehouse", [date(2024, 6, 30)], []),
        ],
    )
    def test_other_code_after_the_load_is_what_depends_on_it_and_no_day(
        self, built_project: Project, name: str, snapshots: list[date], months: list[int]
    ) -> None:
        composed = of_other_code(built_project, name)
        assert windows(built_project, composed=composed) == []
        history = read_history(
            built_project.instance,
            built_project.warehouse,
            built_project.calendar,
            built_project.settings.churn_horizon_days,
            composed,
        )
        assert list(history.stale.snapshots) == snapshots
        assert list(history.stale.months) == [date(2024, month, 1) for month in months]

    def test_an_instance_without_records_is_everything(self, built_project: Project) -> None:
        with DagsterInstance.ephemeral() as empty:
            assert windows(built_project, instance=empty) == everything(built_project)


@pytest.mark.slow
def test_runs_that_broke_off_before_the_end_are_everything(copied_project: Project) -> None:
    assert windows(copied_project) == []
    copied_project.instance.report_runless_asset_event(
        AssetMaterialization("raw_orders", partition="2024-03-04")
    )
    assert windows(copied_project) == everything(copied_project)


def test_the_version_of_a_model_changes_with_its_sql_and_with_every_macro() -> None:
    def version(
        sql: str = "select 1", macro: str = "one", package: str = "ours", knobs: str = "90"
    ) -> str:
        manifest = {
            "nodes": {"model.ours.m": {"raw_code": sql, "package_name": "ours"}},
            "macros": {"macro.ours.x": {"package_name": package, "macro_sql": macro}},
        }
        return _model_version(manifest, "model.ours.m", knobs)

    assert version() == version()
    assert version(sql="select 2") != version()
    assert version(macro="two") != version()
    assert version(knobs="30") != version()
    assert version(macro="two", package="dbt") == version(macro="one", package="dbt")
