"""The quality group: the ledger of every check and every run.

Belongs here: copying Dagster's records of checks and runs into tables. Does not belong here: the
checks (`checks`).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from dagster import (
    AssetCheckEvaluation,
    AssetExecutionContext,
    AssetsDefinition,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    RunRecord,
    multi_asset,
)

from analytics_assets.assets.common import RETRY, code_version, table_spec
from analytics_assets.checks.score import scores
from analytics_assets.partitions import Window, run_window
from analytics_assets.reports import plots
from analytics_assets.reports.markdown import markdown_table
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session

TABLES_PLOTTED = 6  # more lines would be hard to distinguish
NO_ROWS = MetadataValue.md("no rows yet")
BATCH = 200  # runs to read from the instance at once
CHECKS, RUNS = TABLES["data_quality_metrics"], TABLES["pipeline_executions"]
SCORES = TABLES["data_quality_scores"]
# Of a run with this tag the events are gone, except the newest materializations.
PRUNED_TAG = "analytics/pruned"
CODE = ("assets/quality/ledgers.py", "checks/score.py", "schemas/quality.py")
# For a check that a team has added without these metadata.
OTHER = {"family": "other", "dimension": "validity"}
# Table to its checks by name, with the declared metadata of each (family, dimension).
Declared = Mapping[str, Mapping[str, Mapping[str, Any]]]


def quality_assets(upstream: list[str], expected: Declared) -> list[AssetsDefinition]:
    """The ledgers and the scores, after the tables whose checks they record.

    Args:
        upstream: the tables.
        expected: the checks that should run whenever a table is materialized.
    """

    @multi_asset(
        name="quality_ledgers",
        specs=[
            table_spec(table, deps=upstream, code_version=code_version(*CODE))
            for table in (CHECKS, SCORES, RUNS)
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def quality_ledgers(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[MaterializeResult]:
        with warehouse.transaction() as session:
            record_runs(session, context.instance, expected)
            months = [table.name for table in TABLES.values() if table.partitioning == "monthly"]
            session.replace_window(SCORES, f"({scores(months)})", None)
            for name, summary in SUMMARIES.items():
                plot = _score_history(session) if name == SCORES.name else {}
                yield MaterializeResult(
                    asset_key=name,
                    metadata={
                        "dagster/row_count": session.count(f"quality.{name}"),
                        "newest": _shown(session, summary),
                        **plot,
                    },
                )

    return [quality_ledgers]


def record_runs(session: Session, instance: DagsterInstance, expected: Declared) -> None:
    """Add the runs that the ledgers lack, and the verdicts of their checks."""
    runs = _new_runs(instance, recorded_runs(session))
    checks, executions = [], []
    for run in runs:
        assets = _materialized(instance, run)
        monthly = any(TABLES[name].partitioning == "monthly" for name in assets & {*TABLES})
        window = run_window(run.dagster_run.tags, monthly=monthly)
        evaluations = _evaluations(instance, run, window)
        pruned = PRUNED_TAG in run.dagster_run.tags
        if run.dagster_run.status == DagsterRunStatus.SUCCESS and not pruned:
            evaluations += _not_run(run, window, assets, evaluations, expected)
        checks += evaluations
        executions.append(_run_row(run, window, assets, evaluations))
    run_ids = [run.dagster_run.run_id for run in runs]
    session.register("new_runs", pd.DataFrame({"run_id": run_ids}))
    for table, rows in ((CHECKS, checks), (RUNS, executions)):
        session.register("new_rows", pd.DataFrame(rows, columns=table.columns))
        session.replace_window(table, "new_rows", None, where="run_id IN (FROM new_runs)")


SUMMARIES = {
    CHECKS.name: """
        SELECT asset, count(*) AS checks, count(*) FILTER (passed) AS passed,
            count(*) FILTER (NOT passed AND severity = 'WARN') AS warned,
            count(*) FILTER (NOT passed AND severity = 'ERROR') AS failed,
            count(*) FILTER (NOT ran) AS "did not run", round(sum(seconds), 2) AS seconds
        FROM quality.data_quality_metrics WHERE day IS NULL
        GROUP BY asset ORDER BY failed DESC, warned DESC, asset
    """,
    SCORES.name: """
        SELECT * REPLACE (round(score, 4) AS score) FROM quality.data_quality_scores
        QUALIFY row_number() OVER (PARTITION BY asset ORDER BY day DESC) = 1
        ORDER BY score, asset
    """,
    RUNS.name: """
        SELECT job, status, started_at, round(seconds, 1) AS seconds, window_start, window_end,
            assets, checks_passed, checks_failed
        FROM quality.pipeline_executions ORDER BY started_at DESC LIMIT 20
    """,
}


def _score_history(session: Session) -> dict[str, MetadataValue]:
    """Plots of the score by day: of the layers' means, and of the tables that lost most."""
    groups = {table.name: table.group for table in TABLES.values()}
    frame = session.frame("SELECT asset, day, score FROM quality.data_quality_scores")
    frame["layer"] = frame["asset"].map(groups)
    layers = frame.pivot_table(index="day", columns="layer", values="score", aggfunc="mean")
    tables = frame.pivot(index="day", columns="asset", values="score")
    # Tables without partitions may have a score on the last day only; a line needs two days.
    layers, tables = (of.loc[:, of.notna().sum() > 1] for of in (layers, tables))
    lowest = tables[tables.mean().sort_values(kind="stable").index[:TABLES_PLOTTED]]
    return {
        name: MetadataValue.md(
            plots.line_chart(
                of.index.tolist(),
                {str(line): of[line].tolist() for line in of.columns},
                title,
                "score, 0 to 1",
            )
        )
        for name, of, title in (
            ("history", layers, "Quality score by layer"),
            ("history of tables", lowest, f"Lowest quality scores: {', '.join(lowest.columns)}"),
        )
    }


