"""The scores of a day.

Belongs here: the asset that applies the champion. Does not belong here: how it became one
(`churn`), or what became of past scores (`churn_performance`).
"""

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    Failure,
    MetadataValue,
    Output,
    PartitionsDefinition,
    ResourceParam,
    asset,
)

from analytics_assets.assets import plots
from analytics_assets.assets.churn import model_registry
from analytics_assets.assets.common import OWNERS, POOL, RETRY, code_version, table_metadata
from analytics_assets.churn.data import ModelError
from analytics_assets.churn.registry import RegistryError, Version
from analytics_assets.partitions import Window, window_of
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.dagster_types import dagster_type
from analytics_assets.schemas.marts import RISK_BANDS
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.windows import window_predicate

PREDICTIONS = TABLES["churn_predictions"]
CODE = ("churn", "schemas", "assets/churn_scores.py")
BATCH_ROWS = 100_000


def score_assets(settings: Settings, daily: PartitionsDefinition) -> list[AssetsDefinition]:
    """churn_predictions."""

    @asset(
        name=PREDICTIONS.name,
        group_name=PREDICTIONS.group,
        description=PREDICTIONS.description,
        owners=OWNERS,
        tags={"layer": PREDICTIONS.group},
        metadata=table_metadata(PREDICTIONS),
        dagster_type=dagster_type(PREDICTIONS),
        code_version=code_version(*CODE),
        pool=POOL,
        retry_policy=RETRY,
        deps=["customer_analytics_daily", "churn_model"],
        partitions_def=daily,
        backfill_policy=BackfillPolicy.single_run(),
        kinds={"python", "scikitlearn", "mlflow", "duckdb"},
        check_specs=[
            AssetCheckSpec(
                "scored_by_the_champion",
                asset=PREDICTIONS.name,
                description=(
                    "The scores are the champion's: it could be read. Otherwise an earlier model "
                    "has scored."
                ),
            )
        ],
    )
    def churn_predictions(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[Any]:
        window = window_of(context)
        try:
            found = model_registry(settings).load_good()
        except ModelError as error:
            raise Failure(str(error), allow_retries=False) from error
        except RegistryError as error:
            raise Failure(str(error)) from error
        if found is None:
            context.log.warning("No model yet: nothing is predicted.")
            yield Output(
                pd.DataFrame(columns=PREDICTIONS.columns),
                metadata={"no model yet": "see churn_model"},
            )
            yield AssetCheckResult(passed=True, description="There is no champion yet.")
            return
        model, version, problems = found
        for problem in problems:
            context.log.warning(f"Not read, an earlier model scores instead: {problem}")
        if model.trained_to and window.start.isoformat() < model.trained_to:
            context.log.warning(
                f"The model has seen labels up to {model.trained_to}: scores of {window} are not "
                "predictions, and say nothing of how well it predicts."
            )
        with warehouse.read() as connection:
            predictions = predicted(connection, model, window)
        yield Output(predictions, metadata=_prediction_metadata(predictions, version, problems))
        yield AssetCheckResult(
            passed=not problems,
            severity=AssetCheckSeverity.WARN,
            description=(
                " ".join([f"Version {version.number} has scored.", *problems])
                if problems
                else f"Version {version.number}, the champion, has scored."
            ),
        )

    return [churn_predictions]


def predicted(connection: duckdb.DuckDBPyConnection, model: Any, window: Window) -> pd.DataFrame:
    """Rows of churn_predictions for all who had bought by the days of a window.

    Read and scored in batches: only the results of all customers are in memory together.
    """
    from analytics_assets.churn.model import reasons, risk_band

    columns = ", ".join(f'"{name}"' for name in model.inputs)
    reader = connection.sql(
        f"SELECT snapshot_date, as_of, customer_id, {columns} FROM marts.customer_analytics_daily "
        f"WHERE sale_orders > 0 AND {window_predicate('snapshot_date', window)} "
        "ORDER BY snapshot_date, customer_id"
    ).to_arrow_reader(BATCH_ROWS)
    parts = []
    for batch in reader:
        rows = batch.to_pandas()
        matrix = model.matrix(rows)
        probability = model.probability(matrix)
        parts.append(
            rows[["snapshot_date", "as_of", "customer_id"]].assign(
                churn_probability=probability,
                risk_band=risk_band(probability),
                **_expected(model, matrix),
                **reasons(model, matrix, probability),
                model_version=model.version,
            )
        )
    if not parts:
        return pd.DataFrame(columns=PREDICTIONS.columns)
    return pd.concat(parts, ignore_index=True)[PREDICTIONS.columns]


def _expected(model: Any, matrix: pd.DataFrame) -> dict[str, Any]:
    """Expected purchases and values; null where the model was trained without."""
    from analytics_assets.churn.purchases import EXPECTED, expected

    if not model.purchases:
        return dict.fromkeys(EXPECTED, np.nan)
    return dict(expected(model.purchases, matrix, model.horizon_days))


def _prediction_metadata(
    predictions: pd.DataFrame, version: Version, problems: list[str]
) -> dict[str, Any]:
    bands = predictions["risk_band"].value_counts().reindex(RISK_BANDS, fill_value=0)
    chart = plots.bar_chart(
        list(bands.index), bands.tolist(), "Customers by risk band", "customers"
    )
    mean = predictions["churn_probability"].mean() if len(predictions) else 0.0
    return {
        "model version": version.model_version,
        "registered version": version.number,
        **({"fell back because": "; ".join(problems)} if problems else {}),
        "customers": len(predictions),
        "mean probability": float(mean),
        "risk bands": MetadataValue.md(chart),
    }
