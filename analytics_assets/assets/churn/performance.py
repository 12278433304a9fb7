"""How good past scores were, and whether the inputs still resemble those of the training.

Belongs here: the assets around `churn.performance` and `churn.drift`. Does not belong here: the
checks (`checks.predictions`), or the scores (`predictions`).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    DagsterEventType,
    DagsterInstance,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets.churn.model import model_registry, training_plan
from analytics_assets.assets.common import RETRY, code_version, table_spec
from analytics_assets.churn.data import ModelError, customer_value
from analytics_assets.churn.registry import Registry, RegistryError
from analytics_assets.reports import plots
from analytics_assets.reports.markdown import markdown_table
from analytics_assets.schemas import TABLES, Table
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session

PERFORMANCE, DRIFT = TABLES["churn_performance"], TABLES["churn_drift"]
CODE = ("churn", "schemas", "assets/churn/performance.py")
_MEASURES = (
    *("as_of", "model_version", "customers", "mean_predicted", "prevalence"),
    *("roc_auc", "log_loss", "calibration_slope", "shortfall"),
)
_DRIFTS = ("snapshot_date", "feature", "psi", "expected_psi", "p_value", "verdict")


def performance_assets(settings: Settings) -> list[AssetsDefinition]:
    """churn_performance with churn_drift."""

    @multi_asset(
        name="churn_watch",
        specs=[
            table_spec(
                table,
                kinds={"python", "scikitlearn", "duckdb"},
                deps=["churn_predictions", "churn_model", *deps],
                partitions_def=None,
                code_version=code_version(*CODE),
            )
            for table, deps in ((PERFORMANCE, ["churn_windows", "churn_outcomes"]), (DRIFT, []))
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def churn_watch(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[MaterializeResult]:
        with warehouse.read() as session:
            changed = _changed_since(context.instance, session)
            due, seen = _due_windows(session, settings.refresh_days, changed)
            measured = [_measured(session, settings, *key) for key in due]
            drifts = [
                row
                for day, version in _days_of_drift(session, changed)
                for row in _drifts(context, session, model_registry(settings), day, version)
            ]
        made = {
            PERFORMANCE: pd.DataFrame(measured, columns=PERFORMANCE.columns),
            DRIFT: pd.DataFrame(drifts, columns=DRIFT.columns),
        }
        with warehouse.transaction() as session:
            for table, where in (
                (
                    PERFORMANCE,
                    "(as_of, model_version) IN (SELECT (as_of::DATE, model_version) FROM made)",
                ),
                (DRIFT, "snapshot_date IN (SELECT snapshot_date::DATE FROM made)"),
            ):
                session.register("made", made[table])
                session.replace_window(table, "made", None, where=where)
            shown = {table: _shown(session, table) for table in made}
        notes = {"measured now": len(measured), "scores that are no predictions": seen}
        yield MaterializeResult(asset_key=PERFORMANCE.name, metadata=notes | shown[PERFORMANCE])
        yield MaterializeResult(asset_key=DRIFT.name, metadata=shown[DRIFT])

    return [churn_watch]


def _shown(session: Session, table: Table) -> dict[str, Any]:
    """Row count, the newest rows as a table, and the plot of what was predicted."""
    columns, order = {
        PERFORMANCE.name: (_MEASURES, "as_of DESC, model_version"),
        DRIFT.name: (_DRIFTS, "snapshot_date DESC, psi DESC, feature"),
    }[table.name]
    rows = session.rows(
        f"SELECT {', '.join(columns)} FROM {table.relation} ORDER BY {order} LIMIT 30"
    )
    shown: dict[str, Any] = {"dagster/row_count": session.count(table.relation)}
    if rows:
        shown["newest"] = markdown_table(columns, rows)
    if rows and table is PERFORMANCE:
        days, _, _, predicted, churned, *_ = zip(*reversed(rows), strict=True)
        series = {"predicted": predicted, "churned": churned}
        chart = plots.line_chart(
            days, series, "Predicted and observed churn by as-of date", "share"
        )
        shown["predicted and observed"] = MetadataValue.md(chart)
    return shown


@dataclass(frozen=True)
class Changed:
    """What has changed since performance and drift were measured last.

    Attributes:
        days: the first day whose rows did, as an SQL date.
        scored: SQL list of the days that were scored.
    """

    days: str = "NULL::DATE"
    scored: str = "(NULL)"


def _changed_since(instance: DagsterInstance, session: Session) -> Changed:
    records = instance.fetch_materializations(AssetKey(PERFORMANCE.name), limit=1).records
    if not records:
        return Changed()
    at = datetime.fromtimestamp(records[0].timestamp, UTC).replace(tzinfo=None)
    scored = instance.get_latest_storage_id_by_partition(
        AssetKey("churn_predictions"),
        DagsterEventType.ASSET_MATERIALIZATION,
        after_cursor=records[0].storage_id,
    )
    first = session.value(
        "SELECT min(window_date) FROM raw.source_loads WHERE changed_at > ?", [at]
    )
    days = ", ".join(f"DATE '{day}'" for day in scored)
    return Changed(f"DATE '{first}'" if first else Changed.days, f"({days or 'NULL'})")


def _due_windows(
    session: Session, refresh_days: int, changed: Changed
) -> tuple[list[tuple[date, str, float]], int]:
    """The closed windows that are to be measured.

    Those that were measured are measured again while late rows may still come, and where rows
    before their end, or the scores, have changed.

    Returns:
        as_of, model version and the lower end of the AUC that the backtest promised, for each; and
        how many more are no predictions, because the model had seen labels from after as_of.

    """
    measured = "FALSE"
    if session.exists(PERFORMANCE):
        measured = (
            f"(as_of, model_version) IN (SELECT (as_of, model_version) FROM {PERFORMANCE.relation})"
        )
    rows = session.rows(
        f"""
        SELECT as_of, model_version, promised_auc_low, is_prediction FROM churn.churn_windows
        WHERE NOT {measured} OR label_end > (
            SELECT max(window_date) + 1 - {refresh_days} FROM raw.source_loads
            WHERE source = 'orders'
        ) OR label_end > {changed.days} OR snapshot_date IN {changed.scored}
        ORDER BY ALL
        """
    )
    return [row[:3] for row in rows if row[3]], sum(not row[3] for row in rows)


def _measured(
    session: Session,
    settings: Settings,
    as_of: date,
    version: str,
    promised: float,
) -> dict[str, Any]:
    """A row of churn_performance."""
    from analytics_assets.churn.performance import measure, shortfalls

    outcomes = session.frame(
        "SELECT churn_probability, churned, horizon_days, net_amount, tenure_days "
        "FROM churn.churn_outcomes WHERE as_of = ? AND model_version = ? ORDER BY customer_id",
        [as_of, version],
    )
    measured = measure(
        outcomes["churned"].to_numpy(bool),
        outcomes["churn_probability"].to_numpy(float),
        customer_value(outcomes, int(outcomes["horizon_days"].iloc[0])),
        training_plan(settings).economics,
    )
    found = shortfalls(measured, promised)
    return {
        **dict.fromkeys(PERFORMANCE.columns),
        **measured,
        "as_of": as_of,
        "model_version": version,
        "shortfall": "; ".join(found) or None,
    }


def _days_of_drift(session: Session, changed: Changed) -> list[tuple[date, str]]:
    """The newest day that was scored, and days with drift that were scored again; their models."""
    again = "FALSE"
    if session.exists(DRIFT):
        again = f"snapshot_date IN (SELECT snapshot_date FROM {DRIFT.relation})"
    return session.rows(
        "SELECT snapshot_date, any_value(model_version) FROM churn.churn_predictions WHERE "
        "snapshot_date = (SELECT max(snapshot_date) FROM churn.churn_predictions) "
        f"OR ({again} AND snapshot_date IN {changed.scored}) GROUP BY 1 ORDER BY 1"
    )


def _drifts(
    context: AssetExecutionContext, session: Session, registry: Registry, day: date, version: str
) -> list[dict[str, Any]]:
    """Rows of churn_drift for a day that was scored."""
    from analytics_assets.churn import drift
    from analytics_assets.churn.training import SCORE

    try:
        found = registry.find(version)
        model = registry.load(found) if found else None
    except (ModelError, RegistryError) as error:
        context.log.warning(f"Drift of {day} is not known: {error}")
        return []
    if model is None:
        context.log.warning(
            f"Drift of {day} is not known: no version of the registry is {version}."
        )
        return []
    rows = []
    for name, fields in model.drift_reference.items():
        relation = "churn.churn_predictions"
        if name != SCORE:
            relation = "marts.customer_analytics_daily"
        # A column at a time: a day has as many rows as customers.
        values = session.frame(
            f'SELECT "{name}"::DOUBLE AS value FROM {relation} WHERE snapshot_date = ? '
            f"AND {'TRUE' if name == SCORE else 'sale_orders > 0'}",
            [day],
        )["value"].to_numpy(float)
        compared = drift.drift(drift.Reference(**fields), values)
        rows.append({**asdict(compared), "snapshot_date": day, "model_version": version})
    return rows
