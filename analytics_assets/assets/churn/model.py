"""The churn model of customers: trained, tested, registered, and promoted if it is better.

Belongs here: the assets of the model. Does not belong here: the steps of every training
(`registration`), maths (`churn` of the package), features (the dbt project), or scores
(`predictions`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets.churn.registration import candidate_rows, keep_rows, train_and_register
from analytics_assets.assets.common import MONTHLY, RETRY, code_version, table_spec
from analytics_assets.assets.quality.blocking import hold_back_training
from analytics_assets.churn.data import FeatureSet, customer_value
from analytics_assets.churn.registry import Registry, Version
from analytics_assets.lifetime.history import Purchases
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.churn import FEATURE_COLUMNS, RULE_COLUMN, VALUE_COLUMN
from analytics_assets.settings import Settings
from analytics_assets.sources.declared import LEADING, SOURCES
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session

if TYPE_CHECKING:
    from analytics_assets.churn.training import Plan, TrainingResult

MODEL, BACKTEST = TABLES["churn_model"], TABLES["churn_backtest"]
VALUE = "customer_value"
FEATURES = FeatureSet(
    columns=tuple(name for name in FEATURE_COLUMNS if name != VALUE_COLUMN),
    recency="days_since_last_order",
    rule=RULE_COLUMN,
    purchases=Purchases(
        days="active_days",
        tenure="tenure_days",
        silence="days_since_last_order",
        repeat_amount=VALUE_COLUMN,
    ),
    value=VALUE,
    # Counted since the first purchase, session, ticket or registration.
    growing=tuple(
        name
        for name in (
            "tenure_days",
            "days_since_registration",
            "active_days",
            "sale_orders",
            "sale_lines",
            "units",
            "gross_amount",
            "net_amount",
            VALUE_COLUMN,
            "return_lines",
            "returned_amount",
            "sessions_total",
            "tickets_total",
        )
        if name in FEATURE_COLUMNS
    ),
)
CODE = ("churn", "schemas", "assets/churn/model.py", "assets/churn/registration.py")


def model_registry(settings: Settings, source: str = LEADING) -> Registry:
    """The registry of the model that is trained on a source's data; it opens nothing."""
    model = SOURCES[source].model
    assert model
    name = f"{settings.mlflow_model}{model.suffix}"
    return Registry(settings.mlflow_dir, settings.mlflow_uri, name)


def training_assets(settings: Settings) -> list[AssetsDefinition]:
    """churn_model with churn_backtest."""
    knobs = (
        settings.churn_horizon_days,
        settings.churn_test_dates,
        settings.churn_training_rows,
        settings.churn_boosting_iterations,
        settings.contact_cost,
        settings.contact_success,
        settings.seed,
    )
    version = f"{code_version(*CODE)}-{'-'.join(map(str, knobs))}"

    @multi_asset(
        name="churn_training",
        specs=[
            table_spec(
                table,
                kinds={"python", "scikitlearn", "mlflow", "duckdb"},
                deps=["churn_features"],
                code_version=version,
                cadence=MONTHLY,
            )
            for table in (MODEL, BACKTEST)
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def churn_training(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[MaterializeResult]:
        hold_back_training(context, warehouse)
        with warehouse.read() as session:
            frame = _training_rows(session, settings)
        outcome = train_and_register(
            context,
            model_registry(settings),
            frame,
            FEATURES,
            training_plan(settings),
            code_version(*CODE),
        )
        rows = {table: pd.DataFrame(columns=table.columns) for table in (MODEL, BACKTEST)}
        metadata: dict[str, Any] = {"no model yet": outcome}
        if not isinstance(outcome, str):
            result, registered, metadata = outcome
            rows = _result_rows(result, registered)
        counts = keep_rows(warehouse, rows)
        for table, shown in ((MODEL, metadata), (BACKTEST, {})):
            yield MaterializeResult(
                asset_key=table.name, metadata={"dagster/row_count": counts[table], **shown}
            )

    return [churn_training]


def training_plan(settings: Settings) -> "Plan":
    """The plan of a training, from the settings."""
    from analytics_assets.churn.metrics import Economics
    from analytics_assets.churn.training import Plan

    return Plan(
        horizon_days=settings.churn_horizon_days,
        seed=settings.seed,
        dates=settings.churn_test_dates,
        iterations=settings.churn_boosting_iterations,
        economics=Economics(settings.contact_cost, settings.contact_success),
    )


def _training_rows(session: Session, settings: Settings) -> pd.DataFrame:
    """Features with their labels, and those of the newest date; a sample if there are too many."""
    columns = ", ".join(f'"{name}"' for name in FEATURES.inputs)
    wanted = "label_window_closed OR as_of = (SELECT max(as_of) FROM churn.churn_features)"
    sampled = sample_of_customers(
        session, "churn.churn_features", wanted, settings.churn_training_rows
    )
    rows = session.frame(
        f"SELECT as_of, customer_id, churned, {columns} FROM churn.churn_features "
        f"WHERE ({wanted}) AND {sampled}"
    )
    return rows.assign(**{VALUE: customer_value(rows, settings.churn_horizon_days)})


def sample_of_customers(session: Session, relation: str, wanted: str, most: int) -> str:
    """SQL condition of a sample with about so many of the wanted rows; of all, if fewer."""
    rows = session.count(relation, wanted)
    if rows <= most:
        return "TRUE"
    # Whole customers, the same in each run: hashes are even.
    return f"md5(customer_id) < '{int(most / rows * 0x1_0000_0000):08x}'"


def _result_rows(result: "TrainingResult", registered: Version) -> dict[Any, pd.DataFrame]:
    """The rows of both tables."""
    version = result.model.version
    candidates = candidate_rows(result, registered).assign(
        test_as_of=result.newest_test,
        first_as_of=result.trained_on[0],
        last_as_of=result.trained_on[1],
        labels_to=result.model.trained_to,
        horizon_days=result.model.horizon_days,
    )
    tests = result.backtest.rename(columns={"test": "test_as_of"}).assign(model_version=version)
    return {MODEL: candidates, BACKTEST: tests}
