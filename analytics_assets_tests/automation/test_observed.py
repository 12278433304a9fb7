"""What the UI shows of sources and checks: versions of days, verdicts, and no asset too many."""

from datetime import date

import pytest
from dagster import AssetKey, DagsterEventType

from analytics_assets.assets.sources import source_key
from analytics_assets.automation.backfill import RunPlan
from analytics_assets.automation.jobs import CHECK_TABLES, LOAD_DAYS, OBSERVE_SOURCES
from analytics_assets.automation.ranges import range_tags
from analytics_assets.compat.dagster import observed_versions
from analytics_assets.partitions import Window
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.faults.test_killed_load import correct_a_day

pytestmark = pytest.mark.slow

DAY = date(2024, 3, 5)  # the one that is corrected


def loaded(project: Project, source: str) -> dict[str, str]:
    return dict(
        project.query(
            "SELECT window_date::VARCHAR, source_version FROM raw.source_loads "
            f"WHERE source = '{source}' AND window_date IS NOT NULL"
        )
    )


def observations(project: Project, asset: AssetKey) -> int:
    return len(project.instance.fetch_observations(asset, limit=5000).records)


def test_a_load_observes_its_days_and_an_observation_only_what_has_changed(
    copied_project: Project,
) -> None:
    project, orders = copied_project, source_key("orders")
    before = observed_versions(project.instance, orders)
    assert before == loaded(project, "orders")
    assert len(before) > 150
    assert observed_versions(project.instance, source_key("user_sessions"))
    customers = project.instance.get_latest_data_version_record(source_key("customers"))
    assert customers is not None

    count = observations(project, orders)
    assert project.run([RunPlan(OBSERVE_SOURCES, {})]).failures == []
    assert observations(project, orders) == count
    correct_a_day(project)
    assert project.run([RunPlan(OBSERVE_SOURCES, {})]).failures == []
    after = observed_versions(project.instance, orders)
    assert {day for day in after if after[day] != before.get(day)} == {str(DAY)}
    assert loaded(project, "orders") == before  # nothing was loaded


def test_checks_of_whole_tables_find_what_a_load_of_days_finds(copied_project: Project) -> None:
    outcome = copied_project.run([RunPlan(CHECK_TABLES, {})])
    assert outcome.failures == []
    assert all(asset.failed == 0 for asset in outcome.assets.values()), outcome.details
    job = copied_project.definitions().resolve_job_def(CHECK_TABLES).asset_layer
    verdicts = sum(asset.passed + asset.warned for asset in outcome.assets.values())
    assert verdicts == len(job.asset_graph.asset_check_keys)
    assert sum(asset.partitions for asset in outcome.assets.values()) == 0


def test_a_run_of_some_assets_leaves_no_asset_that_does_not_exist(copied_project: Project) -> None:
    """dbt also runs the tests between a selected table and another one."""
    project = copied_project
    plan = RunPlan(
        LOAD_DAYS, range_tags(Window.of_days(str(DAY), str(DAY))), ("dim_customers", "dim_products")
    )
    assert project.run([plan]).failures == []
    graph = project.definitions().resolve_asset_graph()
    assert set(project.instance.all_asset_keys()) <= set(graph.get_all_asset_keys())
    (run,) = project.instance.get_runs(limit=1)
    logged = project.instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_OBSERVATION)
    assert logged == []
