"""The steps of every scoring: read the model, score in batches, add reasons and metadata.

Belongs here: what the scores of customers (`predictions`) and of subscribers (`subscriptions`)
share. Does not belong here: their rows, or maths (`churn` of the package).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any

import pandas as pd
from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    Failure,
    MetadataValue,
)

from analytics_assets.assets.common import OWNERS, RETRY, table_metadata
from analytics_assets.checks.base import Finding
from analytics_assets.checks.predictions import scored_by_the_champion
from analytics_assets.churn.data import ModelError
from analytics_assets.churn.registry import Registry, RegistryError, Version
from analytics_assets.reports import plots
from analytics_assets.schemas import Table
from analytics_assets.schemas.churn import PROBABILITY_BANDS
from analytics_assets.schemas.dagster_types import dagster_type
from analytics_assets.warehouse.connection import POOL

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 100_000

Extra = Callable[[pd.DataFrame, pd.DataFrame, Any], dict[str, Any]]


def score_asset(table: Table, policy: str) -> dict[str, Any]:
    """The arguments of `asset` for a table of scores, with the policy of its check."""
    return {
        "name": table.name,
        "group_name": table.group,
        "description": table.description,
        "owners": OWNERS,
        "kinds": {"python", "scikitlearn", "mlflow", "duckdb"},
        "tags": {"layer": table.group},
        "metadata": table_metadata(table),
        "dagster_type": dagster_type(table),
        "pool": POOL,
        "retry_policy": RETRY,
        "check_specs": [scored_by_the_champion(table).spec(policy)] if policy != "off" else [],
    }


def champion_verdict(
    table: Table,
    policy: str,
    scores: Sized = (),
    version: Version | None = None,
    problems: Sequence[str] = (),
) -> Iterator[AssetCheckResult]:
    """Whether the champion has scored; without a version there is no model yet."""
    if policy == "off":
        return
    description, keys, where = "There is no champion yet.", [], ""
    if version:
        who = f"Version {version.number}{'' if problems else ', the champion,'}"
        description = f"{who} has scored."
        keys = [{"model_version": version.model_version}]
        where = f"\nWHERE model_version = '{version.model_version}'"
    finding = Finding(
        scored_by_the_champion(table),
        passed=not problems,
        description=" ".join([description, *problems]),
        rows=len(scores),
        failing=len(scores) if problems else 0,
        keys=keys,
        query=f"FROM {table.relation}{where}",
    )
    yield finding.result(policy)


def usable_model(
    context: AssetExecutionContext, registry: Registry
) -> tuple[Any, Version, list[str]] | None:
    """`Registry.load_good` with its problems in the log; None if there is no model yet.

    Raises:
        Failure: no model can be read, or the registry cannot be used.
    """
    try:
        loaded = registry.load_good()
    except ModelError as error:
        raise Failure(str(error), allow_retries=False) from error
    except RegistryError as error:
        raise Failure(str(error)) from error
    if loaded is None:
        context.log.warning("No model yet: nothing is predicted.")
        return None
    for problem in loaded[2]:
        context.log.warning(f"Not read, an earlier model scores instead: {problem}")
    return loaded


def scored(
    rows: Iterable["pa.RecordBatch"], model: Any, table: Table, extra: Extra
) -> pd.DataFrame:
    """The rows of a table of scores.

    Rows are scored in batches: only the results of all rows are in memory together.

    Args:
        rows: batches of the table's key columns and the model's inputs.
        model: the model from the registry.
        table: the table of scores.
        extra: further columns of a batch, from its rows, its matrix and its probabilities.
    """
    from analytics_assets.churn.model import reasons, risk_band

    parts = []
    for batch in rows:
        read = batch.to_pandas()
        matrix = model.matrix(read)
        probability = model.probability(matrix)
        known = [name for name in table.columns if name in read.columns]
        parts.append(
            read[known].assign(
                churn_probability=probability,
                risk_band=risk_band(probability),
                **extra(read, matrix, probability),
                **reasons(model, matrix, probability),
                model_version=model.version,
            )
        )
    if not parts:
        return pd.DataFrame(columns=table.columns)
    return pd.concat(parts, ignore_index=True)[table.columns]


def score_metadata(
    predictions: pd.DataFrame, version: Version, problems: list[str]
) -> dict[str, Any]:
    """Metadata of the scores for the UI."""
    bands = predictions["risk_band"].value_counts().reindex(list(PROBABILITY_BANDS), fill_value=0)
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
