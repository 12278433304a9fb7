"""The input of training and scoring: the roles of the columns, and checked rows.

Belongs here: the roles of columns, uniform types, and refusals of data that would give a dishonest
model. Does not belong here: models (`candidates`), or how features are computed (dbt).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.lifetime.history import Purchases

KEY_COLUMNS = ("as_of", "customer_id")
LABEL_COLUMN = "churned"
MISSING = "(missing)"  # the category of missing values

LEAK_AUC = 0.999
MIN_CLASS_ROWS = 5  # with fewer rows, a harmless feature separates the classes by chance


class TrainingError(ValueError):
    """The data do not allow an honest model to be trained."""


class HistoryError(TrainingError):
    """There are not enough data yet: too short a history for a test, or too few churned."""


class ModelError(ValueError):
    """A stored model cannot be used: it is damaged, not trusted, or for other features."""


def customer_value(rows: pd.DataFrame, horizon_days: int) -> np.ndarray:
    """What each customer has spent in a label window so far, on average; shape (n,).

    A tenure shorter than a window counts as one.

    Args:
        rows: columns net_amount and tenure_days, may be null.
        horizon_days: length of the window in days.
    """
    amount, tenure = (
        rows[name].to_numpy(dtype="float64", na_value=np.nan)
        for name in ("net_amount", "tenure_days")
    )
    return np.fmax(amount, 0.0) * horizon_days / np.fmax(tenure, horizon_days)


@dataclass(frozen=True)
class FeatureSet:
    """The columns of a labelled table, by what they mean.

    Attributes:
        columns: features of the classifiers: numbers, may be null.
        categorical: those of `columns` that are names instead of numbers.
        recency: column whose growth alone raises the risk, for the baseline of that name.
        rule: rule-based score in [0, 1], a baseline; classifiers do not learn from it.
        purchases: purchase history, where customers buy and have no contract.
        value: money at stake for each customer, for the profit of contacts; not a feature.
        growing: those of `columns` that grow as time passes, and drift by construction.
    """

    columns: tuple[str, ...]
    categorical: tuple[str, ...] = ()
    recency: str | None = None
    rule: str | None = None
    purchases: Purchases | None = None
    value: str | None = None
    growing: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """All columns that some candidate reads, in the order in which a model expects them."""
        more = [self.recency, self.rule, *(self.purchases.columns if self.purchases else ())]
        return tuple(dict.fromkeys([*self.columns, *(name for name in more if name)]))


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows with a closed label, sorted by key, and the rows of the newest as-of date.

    Attributes:
        x: features, shape (rows, inputs).
        y: labels, shape (rows,), boolean.
        as_of: Naive UTC timestamps, shape (rows,); NaT where the table has no as-of dates.
        customers: customer ids, texts, shape (rows,).
        value: money at stake, shape (rows,); NaN where it is not known.
        newest: features on the newest as-of date, whether or not its labels have closed.
    """

    x: pd.DataFrame
    y: np.ndarray
    as_of: pd.Series
    customers: pd.Series
    value: np.ndarray
    newest: pd.DataFrame


def labelled_rows(frame: pd.DataFrame, features: FeatureSet) -> LabelledRows:
    """Check a table and convert it for training.

    Args:
        frame: one row for each as-of date and customer, in any order: customer_id, churned
            (boolean, null while the label window is open), the feature set's columns and, unless
            it is a single snapshot, as_of (date or timestamp).
        features: the roles of the columns.

    Raises:
        TrainingError: columns, rows or keys are missing, wrong or repeated.
    """
    _require_sensible(features)
    timed = "as_of" in frame.columns
    keys = [name for name in KEY_COLUMNS if timed or name != "as_of"]
    value = [features.value] if features.value else []
    require_columns(frame, [*keys, LABEL_COLUMN, *features.inputs, *value], TrainingError)
    try:
        label = frame[LABEL_COLUMN].astype("boolean")
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{LABEL_COLUMN} must be true, false or null: {error}.") from error
    frame, label = frame.reset_index(drop=True), label.reset_index(drop=True)
    closed = frame[label.notna()]
    if closed.empty:
        dates = f", on {frame['as_of'].nunique()} as-of dates," if timed else ""
        raise HistoryError(
            f"None of the {len(frame):,} rows{dates} has a closed label window. "
            "Load a longer history or shorten the horizon."
        )
    if (nulls := closed[keys].isna().any(axis=1).sum()) > 0:
        raise TrainingError(f"{nulls:,} labelled rows have no {' or no '.join(keys)}.")
    rows = pd.DataFrame(
        {
            "as_of": _timestamps(closed["as_of"]) if timed else pd.NaT,
            "customer_id": closed["customer_id"].astype(str).astype(object),
            "label": label[label.notna()].astype(bool),
        }
    )
    if (repeated := rows.duplicated(keys).sum()) > 0:
        raise TrainingError(
            f"{repeated:,} labelled rows repeat a customer"
            f"{' on an as-of date' if timed else ''}. Supply one row for each "
            f"{'as-of date and customer' if timed else 'customer'}."
        )
    rows = rows.sort_values(keys)
    closed = closed.loc[rows.index]
    newest = frame[frame["as_of"] == frame["as_of"].max()] if timed else closed
    newest = newest.assign(customer_id=newest["customer_id"].astype(str)).sort_values("customer_id")
    return LabelledRows(
        x=feature_matrix(closed, features.inputs, features.categorical, TrainingError).reset_index(
            drop=True
        ),
        y=rows["label"].to_numpy(),
        as_of=rows["as_of"].reset_index(drop=True),
        customers=rows["customer_id"].reset_index(drop=True),
        value=(
            closed[features.value].to_numpy(dtype="float64", na_value=np.nan)
            if features.value
            else np.full(len(closed), np.nan)
        ),
        newest=feature_matrix(
            newest, features.inputs, features.categorical, TrainingError
        ).reset_index(drop=True),
    )


