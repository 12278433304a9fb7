"""The quality group: the ledger of every check and every run.

Belongs here: copying Dagster's records of checks and runs into tables that outlive them. Does not
belong here: the checks (`checks`).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pandas as pd
from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetsDefinition,
    DagsterEventType,
    DagsterInstance,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    RunRecord,
    multi_asset,
)

from analytics_assets.assets.common import (
    POOL,
    RETRY,
    code_version,
    markdown_table,
    run_window,
    table_spec,
)
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.windows import replace_window

BATCH = 200  # runs that are asked of the instance at once
CHECKS, RUNS = TABLES["data_quality_metrics"], TABLES["pipeline_executions"]


def quality_assets(upstream: list[str]) -> list[AssetsDefinition]:
    """data_quality_metrics and pipeline_executions, after the tables whose checks they record."""

    @multi_asset(
        name="quality_ledgers",
        specs=[
            table_spec(
                table,
                kinds={"python", "duckdb"},
                deps=upstream,
                partitions_def=None,
                code_version=code_version("assets/quality.py", "schemas/quality.py"),
            )
            for table in (CHECKS, RUNS)
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def quality_ledgers(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[MaterializeResult]:
        with warehouse.transaction() as connection:
            runs = _new_runs(context.instance, _final_runs(connection))
            checks, executions = [], []
            for run in runs:
                assets = _materialized(context.instance, run)
                monthly = any(TABLES[name].partitioning == "monthly" for name in assets & {*TABLES})
                window = run_window(run.dagster_run.tags, monthly=monthly)
                evaluations = _evaluations(context.instance, run, window)
                checks += evaluations
                executions.append(_run_row(run, window, assets, evaluations))
            run_ids = [run.dagster_run.run_id for run in runs]
            connection.register("new_runs", pd.DataFrame({"run_id": run_ids}))
            for table, rows in ((CHECKS, checks), (RUNS, executions)):
                connection.register("new_rows", pd.DataFrame(rows, columns=table.columns))
                replace_window(
                    connection, table, "new_rows", None, where="run_id IN (FROM new_runs)"
                )
            for table, summary in ((CHECKS, _CHECKS_SUMMARY), (RUNS, _RUNS_SUMMARY)):
                count = connection.execute(f"SELECT count(*) FROM {table.relation}").fetchone()
                yield MaterializeResult(
                    asset_key=table.name,
                    metadata={
                        "dagster/row_count": count[0] if count else 0,
                        "newest": _shown(connection, summary),
                    },
                )

    return [quality_ledgers]


_CHECKS_SUMMARY = """
    SELECT asset, count(*) AS checks, count(*) FILTER (passed) AS passed,
        count(*) FILTER (NOT passed AND severity = 'WARN') AS warned,
        count(*) FILTER (NOT passed AND severity = 'ERROR') AS failed
    FROM quality.data_quality_metrics GROUP BY asset ORDER BY failed DESC, warned DESC, asset
"""
_RUNS_SUMMARY = """
    SELECT job, status, started_at, round(seconds, 1) AS seconds, window_start, window_end, assets,
        checks_passed, checks_failed
    FROM quality.pipeline_executions ORDER BY started_at DESC LIMIT 20
"""


def _final_runs(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Runs that had ended when they were recorded: nothing can be added to them."""
    rows = connection.execute(
        f"SELECT run_id FROM {RUNS.relation} WHERE ended_at IS NOT NULL"
    ).fetchall()
    return {run_id for (run_id,) in rows}


def _new_runs(instance: DagsterInstance, final: set[str]) -> list[RunRecord]:
    """Runs of the instance that are not final in the ledger, newest first.

    Stops at the first batch that holds final runs only: older ones were recorded before it.
    """
    found: list[RunRecord] = []
    cursor = None
    while batch := list(instance.get_run_records(limit=BATCH, cursor=cursor)):
        new = [run for run in batch if run.dagster_run.run_id not in final]
        found += new
        if not new:
            break
        cursor = batch[-1].dagster_run.run_id
    return found


def _materialized(instance: DagsterInstance, run: RunRecord) -> set[str]:
    entries = instance.all_logs(
        run.dagster_run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
    )
    keys = (entry.dagster_event.asset_key for entry in entries if entry.dagster_event)
    return {key.path[-1] for key in keys if key}


def _evaluations(
    instance: DagsterInstance, run: RunRecord, window: Window | None
) -> list[dict[str, Any]]:
    rows = {}
    for entry in instance.all_logs(
        run.dagster_run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION
    ):
        event = entry.dagster_event
        evaluation = event.event_specific_data if event else None
        if not isinstance(evaluation, AssetCheckEvaluation):
            continue
        failing = evaluation.metadata.get("failing rows")
        # A retried step evaluates again: the last verdict counts.
        rows[evaluation.asset_key, evaluation.check_name] = {
            "run_id": run.dagster_run.run_id,
            "evaluated_at": _utc(entry.timestamp),
            "asset": evaluation.asset_key.path[-1],
            "check_name": evaluation.check_name,
            "passed": evaluation.passed,
            "severity": evaluation.severity.value,
            "window_start": window.start if window else None,
            "window_end": window.end if window else None,
            "failing_rows": failing.value if failing is not None else None,
            "description": evaluation.description,
        }
    return list(rows.values())


def _run_row(
    run: RunRecord, window: Window | None, assets: set[str], evaluations: list[dict[str, Any]]
) -> dict[str, Any]:
    passed = sum(row["passed"] for row in evaluations)
    return {
        "run_id": run.dagster_run.run_id,
        "job": run.dagster_run.job_name,
        "status": run.dagster_run.status.value,
        "started_at": _utc(run.start_time) if run.start_time else None,
        "ended_at": _utc(run.end_time) if run.end_time else None,
        "seconds": run.end_time - run.start_time if run.end_time and run.start_time else None,
        "window_start": window.start if window else None,
        "window_end": window.end if window else None,
        "assets": len(assets),
        "checks_passed": passed,
        "checks_failed": len(evaluations) - passed,
    }


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC).replace(tzinfo=None)


def _shown(connection: duckdb.DuckDBPyConnection, query: str) -> MetadataValue:
    result = connection.execute(query)
    names = [column[0] for column in result.description or []]
    return markdown_table(names, result.fetchall())
