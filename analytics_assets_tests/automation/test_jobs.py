"""A table's job follows from what it is: nothing has to be listed for a new one."""

from datetime import date
from typing import Any

import pytest
from dagster import AssetSpec

from analytics_assets.assets.common import CADENCE, MONTHLY, ON_DEMAND
from analytics_assets.automation.jobs import (
    LOAD_DAYS,
    MONTHLY_FEATURES,
    PROFILE_TABLES,
    RETRAIN,
    SCORE_DAY,
    job_plans,
)
from analytics_assets.partitions import Calendar, daily_partitions, monthly_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.base import Integer, TableModel, column, table
from analytics_assets.sources.config import SourceConfig, SourcesConfig

CALENDAR = Calendar(date(2024, 1, 1), date(2024, 6, 1))
DAILY, MONTHS = daily_partitions(CALENDAR), monthly_partitions(CALENDAR)


class NewMart(TableModel):
    """A mart that somebody adds."""

    customers: Integer = column("Customers", nullable=False)


def jobs_of(*new: AssetSpec, sources: tuple[str, ...] = ("orders", "subscriptions")) -> set[str]:
    """The jobs of the mart, in a graph of a few tables."""
    there = [
        AssetSpec("raw_orders", partitions_def=DAILY),
        AssetSpec("raw_subscriptions"),
        AssetSpec("customer_days", deps=["raw_orders"], partitions_def=DAILY),
        AssetSpec("customer_analytics_daily", deps=["customer_days"], partitions_def=DAILY),
        AssetSpec("subscription_analytics", deps=["raw_subscriptions"]),
    ]
    config = SourcesConfig(CALENDAR, {name: SourceConfig(name) for name in sources})
    plans = job_plans([*there, *new], config)
    assert sum(len(plan.assets) for plan in plans) == len(there) + len(new)
    return {plan.name for plan in plans if "new_mart" in plan.assets}


@pytest.mark.parametrize(
    ("dep", "words", "job"),
    [
        ("customer_days", {}, LOAD_DAYS),
        ("customer_days", {"partitions_def": DAILY}, LOAD_DAYS),
        ("customer_analytics_daily", {}, SCORE_DAY),
        ("subscription_analytics", {}, "subscriptions"),
        ("customer_days", {"tags": {CADENCE: MONTHLY}}, RETRAIN),
        ("customer_days", {"tags": {CADENCE: ON_DEMAND}}, PROFILE_TABLES),
    ],
)
def test_a_new_mart_joins_the_job_of_what_it_is_made_from(
    dep: str, words: dict[str, Any], job: str
) -> None:
    assert jobs_of(AssetSpec("new_mart", deps=[dep], **words)) == {job}


def test_a_new_mart_by_month_is_made_with_the_other_months() -> None:
    table(group="marts", key=("month",), partitioning="monthly", window_column="month")(NewMart)
    try:
        spec = AssetSpec("new_mart", deps=["customer_days"], partitions_def=MONTHS)
        assert jobs_of(spec) == {MONTHLY_FEATURES}
    finally:
        del TABLES["new_mart"]


def test_what_hangs_on_the_days_too_is_made_with_them() -> None:
    both = AssetSpec("new_mart", deps=["customer_days", "subscription_analytics"])
    assert jobs_of(both) == {LOAD_DAYS}


def test_without_days_the_job_of_a_source_runs_what_hangs_on_nothing() -> None:
    assert jobs_of(AssetSpec("new_mart"), sources=("subscriptions",)) == {"subscriptions"}
