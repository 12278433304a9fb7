"""The steps of every training: train, register, decide on promotion, show, keep.

Belongs here: what the models of customers (`model`) and of subscribers (`subscriptions`) share.
Does not belong here: their rows, or maths (`churn` of the package).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from dagster import AssetExecutionContext, Failure, MetadataValue

from analytics_assets.churn.data import FeatureSet, HistoryError, ModelError, TrainingError
from analytics_assets.churn.registry import MEND, Registry, RegistryError, Version
from analytics_assets.reports import plots
from analytics_assets.reports.markdown import markdown_table
from analytics_assets.schemas import Table
from analytics_assets.warehouse.connection import Warehouse

if TYPE_CHECKING:
    from analytics_assets.churn.training import Plan, TrainingResult

_SHOWN = ["candidate", "is_chosen", "roc_auc", "average_precision", "brier", "log_loss", "profit"]


def train_and_register(
    context: AssetExecutionContext,
    registry: Registry,
    frame: pd.DataFrame,
    features: FeatureSet,
    plan: "Plan",
    version: str,
) -> "tuple[TrainingResult, Version, dict[str, Any]] | str":
    """Train and register a model, and decide on its promotion.

    Args:
        context: of the asset.
        registry: registry of the model.
        frame: the rows to learn from.
        features: the roles of their columns.
        plan: how to train.
        version: version of the code.

    Returns:
        The training, its registered version and metadata; or why there is no model yet.

    Raises:
        Failure: the data do not allow a model, or one that could replace the champion, or the
            registry cannot be used.
    """
    try:
        lost = registry.has_lost_versions()
    except RegistryError as error:
        raise Failure(str(error)) from error
    if lost:
        # A new version would be champion, whatever the lost ones were worth.
        raise Failure(f"The model registry has lost its versions. {MEND}", allow_retries=False)
    # Imported here: scikit-learn would double the time that the definitions take to load.
    from analytics_assets.churn.training import train

    try:
        result = train(frame, features, plan)
    except HistoryError as error:
        if registry.champion():
            raise Failure(f"The model in use stays: {error}", allow_retries=False) from error
        # A new shop has not enough history: its runs succeed without predictions.
        context.log.warning(f"No model yet: {error}")
        return str(error)
    except TrainingError as error:
        raise Failure(str(error), allow_retries=False) from error
    figures = _figures(result)
    try:
        registered = _registered(registry, result, frame, plan, version, figures)
    except RegistryError as error:
        raise Failure(str(error)) from error
    if registered.decision == "refused":
        context.log.info(f"The champion stays: {registered.reason}")
    return result, registered, _metadata(result, registered, plan, figures)


def candidate_rows(result: "TrainingResult", registered: Version) -> pd.DataFrame:
    """A row for each candidate, with the columns common to all tables of trainings."""
    candidates = result.candidates.assign(
        model_version=result.model.version,
        tests=result.backtest["test"].nunique(),
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
    return candidates


def keep_rows(warehouse: Warehouse, rows: Mapping[Table, pd.DataFrame]) -> dict[Table, int]:
    """Add the rows of a training to those of earlier ones; return the row count of each table."""
    counts = {}
    with warehouse.transaction() as session:
        for table, frame in rows.items():
            session.register("training", frame[table.columns])
            where = "model_version IN (SELECT model_version FROM training)"
            session.replace_window(table, "training", None, where=where)
            counts[table] = session.count(table.relation)
    return counts


def _registered(
    registry: Registry,
    result: "TrainingResult",
    frame: pd.DataFrame,
    plan: "Plan",
    code: str,
    figures: Mapping[str, str],
) -> Version:
    """The registered version of a training with its decision; a training is decided only once."""
    from analytics_assets.churn.artifact import dump_model
    from analytics_assets.churn.decision import decide
    from analytics_assets.reports.model_card import model_card

    parameters = {
        "horizon_days": plan.horizon_days,
        "test_dates": plan.dates,
        "boosting_iterations": plan.iterations,
        "contact_cost": plan.economics.contact_cost,
        "contact_success": plan.economics.contact_success,
        "seed": plan.seed,
        "code_version": code,
    }
    champion = registry.champion()
    files = {f"plots/{name}.png": plots.png(figure) for name, figure in figures.items()}
    links = {name: f"![{name}](plots/{name}.png)" for name in figures}
    files["model_card.md"] = model_card(result, plan, links).encode()
    version = registry.register(result, dump_model(result.model), parameters, files)
    if version.decision:
        return version
    if champion and champion.number == version.number:
        # An earlier run stopped between the promotion and its record.
        return registry.decide(version, promote=True, reason="Promoted by a run that broke off.")
    try:
        model = registry.load(champion) if champion else None
    except ModelError:
        model = None
    frozen = registry.backtest(champion) if champion else None
    decision = decide(result, model, frozen, frame, plan.seed)
    return registry.decide(version, decision.promote, decision.reason)


def _figures(result: "TrainingResult") -> dict[str, str]:
    """Plots of the newest test by name, as Markdown."""
    on = f"on {result.newest_test}"
    return {
        "calibration": plots.reliability_curve(result.reliability, f"Calibration {on}"),
        "gain": plots.gain_curve(result.lift, f"Churners found {on}"),
    }


def _metadata(
    result: "TrainingResult", registered: Version, plan: "Plan", figures: Mapping[str, str]
) -> dict[str, Any]:
    from analytics_assets.churn.parameters import parameters
    from analytics_assets.reports.model_card import model_card

    chosen = result.candidates[result.candidates["is_chosen"]].iloc[0]
    shown = result.candidates[_SHOWN].itertuples(index=False)
    decision = f"{registered.decision}. {registered.reason}"
    card = model_card(result, plan, figures, decision)
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
        "parameters": MetadataValue.json(parameters(result.model)),
        "model card": MetadataValue.md(card),
    }
