"""Everything put together: settings in, Dagster definitions out.

`build_definitions` takes the settings, so tests can build the graph for their own home. Dagster
loads `defs`, which reads the environment when it is called, not at import.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster import (
    BetaWarning,
    DagsterInstance,
    Definitions,
    InitResourceContext,
    PartitionsDefinition,
    ResourceDefinition,
    definitions,
    map_asset_specs,
)

from analytics_assets.assets.activation import activation_assets
from analytics_assets.assets.churn.model import training_assets
from analytics_assets.assets.churn.next_orders import next_order_assets
from analytics_assets.assets.churn.performance import performance_assets
from analytics_assets.assets.churn.predictions import score_assets
from analytics_assets.assets.churn.subscriptions import subscription_assets
from analytics_assets.assets.dbt.command import DbtCommand
from analytics_assets.assets.dbt.models import dbt_models
from analytics_assets.assets.features import feature_assets
from analytics_assets.assets.published import serving_assets
from analytics_assets.assets.quality.ledgers import quality_assets
from analytics_assets.assets.quality.profiles import profile_assets, with_profile
from analytics_assets.assets.quality.stream import LEDGERS, stream_assets
from analytics_assets.assets.raw import raw_assets
from analytics_assets.assets.sources import source_assets
from analytics_assets.automation.dead_runs import WAITS_FOR_TAG
from analytics_assets.automation.freshness import with_freshness
from analytics_assets.automation.heartbeat import executing
from analytics_assets.automation.jobs import build_jobs, job_plans, observing_jobs
from analytics_assets.automation.mixed_backfills import refuse_mixed_backfill
from analytics_assets.automation.schedules import build_schedules
from analytics_assets.automation.sensors import build_sensors
from analytics_assets.checks.registry import all_checks, blocking_tables, check_definitions
from analytics_assets.checks.staleness import staleness_checks
from analytics_assets.compat.executor import in_process_executor
from analytics_assets.compat.loggers import json_logger, log_as_json
from analytics_assets.partitions import daily_partitions, monthly_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings, load_settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.configured import configured_sources
from analytics_assets.sources.declared.events import EVENTS
from analytics_assets.sources.declared.orders import ORDERS
from analytics_assets.sources.declared.subscriptions import SUBSCRIPTIONS
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.io_manager import WarehouseIOManager
from analytics_assets.warehouse.occupancy import occupied

# Known to be beta in the pinned Dagster; other warnings still show.
warnings.filterwarnings(
    "ignore", "(Function `observable_source_asset`|Parameter `backfill_policy`)", BetaWarning
)

SENSOR_PATIENCE = 5.0  # Dagster cuts a tick off after 60 seconds


def _of_customers(
    settings: Settings, sources: SourcesConfig, config: SourceConfig, daily: PartitionsDefinition
) -> list[Any]:
    return [
        *training_assets(settings),
        *score_assets(settings, sources, daily),
        *next_order_assets(settings),
        *performance_assets(settings),
    ]


def _of_subscribers(
    settings: Settings, sources: SourcesConfig, config: SourceConfig, daily: PartitionsDefinition
) -> list[Any]:
    return subscription_assets(settings, config.attributes)


# The assets in Python for a source, besides its raw table.
MODELLED = {
    ORDERS.name: _of_customers,
    EVENTS.name: stream_assets,
    SUBSCRIPTIONS.name: _of_subscribers,
}


def build_warehouse(settings: Settings, patience: float = 60.0) -> Warehouse:
    """The warehouse of the settings."""
    return Warehouse(settings.warehouse_path, settings.memory_limit, settings.threads, patience)


def _of_one_run(settings: Settings, warehouse: Warehouse) -> ResourceDefinition:
    """The warehouse as a resource: the run that gets it has it until its last step."""

    @contextmanager
    def of_run(context: InitResourceContext) -> Iterator[Warehouse]:
        run, instance = context.run, context.instance
        if run is None or instance is None:
            yield warehouse
            return

        def say(occupant: str) -> None:
            instance.add_run_tags(run.run_id, {WAITS_FOR_TAG: occupant})
            if context.log:
                context.log.info(f"Waiting for run {occupant[:8]}, which has the warehouse.")

        with occupied(settings.occupancy_path, run.run_id, say):
            yield warehouse

    return ResourceDefinition(of_run)


def build_definitions(settings: Settings) -> Definitions:
    """The whole project for the given settings.

    Raises:
        SourceConfigError: the source configuration is wrong.
    """
    loggers = {}
    if settings.log_format == "json":
        log_as_json()
        loggers["console"] = json_logger
    sources = configured_sources(settings)
    daily = daily_partitions(sources.calendar)
    partitions: dict[str | None, PartitionsDefinition | None] = {
        "daily": daily,
        "monthly": monthly_partitions(sources.calendar),
        None: None,
    }
    warehouse = build_warehouse(settings)
    checked = blocking_tables(
        all_checks(settings, sources, daily, [*TABLES.values()]), settings.checks
    )
    assets: list[Any] = [
        *raw_assets(sources, daily, settings.max_run_days, checked),
        dbt_models(settings, sources, partitions, checked),
    ]
    for config in sources.sources.values():
        if config.source in MODELLED:
            assets += MODELLED[config.source](settings, sources, config, daily)
    built = _names(assets)
    tables = [table for table in TABLES.values() if table.name in built]
    modelled = [table.name for table in tables if table.group in ("core", "marts", "churn")]
    checks = check_definitions(all_checks(settings, sources, daily, tables), settings.checks)
    staleness = staleness_checks(settings, sources)
    checks += staleness
    last = _leaves(modelled, assets)
    ledgers = quality_assets(last, _expected([*assets, *checks]))
    assets += [*ledgers, *serving_assets(settings, [*last, *_names(ledgers)])]
    if "user_analytics" in built:
        assets += [*feature_assets(settings), *activation_assets(settings)]
    if sources.calendar.end is None:
        # Data that have ended cannot become stale.
        assets = list(map_asset_specs(with_freshness, assets))
    assets = [
        *map_asset_specs(with_profile(settings), assets),
        # Without a freshness policy: pages are drawn on demand.
        *profile_assets(settings, last),
    ]
    specs = [spec for asset in assets for spec in asset.specs]
    after_load = [key for check in staleness for key in check.check_keys]
    observed = source_assets(sources, daily)
    plans = job_plans(specs, sources)
    jobs = {
        **build_jobs(plans, partitions, after_load),
        **observing_jobs(
            [key for source in observed for key in source.keys],
            [key for check in checks for key in check.check_keys],
            [spec.key for spec in specs if spec.key.path[-1] in {table.name for table in LEDGERS}],
        ),
    }

    @contextmanager
    def during(instance: DagsterInstance, run_id: str) -> Iterator[None]:
        refuse_mixed_backfill(instance, run_id, plans)
        with executing(instance, run_id):
            yield

    return Definitions(
        assets=[*observed, *assets],
        asset_checks=checks,
        jobs=list(jobs.values()),
        schedules=build_schedules(settings, sources.calendar, jobs),
        sensors=build_sensors(
            settings, sources, build_warehouse(settings, SENSOR_PATIENCE), daily, jobs
        ),
        resources={
            "warehouse": _of_one_run(settings, warehouse),
            "io_manager": WarehouseIOManager(warehouse),
            "dbt": DbtCommand(settings),
        },
        # DuckDB allows one writing process, so the steps of a run share one process.
        executor=in_process_executor(during),
        loggers=loggers,
    )


def _expected(definitions: list[Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The checks of each table, those of dbt included, with their declared metadata."""
    expected: dict[str, dict[str, dict[str, Any]]] = {}
    for definition in definitions:
        for spec in definition.check_specs:
            expected.setdefault(spec.asset_key.path[-1], {})[spec.name] = spec.metadata
    return expected


def _names(assets: list[Any]) -> list[str]:
    return [key.path[-1] for asset in assets for key in asset.keys]


def _leaves(names: list[str], assets: list[Any]) -> list[str]:
    """The tables that no asset reads: what depends on these runs after all tables."""
    upstream = {
        dep.asset_key.path[-1] for asset in assets for spec in asset.specs for dep in spec.deps
    }
    return [name for name in names if name not in upstream]


@definitions
def defs() -> Definitions:
    """What `dagster dev` and the daemon load."""
    return build_definitions(load_settings())
