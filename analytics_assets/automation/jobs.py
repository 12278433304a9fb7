"""Jobs: what is materialized together, in which partitioning.

Daily and monthly assets do not resolve in one job, and scores belong to the day being scored, not
to every day that is loaded again; so there are four, one for the pages beside, and one for
subscribers, who have no days.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from dagster import AssetSelection, PartitionsDefinition, define_asset_job

LOAD_DAYS = "load_days"
SCORE_DAY = "score_day"
PROFILE_TABLES = "profile_tables"
MONTHLY_FEATURES = "monthly_features"
RETRAIN = "retrain"
SUBSCRIPTIONS = "subscriptions"

SNAPSHOT_ASSETS = (
    "customer_analytics_daily",
    "user_analytics",
    "churn_predictions",
    "churn_performance",
    "churn_drift",
    "data_quality_metrics",
    "data_quality_scores",
    "pipeline_executions",
    "published_warehouse",
)
MONTHLY_ASSETS = ("churn_features", "customer_segment_moves")
TRAINED_ASSETS = ("churn_model", "churn_backtest")
SUBSCRIPTION_ASSETS = (
    "raw_subscriptions",
    "stg_subscriptions",
    "subscription_analytics",
    "churn_by_contract",
    "subscription_model",
    "subscription_predictions",
)
PROFILE_ASSETS = ("table_profiles",)  # beside the others: nothing waits for them


@dataclass(frozen=True)
class JobPlan:
    """A job's assets by name, and whether it runs by day, by month or neither."""

    name: str
    assets: tuple[str, ...]
    description: str
    partitioning: str | None


def job_plans(executable: Iterable[str]) -> list[JobPlan]:
    """The jobs over the graph's executable assets; each asset is in exactly one.

    Without orders all but the pages is in the job of subscribers.
    """
    executable = set(executable)
    pages = JobPlan(PROFILE_TABLES, PROFILE_ASSETS, "Draws the HTML page of each table anew.", None)
    subscribers = JobPlan(
        SUBSCRIPTIONS,
        SUBSCRIPTION_ASSETS,
        "Loads the subscribers, trains their churn model and scores those who have stayed.",
        None,
    )
    if executable >= {*SUBSCRIPTION_ASSETS} and "raw_orders" not in executable:
        everything = tuple(sorted(executable - {*PROFILE_ASSETS}))
        return [replace(subscribers, assets=everything), pages]
    apart = {
        *(*SNAPSHOT_ASSETS, *MONTHLY_ASSETS, *TRAINED_ASSETS),
        *(*SUBSCRIPTION_ASSETS, *PROFILE_ASSETS),
    }
    loaded = tuple(sorted(executable - apart))
    return [
        JobPlan(
            LOAD_DAYS,
            loaded,
            "Loads a range of days from the sources and rebuilds what hangs on them: facts, "
            "dimensions, cohorts, sales.",
            "daily",
        ),
        JobPlan(
            MONTHLY_FEATURES,
            MONTHLY_ASSETS,
            "Features and labels of churn at the end of each month, and moves between segments.",
            "monthly",
        ),
        JobPlan(RETRAIN, TRAINED_ASSETS, "Trains the churn model on all closed windows.", None),
        JobPlan(
            SCORE_DAY,
            SNAPSHOT_ASSETS,
            "Customer snapshot and churn scores as of a day, the ledgers, and the published copy.",
            "daily",
        ),
        *([subscribers] if executable >= {*SUBSCRIPTION_ASSETS} else []),
        pages,
    ]


def build_jobs(
    plans: Iterable[JobPlan], partitions: dict[str | None, PartitionsDefinition | None]
) -> dict[str, Any]:
    """Dagster jobs of the plans, by name."""
    return {
        plan.name: define_asset_job(
            plan.name,
            AssetSelection.assets(*plan.assets),
            description=plan.description,
            partitions_def=partitions[plan.partitioning],
        )
        for plan in plans
    }
