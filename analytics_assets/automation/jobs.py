"""Jobs: what is materialized together, in which partitioning.

Daily and monthly assets do not resolve in one job, and scores belong to the day being scored, not
to every day that is loaded again; so there are four, and one for the pages beside.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dagster import AssetSelection, PartitionsDefinition, define_asset_job
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

LOAD_DAYS = "load_days"
SCORE_DAY = "score_day"
PROFILE_TABLES = "profile_tables"
MONTHLY_FEATURES = "monthly_features"
RETRAIN = "retrain"

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
MONTHLY_ASSETS = ("churn_features",)
TRAINED_ASSETS = ("churn_model", "churn_backtest")
PROFILE_ASSETS = ("table_profiles",)  # beside the others: nothing waits for them


@dataclass(frozen=True)
class JobPlan:
    """A job's assets by name, and whether it runs by day, by month or neither."""

    name: str
    assets: tuple[str, ...]
    description: str
    partitioning: str | None


def job_plans(executable: Iterable[str]) -> list[JobPlan]:
    """The jobs over the graph's executable assets; each asset is in exactly one."""
    apart = {*SNAPSHOT_ASSETS, *MONTHLY_ASSETS, *TRAINED_ASSETS, *PROFILE_ASSETS}
    loaded = tuple(sorted(name for name in executable if name not in apart))
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
            "Features and labels of churn at the end of each month.",
            "monthly",
        ),
        JobPlan(RETRAIN, TRAINED_ASSETS, "Trains the churn model on all closed windows.", None),
        JobPlan(
            SCORE_DAY,
            SNAPSHOT_ASSETS,
            "Customer snapshot and churn scores as of a day, the ledgers, and the published copy.",
            "daily",
        ),
        JobPlan(PROFILE_TABLES, PROFILE_ASSETS, "Draws the HTML page of each table anew.", None),
    ]


def build_jobs(
    plans: Iterable[JobPlan], partitions: dict[str | None, PartitionsDefinition | None]
) -> dict[str, UnresolvedAssetJobDefinition]:
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
