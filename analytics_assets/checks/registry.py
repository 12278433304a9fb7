"""All checks of a configuration, and the steps that evaluate them.

Belongs here: the families, their policies, and the steps. Does not belong here: any one check (a
module for each family).

One step evaluates all checks of a layer in one session, so that families share scans and temporary
tables. A failed blocking check stops the later steps of its run; in later runs the publishing step
reads the ledger.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckKey,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetKey,
    PartitionsDefinition,
    ResourceParam,
    multi_asset_check,
)

from analytics_assets.checks import (
    analyses,
    anomalies,
    drift,
    freshness,
    integrity,
    orders,
    predictions,
    reconciliation,
    rows,
    schema,
    stream,
    uniqueness,
    validity,
    volume,
)
from analytics_assets.checks.base import Check, Evaluate, Finding, Want
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window, run_window
from analytics_assets.schemas import TABLES, Table
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.unfinished import RECORD, finish_checks, is_monthly

EVALUATE: Mapping[str, Evaluate] = {
    "schema": schema.evaluate,
    "accounting": reconciliation.evaluate,
    "uniqueness": rows.evaluate,
    "integrity": rows.evaluate,
    "validity": rows.evaluate,
    "anomalies": rows.evaluate,
    "volume": volume.evaluate,
    "freshness": freshness.evaluate,
    "drift": drift.evaluate,
    "churn": predictions.evaluate,
    "stream": stream.evaluate,
}

WANT: Mapping[Evaluate, Want] = {
    schema.evaluate: schema.want,
    reconciliation.evaluate: reconciliation.want,
    rows.evaluate: rows.want,
}


def all_checks(
    settings: Settings, sources: SourcesConfig, daily: PartitionsDefinition, tables: Sequence[Table]
) -> list[Check]:
    """Every check of the given tables whose family is not off, dbt's tests aside."""
    checks = [
        *schema.checks(tables),
        *reconciliation.checks(sources),
        *analyses.checks(sources),
        *uniqueness.checks(sources, tables),
        *integrity.checks(sources, settings.max_orphan_share),
        *validity.checks(sources),
        *orders.checks(sources),
        *anomalies.checks(),
        *volume.checks(sources),
        *freshness.checks(sources, daily),
        *drift.checks(sources, settings.published_dir),
        *predictions.checks(),
        *stream.checks(sources),
    ]
    names = {table.name for table in tables}
    return [
        check
        for check in checks
        # Without orders, for example, there are no facts to check.
        if check.asset in names and settings.checks[check.family] != "off"
    ]


def evaluate(
    session: Session, checks: Sequence[Check], window_of: Callable[[Check], Window | None]
) -> Iterator[Finding]:
    """The findings of checks of any families, schema checks first."""
    batches: dict[tuple[Evaluate, Window | None], list[Check]] = {}
    for check in sorted(checks, key=lambda check: list(EVALUATE).index(check.family)):
        batches.setdefault((EVALUATE[check.family], window_of(check)), []).append(check)
    scans = Scans(session)
    for (of_family, window), members in batches.items():
        if of_family in WANT:
            WANT[of_family](session, scans, members, window)
    for (of_family, window), members in batches.items():
        yield from of_family(session, scans, members, window)


def blocking_tables(checks: Iterable[Check], policies: Mapping[str, str]) -> frozenset[str]:
    """The tables that have a blocking check."""
    return frozenset(c.asset for c in checks if c.spec(policies[c.family]).blocking)


def check_definitions(
    checks: Sequence[Check], policies: Mapping[str, str]
) -> list[AssetChecksDefinition]:
    """The checks for Dagster, one step for each layer."""
    steps: dict[str, list[Check]] = {}
    for check in checks:
        steps.setdefault(_step(check), []).append(check)
    return [_definition(name, members, policies) for name, members in steps.items()]


def _step(check: Check) -> str:
    table = TABLES[check.asset]
    if table.partitioning == "monthly":
        return f"monthly_{table.group}_checks"
    if table.group in ("staging", "core", "marts"):
        return "model_checks"
    if table.is_optional:
        # Events wait for the checks of the batches, and their comparison follows the events.
        return f"{table.name}_checks"
    return f"{table.group}_checks"


def _definition(
    name: str, checks: Sequence[Check], policies: Mapping[str, str]
) -> AssetChecksDefinition:
    by_key = {AssetCheckKey(AssetKey(check.asset), check.name): check for check in checks}
    assert len(by_key) == len(checks), f"two checks of one table have one name in {name}"
    blocking: dict[str, set[AssetCheckKey]] = {}
    for key, check in by_key.items():
        if check.spec(policies[check.family]).blocking:
            blocking.setdefault(check.asset, set()).add(key)

    @multi_asset_check(
        name=name,
        specs=[check.spec(policies[check.family]) for check in checks],
        can_subset=True,
        pool=POOL,
    )
    def step(
        context: AssetCheckExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[AssetCheckResult]:
        tags = context.run.tags
        selected = [by_key[key] for key in context.selected_asset_check_keys]
        with warehouse.read() as session:
            for finding in evaluate(session, selected, lambda check: check_window(check, tags)):
                yield finding.result(policies[finding.check.family])
        keys = context.selected_asset_check_keys
        done = [table for table, needed in blocking.items() if needed <= keys]
        with warehouse.transaction() as session:
            if session.exists(RECORD):
                for monthly in (False, True):
                    of = [table for table in done if is_monthly(table) == monthly]
                    finish_checks(session, of, run_window(tags, monthly=monthly))

    return step


def check_window(check: Check, tags: Mapping[str, str]) -> Window | None:
    """The window of a run from its tags, by the partitioning of the check's table."""
    return run_window(tags, monthly=TABLES[check.asset].partitioning == "monthly")
