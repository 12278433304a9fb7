"""The churn model: trained, tested, registered, and promoted where it is better.

Belongs here: the assets around `churn.training` and `churn.registry`. Does not belong here: maths
(`churn`), features (the dbt project), or scores (`churn_scores`, `churn_performance`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Failure,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets import plots
from analytics_assets.assets.common import (
    POOL,
    RETRY,
    code_version,
    markdown_table,
    table_spec,
)
from analytics_assets.churn.data import (
    FeatureSet,
    HistoryError,
    ModelError,
    Purchases,
    TrainingError,
)
from analytics_assets.churn.registry import Registry, RegistryError, Version
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.churn import FEATURE_COLUMNS, RULE_COLUMN
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.windows import replace_window

if TYPE_CHECKING:
    from analytics_assets.churn.training import Plan, TrainingResult

MODEL, BACKTEST = TABLES["churn_model"], TABLES["churn_backtest"]
FEATURES = FeatureSet(
    columns=FEATURE_COLUMNS,
    recency="days_since_last_order",
    rule=RULE_COLUMN,
    purchases=Purchases(
        days="active_days",
        tenure="tenure_days",
        silence="days_since_last_order",
        amount="gross_amount",
    ),
    value="customer_value",
    # Counted since the first purchase, session or registration.
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
            "return_lines",
            "returned_amount",
            "sessions_total",
        )
        if name in FEATURE_COLUMNS
    ),
)
CODE = ("churn", "schemas", "assets/churn.py")
_SHOWN = ["candidate", "is_chosen", "roc_auc", "average_precision", "brier", "log_loss", "profit"]


def model_registry(settings: Settings) -> Registry:
    """The registry of the settings; nothing is opened."""
    return Registry(settings.mlflow_dir, settings.mlflow_uri, settings.mlflow_model)


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
                partitions_def=None,
                code_version=version,
            )
            for table in (MODEL, BACKTEST)
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def churn_training(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[MaterializeResult]:
        # Imported here: scikit-learn would double the time that the definitions take to load.
        from analytics_assets.churn.training import train

        registry = model_registry(settings)
        with warehouse.read() as connection:
            frame = _training_rows(connection, settings)
        metadata: dict[str, Any] = {}
        try:
            result = train(frame, FEATURES, training_plan(settings))
        except HistoryError as error:
            if registry.champion():
                raise Failure(f"The model in use stays: {error}", allow_retries=False) from error
            # A young shop is no fault: its days go on without predictions until there is history.
            context.log.warning(f"No model yet: {error}")
            rows = {table: pd.DataFrame(columns=table.columns) for table in (MODEL, BACKTEST)}
            metadata = {"no model yet": str(error)}
        except TrainingError as error:
            raise Failure(str(error), allow_retries=False) from error
        else:
            try:
                registered = _register(registry, result, frame, settings)
            except RegistryError as error:
                raise Failure(str(error)) from error
            if registered.decision == "refused":
                context.log.info(f"The champion stays: {registered.reason}")
            rows = _result_rows(result, registered)
            metadata = _training_metadata(result, registered, settings)
        held = {}
        with warehouse.transaction() as connection:
            for table in (MODEL, BACKTEST):
                connection.register("made", rows[table])
                # Trainings before this one stay.
                where = "model_version IN (SELECT model_version FROM made)"
                replace_window(connection, table, "made", None, where=where)
                count = connection.execute(f"SELECT count(*) FROM {table.relation}").fetchall()
                held[table] = count[0][0]
        for table, shown in ((MODEL, metadata), (BACKTEST, {})):
            yield MaterializeResult(
                asset_key=table.name, metadata={"dagster/row_count": held[table], **shown}
            )

    return [churn_training]


def training_plan(settings: Settings) -> "Plan":
    """How the settings want a model to be trained."""
    from analytics_assets.churn.metrics import Economics
    from analytics_assets.churn.training import Plan

    return Plan(
        horizon_days=settings.churn_horizon_days,
        seed=settings.seed,
        dates=settings.churn_test_dates,
        iterations=settings.churn_boosting_iterations,
        economics=Economics(settings.contact_cost, settings.contact_success),
    )


def _training_rows(connection: duckdb.DuckDBPyConnection, settings: Settings) -> pd.DataFrame:
    """Features with their labels, and those of the newest date; at most so many, by customer.

    The value of a customer is what they have spent in a label window so far, on average; a tenure
    shorter than one counts as one.
    """
    columns = ", ".join(f'"{name}"' for name in FEATURES.inputs)
    horizon = settings.churn_horizon_days
    wanted = "label_window_closed OR as_of = (SELECT max(as_of) FROM churn.churn_features)"
    found = connection.execute(
        f"SELECT count(*) FROM churn.churn_features WHERE {wanted}"
    ).fetchone()
    rows = found[0] if found else 0
    sampled = "TRUE"
    if rows > settings.churn_training_rows:
        # Whole customers, the same in each run: hashes are even.
        share = int(settings.churn_training_rows / rows * 0x1_0000_0000)
        sampled = f"md5(customer_id) < '{share:08x}'"
    return connection.execute(
        f"SELECT as_of, customer_id, churned, {columns}, "
        f"greatest(net_amount, 0)::DOUBLE * {horizon} / greatest(tenure_days, {horizon}) "
        f"AS {FEATURES.value} FROM churn.churn_features WHERE ({wanted}) AND {sampled}"
    ).fetchdf()


def _register(
    registry: Registry, result: "TrainingResult", frame: pd.DataFrame, settings: Settings
) -> Version:
    """The version of a training, decided; the same training is decided only once."""
    from analytics_assets.churn.artifact import dump_model
    from analytics_assets.churn.card import model_card
    from analytics_assets.churn.decision import decide

    parameters = {
        "horizon_days": settings.churn_horizon_days,
        "test_dates": settings.churn_test_dates,
        "boosting_iterations": settings.churn_boosting_iterations,
        "contact_cost": settings.contact_cost,
        "contact_success": settings.contact_success,
        "seed": settings.seed,
        "code_version": code_version(*CODE),
    }
    champion = registry.champion()
    figures = _figures(result)
    files = {f"plots/{name}.png": plots.png(figure) for name, figure in figures.items()}
    links = {name: f"![{name}](plots/{name}.png)" for name in figures}
    files["model_card.md"] = model_card(result, training_plan(settings), links).encode()
    version = registry.register(result, dump_model(result.model), parameters, files)
    if version.decision:
        return version
    if champion and champion.number == version.number:
        # The run broke off between the promotion and its record.
        return registry.decide(version, promote=True, reason="Promoted by a run that broke off.")
    try:
        model = registry.load(champion) if champion else None
    except ModelError:
        model = None
    frozen = registry.backtest(champion) if champion else None
    decision = decide(result, model, frozen, frame, settings.seed)
    return registry.decide(version, decision.promote, decision.reason)


def _result_rows(result: "TrainingResult", registered: Version) -> dict[Any, pd.DataFrame]:
    """The rows of both tables."""
    version = result.model.version
    candidates = result.candidates.assign(
        model_version=version,
        tests=result.backtest["test"].nunique(),
        test_as_of=result.newest_test,
        first_as_of=result.trained_on[0],
        last_as_of=result.trained_on[1],
        labels_to=result.model.trained_to,
        horizon_days=result.model.horizon_days,
        data_hash=result.data_hash,
    )
    chosen = candidates["is_chosen"]
    recorded: dict[str, Any] = {
        "registered_version": registered.number,
        "decision": registered.decision,
        "decision_reason": registered.reason,
    }
    for name, value in recorded.items():
        candidates[name] = [value if is_chosen else None for is_chosen in chosen]
    tests = result.backtest.rename(columns={"test": "test_as_of"}).assign(model_version=version)
    return {MODEL: candidates[MODEL.columns], BACKTEST: tests[BACKTEST.columns]}


def _figures(result: "TrainingResult") -> dict[str, str]:
    """Plots of the newest test by name, as Markdown."""
    return {
        "calibration": plots.reliability_curve(
            result.reliability, f"Calibration on {result.newest_test}"
        ),
        "gain": plots.gain_curve(result.lift, f"Churners found on {result.newest_test}"),
    }


def _training_metadata(
    result: "TrainingResult", registered: Version, settings: Settings
) -> dict[str, Any]:
    from analytics_assets.churn.card import model_card

    chosen = result.candidates[result.candidates["is_chosen"]].iloc[0]
    shown = result.candidates[_SHOWN].itertuples(index=False)
    decision = f"{registered.decision}. {registered.reason}"
    card = model_card(result, training_plan(settings), _figures(result), decision)
    return {
        "model version": result.model.version,
        "registered version": registered.number,
        "decision": registered.decision,
        "because": registered.reason,
        "chosen": result.chosen,
        "roc_auc": float(chosen["roc_auc"]),
        "log_loss": float(chosen["log_loss"]),
        "tested as of": result.newest_test,
        "candidates": markdown_table(_SHOWN, shown),
        **({"without an estimate": MetadataValue.json(result.failed)} if result.failed else {}),
        "model card": MetadataValue.md(card),
    }
