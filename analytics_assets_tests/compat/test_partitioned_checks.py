"""Dagster's partitioned asset checks, as the pinned version has them: why our ledger counts by day.

If one of these fails after an upgrade, a check could have Dagster's partitions instead of rows of
`data_quality_metrics` for each day.
"""

import warnings
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetKey,
    BackfillPolicy,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    asset,
    asset_check,
)

from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window

DAYS = DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05")
KEY = AssetCheckKey(AssetKey("rows"), "counted")


@pytest.fixture(scope="module")
def composed() -> Definitions:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the parameter is a preview

        @asset(partitions_def=DAYS, backfill_policy=BackfillPolicy.single_run())
        def rows() -> None: ...

        @asset_check(asset=rows, name="counted", partitions_def=DAYS)
        def counted() -> AssetCheckResult:
            return AssetCheckResult(passed=True)

    return Definitions(assets=[rows], asset_checks=[counted])


def executions(composed: Definitions, instance: DagsterInstance, first: str, last: str) -> Any:
    job = composed.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance, tags=range_tags(Window.of_days(first, last)), raise_on_error=False
    )
    storage = instance.event_log_storage
    history = storage.get_asset_check_execution_history(KEY, limit=20)
    return result.success, {(one.partition, one.status.value) for one in history}


def test_in_a_run_of_a_range_the_verdict_has_no_partition_of_its_own(
    composed: Definitions,
) -> None:
    with DagsterInstance.ephemeral() as instance:
        success, found = executions(composed, instance, "2024-01-01", "2024-01-03")
    assert success
    planned = {(f"2024-01-0{day}", "PLANNED") for day in (1, 2, 3)}  # and never evaluated
    assert found == {(None, "SUCCEEDED"), *planned}