def recorded_runs(session: Session) -> set[str]:
    """Runs that had ended when they were recorded, so their rows are final."""
    if not session.exists(RUNS):
        return set()
    rows = session.rows(f"SELECT run_id FROM {RUNS.relation} WHERE ended_at IS NOT NULL")
    return {run_id for (run_id,) in rows}


def _new_runs(instance: DagsterInstance, final: set[str]) -> list[RunRecord]:
    """Runs of the instance that are not final in the ledger, newest first.

    It stops at the first batch of only final runs: older ones were recorded before.
    """
    runs: list[RunRecord] = []
    cursor = None
    while batch := list(instance.get_run_records(limit=BATCH, cursor=cursor)):
        new = [run for run in batch if run.dagster_run.run_id not in final]
        runs += new
        if not new:
            break
        cursor = batch[-1].dagster_run.run_id
    return runs


def _materialized(instance: DagsterInstance, run: RunRecord) -> set[str]:
    # Not from the events: there is one for each partition, and each would be read in full.
    keys = instance.get_asset_partitions_for_run(
        run.dagster_run.run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION
    )
    return {key.path[-1] for key in keys}


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
        # A retried step evaluates its checks again: the last verdict counts.
        rows[evaluation.asset_key, evaluation.check_name] = _verdict(
            run.dagster_run.run_id, entry.timestamp, evaluation, window
        )
    return [row for of_check in rows.values() for row in of_check]


def _verdict(
    run_id: str, timestamp: float, evaluation: AssetCheckEvaluation, window: Window | None
) -> list[dict[str, Any]]:
    """The row of a check, and one for each of its days."""
    metadata: dict[str, Any] = {
        name: value.value for name, value in evaluation.metadata.items() if hasattr(value, "value")
    }
    asset, name = evaluation.asset_key.path[-1], evaluation.check_name
    days_checked = window if "window" in metadata else None
    row = _row(run_id, timestamp, asset, name, days_checked, metadata) | {
        "passed": evaluation.passed,
        "severity": evaluation.severity.value,
        "rows_checked": metadata.get("rows checked"),
        "failing_rows": metadata.get("failing rows"),
        "share": metadata.get("share"),
        "figure": metadata.get("figure"),
        "threshold": metadata.get("threshold"),
        "seconds": metadata.get("seconds"),
        "description": evaluation.description,
    }
    days = [
        row
        | {
            "day": date.fromisoformat(day),
            "passed": not failing,
            "rows_checked": rows,
            "failing_rows": failing,
            "share": failing / rows if rows else None,
            **dict.fromkeys(("figure", "seconds", "description")),
        }
        for day, (rows, failing) in metadata.get("by day", {}).items()
    ]
    return [row, *days]


def _row(
    run_id: str,
    timestamp: float,
    asset: str,
    name: str,
    window: Window | None,
    declared: Mapping[str, Any],
) -> dict[str, Any]:
    """The values that every row of the ledger has."""
    return {
        **dict.fromkeys(CHECKS.columns),
        "run_id": run_id,
        "evaluated_at": _utc(timestamp),
        "asset": asset,
        "check_name": name,
        **{word: declared.get(word, other) for word, other in OTHER.items()},
        "ran": True,
        "window_start": window.start if window else None,
        "window_end": window.end if window else None,
    }


def _not_run(
    run: RunRecord,
    window: Window | None,
    assets: set[str],
    evaluations: list[dict[str, Any]],
    expected: Declared,
) -> list[dict[str, Any]]:
    """Rows of the checks that a successful run should have evaluated and did not.

    Dagster shows a run that leaves checks out as a success.
    """
    evaluated = {(row["asset"], row["check_name"]) for row in evaluations}
    missing = sorted(
        (asset, name)
        for asset in assets
        for name in expected.get(asset, ())
        if (asset, name) not in evaluated
    )
    return [
        _row(
            run.dagster_run.run_id,
            run.end_time or run.create_timestamp.timestamp(),
            asset,
            name,
            window if TABLES[asset].partitioning else None,
            expected[asset][name],
        )
        | {
            "ran": False,
            "passed": False,
            "severity": "ERROR",
            "description": "The check did not run, though the run that made the table succeeded.",
        }
        for asset, name in missing
    ]


def _run_row(
    run: RunRecord, window: Window | None, assets: set[str], evaluations: list[dict[str, Any]]
) -> dict[str, Any]:
    verdicts = [row for row in evaluations if row["day"] is None]
    passed = sum(row["passed"] for row in verdicts)
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
        "checks_failed": len(verdicts) - passed,
    }


def _utc(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC).replace(tzinfo=None)


def _shown(session: Session, query: str) -> MetadataValue:
    rows = session.records(query)
    return markdown_table(rows[0], (row.values() for row in rows)) if rows else NO_ROWS
