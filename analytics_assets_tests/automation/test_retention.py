"""Pruning: what is old goes, and what tells the state of partitions and checks stays."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    BackfillPolicy,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    Definitions,
    Output,
    asset,
    asset_check,
    define_asset_job,
)

from analytics_assets.assets.quality.ledgers import PRUNED_TAG, record_runs
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.automation.ranges import range_tags
from analytics_assets.automation.retention import Pruned, prune
from analytics_assets.definitions import build_warehouse
from analytics_assets.partitions import Window
from analytics_assets.settings import Settings
from analytics_assets_tests.conftest import make_settings
from analytics_assets_tests.sources.test_postgres import programs, server

DAY = 86_400.0
ORDERS, SALES = AssetKey("raw_orders"), AssetKey("sales_daily")
LIVES = AssetCheckKey(SALES, "adds_up")


@asset(
    name="raw_orders",
    partitions_def=DailyPartitionsDefinition("2024-01-01", end_date="2024-02-01"),
    backfill_policy=BackfillPolicy.single_run(),
)
def raw_orders(context: AssetExecutionContext) -> Output[None]:
    print("to the compute log")
    return Output(None, metadata={"dagster/partition_row_count": 3})


@asset(name="sales_daily")
def sales_daily() -> None:
    if FAILS:
        raise RuntimeError("as told")


@asset_check(asset=sales_daily, name="adds_up")
def adds_up() -> AssetCheckResult:
    return AssetCheckResult(passed=True)


FAILS: list[bool] = []
COMPOSED = Definitions(
    assets=[raw_orders, sales_daily],
    asset_checks=[adds_up],
    jobs=[define_asset_job("load_days", [ORDERS]), define_asset_job("other", [SALES])],
)


POSTGRES = pytest.param(
    "postgres",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL server to start"),
    ],
)


@pytest.fixture(params=["ours", "dagster's", POSTGRES])
def instance(request: pytest.FixtureRequest, settings: Settings) -> Iterator[DagsterInstance]:
    home = prepare_instance(settings)
    if request.param == "dagster's":
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    if request.param == "postgres":
        with server() as started:
            (home / "dagster.yaml").write_text(
                "telemetry: {enabled: false}\nstorage:\n  postgres:\n"
                f"    postgres_url: postgresql+psycopg2://postgres@/postgres?host={started.folder}\n"
            )
            with DagsterInstance.from_config(str(home)) as opened:
                yield opened
        return
    with DagsterInstance.from_config(str(home)) as opened:
        yield opened


def load(instance: DagsterInstance, first: str, last: str) -> str:
    tags = range_tags(Window.of_days(first, last))
    job = COMPOSED.resolve_job_def("load_days")
    return job.execute_in_process(instance=instance, tags=tags).run_id


def other(instance: DagsterInstance, *, fails: bool = False) -> str:
    FAILS[:] = [True] if fails else []
    job = COMPOSED.resolve_job_def("other")
    return job.execute_in_process(instance=instance, raise_on_error=False).run_id


def record(settings: Settings, instance: DagsterInstance) -> None:
    warehouse = build_warehouse(settings)
    warehouse.prepare()
    with warehouse.transaction() as session:
        record_runs(session, instance, {})


def prune_after(settings: Settings, instance: DagsterInstance, days: float, **most: int) -> Pruned:
    at = time.time() + days * DAY
    return prune(settings, instance, build_warehouse(settings), lambda: at, **most)


def state(instance: DagsterInstance) -> list[Any]:
    """What the partition status, staleness and the pages of assets are computed from."""
    storage = instance.event_log_storage
    kind = DagsterEventType.ASSET_MATERIALIZATION
    newest = instance.get_latest_storage_id_by_partition(ORDERS, kind)
    tags = storage.get_latest_tags_by_partition(ORDERS, kind, ["dagster/data_version"])
    events = [instance.get_latest_materialization_event(key) for key in (ORDERS, SALES)]
    checks = storage.get_latest_asset_check_execution_by_key([LIVES])
    return [
        instance.get_materialized_partitions(ORDERS),
        newest,
        tags,
        [event and (event.timestamp, event.run_id) for event in events],
        {key: (check.status, check.run_id) for key, check in checks.items()},
        instance.get_latest_materialization_code_versions([ORDERS, SALES]),
    ]


def runs(instance: DagsterInstance) -> set[str]:
    return {*instance.get_run_ids()}


def test_the_newest_materialization_of_each_partition_survives(
    instance: DagsterInstance, settings: Settings
) -> None:
    superseded = load(instance, "2024-01-01", "2024-01-03")
    partly = load(instance, "2024-01-01", "2024-01-04")
    newest = load(instance, "2024-01-02", "2024-01-05")
    failed = other(instance, fails=True)
    old_check, of_check = other(instance), other(instance)
    record(settings, instance)
    before = state(instance)
    assert prune_after(settings, instance, settings.retention_days - 1) == Pruned()
    pruned = prune_after(settings, instance, settings.retention_days + 1)
    assert (pruned.runs, pruned.emptied, pruned.more) == (3, 3, False)
    assert runs(instance) == {partly, newest, of_check}
    assert runs(instance).isdisjoint({superseded, failed, old_check})
    assert state(instance) == before
    # Of the first one the one day is left; of its log nothing.
    assert len(materializations(instance)) == 5
    kept = instance.get_run_by_id(partly)
    assert kept and PRUNED_TAG in kept.tags and kept.status == DagsterRunStatus.SUCCESS
    assert not list(settings.dagster_home.rglob(f"*{superseded}*"))
    assert prune_after(settings, instance, settings.retention_days + 1) == Pruned()

    # A correction takes the last that the emptied run had.
    again = load(instance, "2024-01-01", "2024-01-01")
    record(settings, instance)
    prune_after(settings, instance, settings.retention_days + 1)
    assert runs(instance) == {newest, of_check, again}
    # A rebuilt ledger does not say of emptied runs that their checks did not run.
    settings.warehouse_path.unlink()
    warehouse = build_warehouse(settings)
    warehouse.prepare()
    with warehouse.transaction() as session:
        record_runs(session, instance, {"sales_daily": {"adds_up": {}}, "raw_orders": {"x": {}}})
        assert session.rows("FROM quality.data_quality_metrics WHERE NOT ran") == []


def materializations(instance: DagsterInstance) -> list[Any]:
    return [*instance.fetch_materializations(ORDERS, limit=100).records]


def test_what_the_ledger_has_not_recorded_stays(
    instance: DagsterInstance, settings: Settings
) -> None:
    load(instance, "2024-01-01", "2024-01-01")
    load(instance, "2024-01-01", "2024-01-01")
    assert prune_after(settings, instance, 1000) == Pruned()  # there is no warehouse
    build_warehouse(settings).prepare()
    assert prune_after(settings, instance, 1000) == Pruned()
    assert len(runs(instance)) == 2


def test_a_run_in_progress_stays(instance: DagsterInstance, settings: Settings) -> None:
    job = COMPOSED.resolve_job_def("other")
    run = instance.create_run_for_job(job, status=DagsterRunStatus.STARTED)
    record(settings, instance)
    prune_after(settings, instance, 1000)
    assert runs(instance) == {run.run_id}


def test_more_runs_than_are_kept_are_pruned_in_portions(
    instance: DagsterInstance, settings: Settings
) -> None:
    few = make_settings(settings.home, ANALYTICS_RETENTION_RUNS="2")
    failed = [other(instance, fails=True) for _ in range(5)]
    record(few, instance)
    pruned = prune_after(few, instance, 0, runs_at_once=2)
    assert (pruned.runs, pruned.more) == (2, True)
    assert runs(instance) == {*failed[2:]}
    assert prune_after(few, instance, 0).runs == 1
    assert runs(instance) == {*failed[3:]}
