"""Jobs: which assets are materialized together, and how they are partitioned.

Dagster does not allow daily and monthly assets in one job, and only the newest day is scored, not
every day that is loaded again: so there are four jobs. The pages have their own job, and so has
each source that declares one. Two more build nothing, and only look.

No asset is listed here. An asset's job follows from its tags, partitions and parents, so a new
table gets its job by itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetSelection,
    AssetSpec,
    PartitionsDefinition,
    define_asset_job,
)

from analytics_assets.assets.common import CADENCE, MONTHLY, ON_DEMAND
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.base import SNAPSHOT_COLUMN
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared import SOURCES

LOAD_DAYS = "load_days"
SCORE_DAY = "score_day"
PROFILE_TABLES = "profile_tables"
MONTHLY_FEATURES = "monthly_features"
RETRAIN = "retrain"
OBSERVE_SOURCES = "observe_sources"
CHECK_TABLES = "check_tables"
OF_DAYS = (LOAD_DAYS, MONTHLY_FEATURES, RETRAIN, SCORE_DAY)


@dataclass(frozen=True)
class JobPlan:
    """A job's assets by name, and whether it runs by day, by month or without partitions."""

    name: str
    assets: tuple[str, ...]
    description: str
    partitioning: str | None = None


def job_plans(specs: Iterable[AssetSpec], sources: SourcesConfig) -> list[JobPlan]:
    """The jobs over executable assets; each asset is in exactly one.

    Args:
        specs: the assets.
        sources: the configured sources.
    """
    by_name = {spec.key.path[-1]: spec for spec in specs}
    parents = {
        name: [dep.asset_key.path[-1] for dep in spec.deps] for name, spec in by_name.items()
    }
    jobs: dict[str, list[str]] = {}
    for name in sorted(by_name):
        job = _job_of(by_name[name], _with_ancestors(name, parents))
        if job in OF_DAYS and not sources.has_days:
            job = sources.separate[-1].source  # nothing else runs the ledgers and publishes
        jobs.setdefault(job, []).append(name)

    def plan(name: str, description: str, partitioning: str | None = None) -> JobPlan:
        return JobPlan(name, tuple(jobs.get(name, ())), description, partitioning)

    of_days = [
        plan(
            LOAD_DAYS,
            "Loads a range of days from the sources and rebuilds what depends on them: facts, "
            "dimensions, cohorts, sales.",
            "daily",
        ),
        plan(
            MONTHLY_FEATURES,
            "Features and labels of churn at the end of each month, and moves between segments.",
            "monthly",
        ),
        plan(RETRAIN, "Trains the churn model on all closed windows."),
        plan(
            SCORE_DAY,
            "Customer snapshot and churn scores as of a day, the ledgers, and the published copy.",
            "daily",
        ),
    ]
    separate = [
        plan(config.source, config.declared.job.description)
        for config in sources.separate
        if config.declared.job
    ]
    pages = plan(PROFILE_TABLES, "Draws the HTML page of each table again.")
    return [*(of_days if sources.has_days else ()), *separate, pages]


def is_monthly(spec: AssetSpec) -> bool:
    """Whether an asset is computed once a month: it has monthly partitions, or the monthly tag."""
    table = TABLES.get(spec.key.path[-1])
    by_month = table is not None and table.partitioning == "monthly"
    return by_month or spec.tags.get(CADENCE) == MONTHLY


def _job_of(spec: AssetSpec, tables: set[str]) -> str:
    """The job of an asset, given its name and the names of all its ancestors."""
    if spec.tags.get(CADENCE) == ON_DEMAND:
        return PROFILE_TABLES
    fed_by = [source for name, source in SOURCES.items() if f"raw_{name}" in tables]
    if fed_by and all(source.job for source in fed_by):
        return fed_by[-1].name
    if is_monthly(spec):
        return MONTHLY_FEATURES if spec.partitions_def else RETRAIN
    snapshots = {name for name, table in TABLES.items() if SNAPSHOT_COLUMN in table.columns}
    return SCORE_DAY if tables & snapshots else LOAD_DAYS


def _with_ancestors(name: str, parents: Mapping[str, list[str]]) -> set[str]:
    names: set[str] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting += parents.get(name, ())
    return names


def observing_jobs(
    sources: Iterable[AssetKey],
    checks: Iterable[AssetCheckKey],
    ledgers: Iterable[AssetKey] = (),
) -> dict[str, Any]:
    """The jobs that build nothing: they look at the sources, and at whole tables.

    Args:
        sources: the source assets.
        checks: the checks that need no step of dbt.
        ledgers: ledgers of what goes on between runs, written before their checks.
    """
    return {
        OBSERVE_SOURCES: define_asset_job(
            OBSERVE_SOURCES,
            AssetSelection.assets(*sources),
            description="Records the data version of each day of the sources, so that days show "
            "that have changed since they were loaded.",
        ),
        CHECK_TABLES: define_asset_job(
            CHECK_TABLES,
            AssetSelection.checks(*checks) | AssetSelection.assets(*ledgers),
            description="Evaluates the checks on whole tables, also between loads.",
        ),
    }


def build_jobs(
    plans: Iterable[JobPlan],
    partitions: dict[str | None, PartitionsDefinition | None],
    after_load: Iterable[AssetCheckKey] = (),
) -> dict[str, Any]:
    """The Dagster jobs of the plans, by name.

    Args:
        plans: the jobs.
        partitions: the partitions by their names in the plans.
        after_load: checks that a load evaluates, too, though it does not build their assets.
    """
    further = {LOAD_DAYS: AssetSelection.checks(*after_load)} if after_load else {}
    return {
        plan.name: define_asset_job(
            plan.name,
            AssetSelection.assets(*plan.assets) | further.get(plan.name, AssetSelection.assets()),
            description=plan.description,
            partitions_def=partitions[plan.partitioning],
        )
        for plan in plans
    }
