"""The scores of a day.

Belongs here: the asset that applies the champion to customers. Does not belong here: how it became
one (`churn`), what every scoring goes through (`scoring`), or what became of past scores
(`churn_performance`).
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Output,
    PartitionsDefinition,
    ResourceParam,
    asset,
)

from analytics_assets.assets.churn.model import model_registry
from analytics_assets.assets.churn.scoring import (
    BATCH_ROWS,
    champion_verdict,
    score_asset,
    score_metadata,
    scored,
    usable_model,
)
from analytics_assets.assets.common import backfill_policy, code_version
from analytics_assets.assets.quality.blocking import wait_for_loads
from analytics_assets.churn.data import ModelError
from analytics_assets.churn.registry import Registry
from analytics_assets.partitions import KEEP_MODELS_TAG, Window, window_of
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import window_predicate

PREDICTIONS = TABLES["churn_predictions"]
CODE = ("churn", "schemas", "assets/churn/predictions.py", "assets/churn/scoring.py")


def score_assets(
    settings: Settings, sources: SourcesConfig, daily: PartitionsDefinition
) -> list[AssetsDefinition]:
    """churn_predictions."""
    policy = settings.checks["churn"]

    @asset(
        **score_asset(PREDICTIONS, policy),
        code_version=code_version(*CODE),
        deps=["customer_analytics_daily", "churn_model"],
        partitions_def=daily,
        backfill_policy=backfill_policy(settings.max_run_days, sources),
    )
    def churn_predictions(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[Any]:
        window = window_of(context)
        wait_for_loads(warehouse)
        found = usable_model(context, model_registry(settings))
        if found is None:
            yield Output(
                pd.DataFrame(columns=PREDICTIONS.columns),
                metadata={"no model yet": "see churn_model"},
            )
            yield from champion_verdict(PREDICTIONS, policy)
            return
        model, version, problems = found
        keep = context.run.tags.get(KEEP_MODELS_TAG) == "true"
        if not keep and has_seen(model, window.start):
            context.log.warning(
                f"The model has seen labels up to {model.trained_to}: scores of {window} are not "
                "predictions, and say nothing of how well it predicts."
            )
        with warehouse.read() as session:
            if keep:
                registry = model_registry(settings)
                predictions = predicted_again(session, registry, model, window)
            else:
                predictions = predicted(session, model, window)
        yield Output(predictions, metadata=score_metadata(predictions, version, problems))
        yield from champion_verdict(PREDICTIONS, policy, predictions, version, problems)

    return [churn_predictions]


def has_seen(model: Any, day: date) -> bool:
    """Whether labels that the model was trained on tell what followed a day."""
    return bool(model.trained_to) and day.isoformat() < model.trained_to


def predicted_again(
    session: Session, registry: Registry, champion: Any, window: Window
) -> pd.DataFrame:
    """Rows of churn_predictions for days whose snapshots were built again.

    Each day is scored by the model that scored it before, so that it stays a prediction. A day
    that was not scored, or whose model cannot be read, is the champion's, unless it has seen what
    followed: then nothing would be predicted, and the day has no scores.
    """
    before: dict[date, str] = {}
    if session.exists(PREDICTIONS):
        before = dict(
            session.rows(
                f"SELECT DISTINCT snapshot_date, model_version FROM {PREDICTIONS.relation} "
                f"WHERE {window_predicate('snapshot_date', window)}"
            )
        )
    models: dict[str | None, Any] = {champion.version: champion}
    parts = []
    for day in window:
        version = before.get(day)
        if version and version not in models:
            found = registry.find(version)
            try:
                models[version] = registry.load(found) if found else None
            except ModelError:
                models[version] = None
        model = models.get(version) or (None if has_seen(champion, day) else champion)
        if model:
            parts.append(predicted(session, model, Window(day, day + timedelta(days=1))))
    if not parts:
        return pd.DataFrame(columns=PREDICTIONS.columns)
    return pd.concat(parts, ignore_index=True)


def predicted(session: Session, model: Any, window: Window) -> pd.DataFrame:
    """Rows of churn_predictions for all who had bought by the days of a window."""
    # As doubles, which is what the model reads: a DECIMAL would become an object for each value.
    columns = ", ".join(f'"{name}"::DOUBLE AS "{name}"' for name in model.inputs)
    rows = session.batches(
        f"SELECT snapshot_date, as_of, customer_id, {columns} FROM marts.customer_analytics_daily "
        f"WHERE sale_orders > 0 AND {window_predicate('snapshot_date', window)} "
        "ORDER BY snapshot_date, customer_id",
        BATCH_ROWS,
    )
    return scored(rows, model, PREDICTIONS, lambda batch, matrix, _: _expected(model, matrix))


def _expected(model: Any, matrix: pd.DataFrame) -> dict[str, Any]:
    """Expected purchases and values; null where the model was trained without.

    Or where it was trained on the money of all purchases, as models once were.
    """
    from analytics_assets.lifetime.purchases import EXPECTED, expected

    if "history" not in model.purchases:
        return dict.fromkeys(EXPECTED, np.nan)
    return dict(expected(model.purchases, matrix, model.horizon_days))
