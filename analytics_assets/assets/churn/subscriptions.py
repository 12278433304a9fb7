"""Churn of subscribers: a classifier, and the scores of those who have stayed.

Belongs here: the assets on a table of subscribers that says who has left. Does not belong here:
what they share with the model of customers (`registration`, `scoring`), or maths (`churn` of the
package).

A table of subscribers is one snapshot: there are no dates to test on, so the model is
cross-validated. It needs no orders.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    Output,
    ResourceParam,
    asset,
    multi_asset,
)

from analytics_assets.assets.churn.model import (
    model_registry,
    sample_of_customers,
    training_plan,
)
from analytics_assets.assets.churn.registration import candidate_rows, keep_rows, train_and_register
from analytics_assets.assets.churn.scoring import (
    BATCH_ROWS,
    champion_verdict,
    score_asset,
    score_metadata,
    scored,
    usable_model,
)
from analytics_assets.assets.common import RETRY, code_version, table_spec
from analytics_assets.assets.quality.blocking import hold_back_training, wait_for_loads
from analytics_assets.churn.data import FeatureSet
from analytics_assets.churn.registry import Registry
from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.sources.declared.subscriptions import SUBSCRIPTIONS
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session

MODEL, PREDICTIONS = TABLES["subscription_model"], TABLES["subscription_predictions"]
CODE = (
    *("churn", "schemas"),
    *("assets/churn/subscriptions.py", "assets/churn/registration.py", "assets/churn/scoring.py"),
)
NUMBERS = ("tenure_months", "monthly_charges", "total_charges")
NAMES = ("contract", "payment_method")
SUBSCRIBERS = "marts.subscription_analytics"
VALUE, YEAR = "charges_of_a_year", "monthly_charges::DOUBLE * 12"
FOLDS = 5


def subscription_registry(settings: Settings) -> Registry:
    """The registry of the model of subscribers, next to that of customers."""
    return model_registry(settings, SUBSCRIPTIONS.name)


def subscription_assets(settings: Settings, attributes: tuple[str, ...]) -> list[AssetsDefinition]:
    """subscription_model and subscription_predictions.

    Args:
        settings: the settings.
        attributes: further columns of the source to learn from.
    """
    version = code_version(*CODE)
    knobs = (
        settings.churn_training_rows,
        settings.churn_boosting_iterations,
        settings.contact_cost,
        settings.contact_success,
        settings.seed,
    )

    @multi_asset(
        name=MODEL.name,
        specs=[
            table_spec(
                MODEL,
                kinds={"python", "scikitlearn", "mlflow", "duckdb"},
                deps=["subscription_analytics"],
                code_version="-".join(map(str, (version, *knobs, *attributes))),
            )
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def subscription_model(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> MaterializeResult:
        hold_back_training(context, warehouse)
        with warehouse.read() as session:
            frame, features = training_rows(session, attributes, settings.churn_training_rows)
        outcome = train_and_register(
            context,
            subscription_registry(settings),
            frame,
            features,
            replace(training_plan(settings), horizon_days=0, dates=FOLDS),
            version,
        )
        rows = pd.DataFrame(columns=MODEL.columns)
        metadata: dict[str, Any] = {"no model yet": outcome}
        if not isinstance(outcome, str):
            result, registered, metadata = outcome
            rows = candidate_rows(result, registered)
        counts = keep_rows(warehouse, {MODEL: rows})
        return MaterializeResult(
            asset_key=MODEL.name, metadata={"dagster/row_count": counts[MODEL], **metadata}
        )

    @asset(
        **score_asset(PREDICTIONS, settings.checks["churn"]),
        code_version=version,
        deps=["subscription_analytics", "subscription_model"],
    )
    def subscription_predictions(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[Any]:
        wait_for_loads(warehouse)
        usable = usable_model(context, subscription_registry(settings))
        if usable is None:
            yield Output(
                pd.DataFrame(columns=PREDICTIONS.columns),
                metadata={"no model yet": "see subscription_model"},
            )
            yield from champion_verdict(PREDICTIONS, settings.checks["churn"])
            return
        model, registered, problems = usable
        with warehouse.read() as session:
            predictions = predicted(session, model)
        yield Output(predictions, metadata=score_metadata(predictions, registered, problems))
        yield from champion_verdict(
            PREDICTIONS, settings.checks["churn"], predictions, registered, problems
        )

    return [subscription_model, subscription_predictions]


def training_rows(
    session: Session, attributes: tuple[str, ...], most: int
) -> tuple[pd.DataFrame, FeatureSet]:
    """Subscribers, and the roles of their columns.

    An attribute is a number if all its values are, else a category. Columns without any value are
    left out. The value of a subscriber is what they pay in a year.

    Args:
        session: the warehouse.
        attributes: names of the attributes.
        most: rows to read; beyond, a sample of subscribers.
    """
    numeric = [name for name in attributes if _is_numeric(session, name)]
    numbers = (*NUMBERS, *numeric)
    names = (*NAMES, *(name for name in attributes if name not in numeric))
    frame = session.frame(
        f"SELECT customer_id, churned, {_features(numbers, names)}, {YEAR} AS {VALUE} "
        f"FROM {SUBSCRIBERS} WHERE {sample_of_customers(session, SUBSCRIBERS, 'TRUE', most)} "
        "ORDER BY customer_id"
    )
    columns = tuple(name for name in (*numbers, *names) if frame[name].notna().any())
    categorical = tuple(name for name in names if name in columns)
    return frame, FeatureSet(columns, categorical=categorical, value=VALUE)


def predicted(session: Session, model: Any) -> pd.DataFrame:
    """Rows of subscription_predictions."""
    numbers = [name for name in model.inputs if name not in model.categorical]
    rows = session.batches(
        f"SELECT customer_id, {YEAR} AS {VALUE}, {_features(numbers, model.categorical)} "
        f"FROM {SUBSCRIBERS} WHERE NOT churned ORDER BY customer_id",
        BATCH_ROWS,
    )
    return scored(
        rows,
        model,
        PREDICTIONS,
        lambda batch, _, probability: {"expected_loss": (probability * batch[VALUE]).round(4)},
    )


def _features(numbers: Sequence[str], names: Sequence[str]) -> str:
    columns = [
        *((name, _number(name)) for name in numbers),
        *((name, _text(name)) for name in names),
    ]
    return ", ".join(f"{value} AS {identifier(name)}" for name, value in columns)


def _text(name: str) -> str:
    """SQL of a feature: a column of the table, or an attribute as text."""
    if name in (*NUMBERS, *NAMES):
        return identifier(name)
    path = f'$."{name}"'
    return f"json_extract_string(attributes, {literal(path)})"


def _number(name: str) -> str:
    """SQL of a feature as a number; null where it is not a finite one."""
    number = f"TRY_CAST({_text(name)} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _is_numeric(session: Session, name: str) -> bool:
    numbers = f"count({_text(name)}) IN (0, count({_number(name)}))"
    return bool(session.value(f"SELECT {numbers} FROM {SUBSCRIBERS}"))