def _require_sensible(features: FeatureSet) -> None:
    if not features.columns:
        raise TrainingError("No feature columns are named: there is nothing to learn from.")
    reserved = {*KEY_COLUMNS, LABEL_COLUMN, *([features.value] if features.value else [])}
    if wrong := reserved.intersection(features.inputs):
        raise TrainingError(
            f"{listed(sorted(wrong))} cannot be a feature: it is the key, the label or the value."
        )
    if len(set(features.columns)) < len(features.columns):
        raise TrainingError("A feature column is named twice.")


def _timestamps(values: pd.Series) -> pd.Series:
    stamps = pd.to_datetime(values, utc=True).dt.tz_localize(None)
    return stamps.astype("datetime64[ns]")


def feature_matrix(
    frame: pd.DataFrame,
    columns: Sequence[str],
    categorical: Sequence[str],
    error: type[ValueError],
) -> pd.DataFrame:
    """The features as float64, nulls as NaN, and the categorical ones as text.

    Raises:
        error: a value is not numeric, or is infinite.
    """
    converted: dict[str, Any] = {}
    for name in columns:
        values = frame[name]
        if name in categorical:
            converted[name] = values.astype(object).where(values.notna(), MISSING).astype(str)
            continue
        try:
            if not (pd.api.types.is_numeric_dtype(values) or values.dtype == object):
                raise TypeError(f"its type is {values.dtype}")
            converted[name] = values.to_numpy(dtype="float64", na_value=np.nan)
        except (TypeError, ValueError) as cause:
            raise error(f"Feature {name} is not numeric: {cause}.") from cause
        if np.isinf(converted[name]).any():
            raise error(f"Feature {name} has infinite values; make them null.")
    return pd.DataFrame(converted, index=frame.index)


def require_columns(frame: pd.DataFrame, columns: Sequence[str], error: type[ValueError]) -> None:
    """Refuse a frame that lacks columns.

    Raises:
        error: columns are missing; the message names them.
    """
    if missing := [name for name in columns if name not in frame.columns]:
        raise error(f"Columns are missing from the features: {listed(missing)}.")


def require_both_classes(y: np.ndarray, rows: str) -> None:
    """Refuse labels that are nearly all of one class.

    Raises:
        HistoryError: fewer than 5 rows have churned, or fewer than 5 have not.
    """
    churned = int(y.sum())
    if min(churned, len(y) - churned) < MIN_CLASS_ROWS:
        raise HistoryError(
            f"{rows} have {churned:,} churned and {len(y) - churned:,} retained customers; at "
            f"least {MIN_CLASS_ROWS} of each are needed. Load more customers, or choose a horizon "
            "in which some customers buy again and some do not."
        )


def refuse_leaks(x: pd.DataFrame, y: np.ndarray) -> None:
    """Refuse data in which a single column predicts the label, in either direction.

    Raises:
        TrainingError: there is such a column; the message names it.
    """
    leaks = []
    for name, values in x.items():
        if values.dtype == object:
            # Order the categories by the share that churned in them. Rare ones count as average:
            # they separate the classes by chance.
            groups = pd.Series(y, index=values.index).groupby(values)
            values = groups.transform("mean").where(groups.transform("size") >= 30, y.mean())
        # Missing values may be what predicts the label: try them at both ends.
        fills = (-np.inf, np.inf) if values.isna().any() else (0.0,)
        aucs = (rank_auc(y, values.fillna(fill)) for fill in fills)
        if max(max(auc, 1 - auc) for auc in aucs) > LEAK_AUC:
            leaks.append(str(name))
    if leaks:
        raise TrainingError(
            f"{listed(leaks)} alone separates churned from retained customers (AUC above "
            f"{LEAK_AUC}): the label has leaked into the features. Compute features from events "
            "before as_of only, or leave the column out."
        )


def rank_auc(y: np.ndarray, values: pd.Series) -> float:
    """Area under the ROC curve from ranks (Mann-Whitney U): fast, and allows infinities."""
    positives = int(y.sum())
    above = values.rank().to_numpy()[y].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(y) - positives)))


def listed(names: Sequence[str]) -> str:
    """Join names for a sentence."""
    return ", ".join(names)
