"""A backfill of everything is refused by its first run, with the job to take instead."""

import time
from collections.abc import Iterator

import pytest
from dagster import AssetKey, DagsterInstance, Failure
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.test_utils import create_run_for_test

from analytics_assets.automation.jobs import (
    LOAD_DAYS,
    MONTHLY_FEATURES,
    RETRAIN,
    SCORE_DAY,
    JobPlan,
)
from analytics_assets.automation.mixed_backfills import refuse_mixed_backfill

PLANS = [
    JobPlan(LOAD_DAYS, ("raw_orders", "fact_orders"), "", "daily"),
    JobPlan(MONTHLY_FEATURES, ("churn_features",), "", "monthly"),
    JobPlan(RETRAIN, ("churn_model",), ""),
    JobPlan(SCORE_DAY, ("customer_analytics_daily", "published_warehouse"), "", "daily"),
    JobPlan("subscriptions", ("raw_subscriptions",), ""),
]


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def first_run(instance: DagsterInstance, *assets: str) -> str:
    """A run of a backfill of these assets."""
    backfill = PartitionBackfill(
        "all",
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags={},
        backfill_timestamp=time.time(),
        asset_selection=[AssetKey(name) for name in assets],
    )
    instance.add_backfill(backfill)
    return create_run_for_test(instance, tags={"dagster/backfill": "all"}).run_id


def test_everything_is_refused_with_the_job_to_take(instance: DagsterInstance) -> None:
    run = first_run(instance, *(name for plan in PLANS for name in plan.assets))
    with pytest.raises(Failure, match="Nothing was done") as refused:
        refuse_mixed_backfill(instance, run, PLANS)
    words = str(refused.value.description)
    assert "load_days, monthly_features, retrain, score_day" in words
    assert "materialize the job load_days" in words
    assert "analytics-assets run" in words


@pytest.mark.parametrize(
    "assets",
    [
        ("raw_orders", "fact_orders"),
        ("raw_orders", "raw_subscriptions"),
        ("churn_features", "churn_model"),
        ("customer_analytics_daily", "published_warehouse"),
    ],
)
def test_assets_of_one_job_or_without_a_load_are_not(
    instance: DagsterInstance, assets: tuple[str, ...]
) -> None:
    refuse_mixed_backfill(instance, first_run(instance, *assets), PLANS)


def test_a_run_of_no_backfill_is_not(instance: DagsterInstance) -> None:
    run = create_run_for_test(instance, tags={"dagster/partition": "2024-01-01"})
    refuse_mixed_backfill(instance, run.run_id, PLANS)
