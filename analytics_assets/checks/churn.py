"""Whether the churn scores hold: what was predicted, and the inputs that they rest on.

Belongs here: the two warnings, and what asks for another training. Does not belong here: how
performance and drift are measured (`churn`, `assets.churn_performance`).
"""

import duckdb
from dagster import (
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    ResourceParam,
    asset_check,
)

from analytics_assets.assets.common import POOL
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse, relation_kind


def churn_checks() -> list[AssetChecksDefinition]:
    """scores_hold and inputs_hold."""

    @asset_check(
        asset="churn_performance",
        name="scores_hold",
        description="The newest scores whose window has closed were as good as the backtest said.",
        pool=POOL,
    )
    def scores_hold(warehouse: ResourceParam[Warehouse]) -> AssetCheckResult:
        with warehouse.read() as connection:
            return _verdict(
                shortfall(connection), "The newest closed scores held, or there is none."
            )

    @asset_check(
        asset="churn_drift",
        name="inputs_hold",
        description=(
            "Neither an input of the newest scores nor the scores differ much from the training, "
            "beside what grows by construction."
        ),
        pool=POOL,
    )
    def inputs_hold(warehouse: ResourceParam[Warehouse]) -> AssetCheckResult:
        with warehouse.read() as connection:
            return _verdict(drifted(connection), "Inputs and scores are as at training.")

    return [scores_hold, inputs_hold]


def reasons_to_retrain(connection: duckdb.DuckDBPyConnection) -> tuple[str, list[str]]:
    """What speaks for another training.

    Returns:
        The version of the model that the newest scores are of (empty without scores), and reasons;
        none where everything holds.

    """
    version = ""
    if relation_kind(connection, TABLES["churn_drift"]):
        rows = connection.execute(
            "SELECT model_version FROM churn.churn_drift ORDER BY snapshot_date DESC LIMIT 1"
        ).fetchall()
        version = rows[0][0] if rows else ""
    found = [reason for reason in (shortfall(connection), drifted(connection)) if reason]
    return version, found


def shortfall(connection: duckdb.DuckDBPyConnection) -> str | None:
    """In what the newest closed scores were worse than promised; None where they held."""
    if not relation_kind(connection, TABLES["churn_performance"]):
        return None
    rows = connection.execute(
        "SELECT as_of, shortfall FROM churn.churn_performance ORDER BY as_of DESC, model_version "
        "LIMIT 1"
    ).fetchall()
    return f"{rows[0][0]}: {rows[0][1]}" if rows and rows[0][1] else None


def drifted(connection: duckdb.DuckDBPyConnection) -> str | None:
    """What has drifted on the newest day that was scored; None where nothing has."""
    if not relation_kind(connection, TABLES["churn_drift"]):
        return None
    rows = connection.execute(
        "SELECT snapshot_date, feature, verdict, psi FROM churn.churn_drift "
        "WHERE snapshot_date = (SELECT max(snapshot_date) FROM churn.churn_drift) "
        "AND verdict IN ('moderate', 'major') ORDER BY psi DESC"
    ).fetchall()
    if not rows:
        return None
    features = ", ".join(f"{name} ({verdict}, {psi:.2f})" for _, name, verdict, psi in rows)
    return f"{rows[0][0]}: drift of {features}"


def _verdict(problem: str | None, otherwise: str) -> AssetCheckResult:
    return AssetCheckResult(
        passed=problem is None,
        severity=AssetCheckSeverity.WARN,
        description=problem or otherwise,
    )
