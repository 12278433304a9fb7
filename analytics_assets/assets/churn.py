"""The churn model and the scores of a day.

Belongs here: the assets around `churn.training`. Does not belong here: maths (`churn`) or features
(the dbt project).
"""

from datetime import date
from typing import Any

import pandas as pd
from dagster import (
    AssetDep,
    AssetExecutionContext,
    AssetIn,
    AssetsDefinition,
    BackfillPolicy,
    Failure,
    MetadataValue,
    PartitionsDefinition,
    ResourceParam,
    asset,
)

from analytics_assets.assets import plots
from analytics_assets.assets.common import (
    OWNERS,
    POOL,
    RETRY,
    code_version,
    markdown_table,
    table_metadata,
)
from analytics_assets.partitions import window_of
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.churn import FEATURE_COLUMNS
from analytics_assets.schemas.dagster_types import dagster_type
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse, relation_kind

_SHOWN = ["candidate", "is_chosen", "roc_auc", "average_precision", "brier", "log_loss"]


def churn_assets(settings: Settings, daily: PartitionsDefinition) -> list[AssetsDefinition]:
    """churn_model and churn_predictions."""
    return [_churn_model(settings), _churn_predictions(daily)]


def _common(name: str, *code: str, knobs: str = "") -> dict[str, Any]:
    table = TABLES[name]
    return {
        "name": name,
        "group_name": table.group,
        "description": table.description,
        "owners": OWNERS,
        "tags": {"layer": table.group},
        "metadata": table_metadata(table),
        "dagster_type": dagster_type(table),
        "code_version": f"{code_version(*code)}{knobs}",
        "pool": POOL,
        "retry_policy": RETRY,
    }


def _churn_model(settings: Settings) -> AssetsDefinition:
    columns = ["as_of", "customer_id", *FEATURE_COLUMNS, "churned"]

    @asset(
        ins={"churn_features": AssetIn(metadata={"columns": columns})},
        kinds={"python", "scikitlearn", "duckdb"},
        **_common(
            "churn_model",
            "churn",
            "schemas",
            knobs=f"-{settings.churn_horizon_days}-{settings.seed}",
        ),
    )
    def churn_model(
        context: AssetExecutionContext,
        churn_features: pd.DataFrame,
        warehouse: ResourceParam[Warehouse],
    ) -> Any:
        # Imported here: scikit-learn would double the time that the definitions take to load.
        from analytics_assets.churn import training

        try:
            result = training.train(
                churn_features, FEATURE_COLUMNS, settings.churn_horizon_days, settings.seed
            )
        except training.HistoryError as error:
            if _chosen_model(warehouse):
                raise Failure(f"The model in use stays: {error}", allow_retries=False) from error
            # A young shop is no fault: its days go on without predictions until there is history.
            context.log.warning(f"No model yet: {error}")
            context.add_output_metadata({"no model yet": str(error)})
            return pd.DataFrame(columns=TABLES["churn_model"].columns)
        except training.TrainingError as error:
            raise Failure(str(error), allow_retries=False) from error
        candidates = result.candidates.assign(
            model_version=result.model_version,
            horizon_days=result.horizon_days,
            artifact=None,
        )[TABLES["churn_model"].columns]
        candidates.loc[candidates["is_chosen"], "artifact"] = training.dump_model(result.model)
        chosen = candidates[candidates["is_chosen"]].iloc[0]
        context.add_output_metadata(
            {
                "model version": result.model_version,
                "chosen": result.chosen,
                "roc_auc": float(chosen["roc_auc"]),
                "log_loss": float(chosen["log_loss"]),
                "tested as of": str(chosen["test_as_of"])[:10],
                "candidates": markdown_table(_SHOWN, candidates[_SHOWN].itertuples(index=False)),
                "calibration": MetadataValue.md(
                    plots.reliability_curve(result.reliability, "Calibration on the hold-out")
                ),
            }
        )
        return candidates

    return churn_model


def _churn_predictions(daily: PartitionsDefinition) -> AssetsDefinition:
    columns = ["snapshot_date", "as_of", "customer_id", "sale_orders", *FEATURE_COLUMNS]

    @asset(
        ins={
            "customer_analytics_daily": AssetIn(metadata={"columns": list(dict.fromkeys(columns))})
        },
        deps=[AssetDep("churn_model")],
        partitions_def=daily,
        backfill_policy=BackfillPolicy.single_run(),
        kinds={"python", "scikitlearn", "duckdb"},
        **_common("churn_predictions", "churn", "schemas"),
    )
    def churn_predictions(
        context: AssetExecutionContext,
        customer_analytics_daily: pd.DataFrame,
        warehouse: ResourceParam[Warehouse],
    ) -> Any:
        from analytics_assets.churn import training

        chosen = _chosen_model(warehouse)
        if chosen is None:
            context.log.warning("No model yet: nothing is predicted.")
            context.add_output_metadata({"no model yet": "see churn_model"})
            return pd.DataFrame(columns=TABLES["churn_predictions"].columns)
        version, artifact, trained_to = chosen
        window = window_of(context)
        if window.start < trained_to:
            context.log.warning(
                f"The model has seen labels up to {trained_to}: scores of {window} are not "
                "predictions, and say nothing of how well it predicts."
            )
        buyers = customer_analytics_daily[customer_analytics_daily["sale_orders"] > 0]
        probability = training.score(training.load_model(artifact), buyers, FEATURE_COLUMNS)
        predictions = pd.DataFrame(
            {
                "snapshot_date": buyers["snapshot_date"],
                "as_of": buyers["as_of"],
                "customer_id": buyers["customer_id"],
                "churn_probability": probability,
                "risk_band": training.risk_band(probability),
                "model_version": version,
            }
        )
        bands = predictions["risk_band"].value_counts().reindex(training.RISK_BANDS, fill_value=0)
        context.add_output_metadata(
            {
                "model version": version,
                "customers": len(predictions),
                "mean probability": float(probability.mean()) if len(predictions) else 0.0,
                "risk bands": MetadataValue.md(
                    plots.bar_chart(
                        list(bands.index), bands.tolist(), "Customers by risk band", "customers"
                    )
                ),
            }
        )
        return predictions

    return churn_predictions


def _chosen_model(warehouse: Warehouse) -> tuple[str, bytes, date] | None:
    """Version and bytes of the model in use, and the end of the last label it was fitted on."""
    with warehouse.read() as connection:
        if relation_kind(connection, TABLES["churn_model"]) is None:
            return None
        row = connection.execute(
            "SELECT model_version, artifact, test_as_of + horizon_days "
            "FROM churn.churn_model WHERE is_chosen"
        ).fetchone()
    return (row[0], bytes(row[1]), row[2]) if row else None
