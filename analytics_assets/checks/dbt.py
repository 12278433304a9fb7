"""The tests of the dbt project as checks like all others.

Belongs here: the descriptions of tests, and the rows that a failed test lists. Does not belong
here: the tests (SQL of the dbt project), or the step that runs them (`assets.dbt`).

A test declares description, remedy and dimension in its `meta`. It should list the key of each
failing row, and its day where the table has days.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dagster import AssetCheckResult, AssetCheckSeverity

from analytics_assets.checks import rows
from analytics_assets.checks.base import Check, Finding, rows_in_words
from analytics_assets.checks.rows import ListedRows
from analytics_assets.checks.scans import Scans, scan
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.session import Session

REMEDY = "Check the rows that the query lists, and the model that they come from."


def checks(manifest: Mapping[str, Any]) -> dict[tuple[str, str], Check]:
    """A check for each test of a model, by the model and the test's name."""
    tests = (node for node in manifest["nodes"].values() if node["resource_type"] == "test")
    tested = (_check(node, asset) for node in tests if (asset := _tested(node)) in TABLES)
    return {(check.asset, check.name): check for check in tested}


def _tested(node: Mapping[str, Any]) -> str:
    """The model of a test: named in its meta, or the only one that it reads."""
    named = _meta(node).get("dagster", {}).get("ref", {}).get("name")
    models = [node.get("attached_node") or "", *node["depends_on"]["nodes"]]
    return str(named or next(name for name in models if name).split(".")[-1])


def _check(node: Mapping[str, Any], asset: str) -> Check:
    meta = _meta(node)
    described = meta.get("description") or node.get("description")
    return Check(
        "dbt",
        asset,
        node["name"],
        described or f"A test of {TABLES[asset].relation} in the dbt project.",
        meta.get("dimension", "consistency"),
        meta.get("remedy", REMEDY),
        severe_share=0.0 if node["config"]["severity"].lower() == "error" else None,
    )


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return node["config"].get("meta") or {}


def finding(
    session: Session,
    scans: Scans,
    check: Check,
    window: Window | None,
    verdict: AssetCheckResult,
    sql: str,
) -> Finding:
    """The finding of a test, with the failing rows if it has failed.

    Args:
        session: the warehouse after dbt's run.
        scans: of the step: the rows of a table are counted once for all its tests.
        check: the test.
        window: of the run.
        verdict: dagster-dbt's translation of dbt's result.
        sql: the compiled query of the test.
    """
    table = TABLES[check.asset]
    days = window if table.day_column else None
    if verdict.passed:
        counts = scans.days(scan(table.relation, table.day_column, days), "count(*)")
        total = sum(counts.values())
        words = rows_in_words(total, 0)
        result = Finding(check, True, words, window=days, rows=total, failing=0, threshold=0.0)
    elif "dagster_dbt/failed_row_count" in verdict.metadata:
        listed = replace(check, rule=_listed(session, check, sql))
        (result,) = rows.evaluate(session, scans, [listed], window)
    else:
        result = Finding(check, False, "dbt could not evaluate it; its log says more", window=days)
    duration = verdict.metadata.get("Execution Duration")
    return replace(
        result,
        passed=bool(verdict.passed),
        severe=verdict.severity == AssetCheckSeverity.ERROR,
        seconds=float(str(duration.value)) if duration else 0.0,
    )


def _listed(session: Session, check: Check, sql: str) -> ListedRows:
    table = TABLES[check.asset]
    columns = [row["column_name"] for row in session.records(f"DESCRIBE ({sql})")]
    day = table.day_column if table.day_column in columns else "NULL::DATE"
    return ListedRows(
        f"SELECT *, {day} AS day FROM (\n{sql}\n)",
        total=table.relation,
        day_column=table.day_column,
        # No other value of a row leaves the warehouse.
        keys=tuple(name for name in table.key if name in columns),
    )
