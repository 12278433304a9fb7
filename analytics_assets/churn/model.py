"""The model that is stored: a fitted classifier with everything that predicting needs.

Belongs here: probabilities, bands and reasons from features. Does not belong here: fitting
(`training`), bytes (`artifact`) or where models are stored (`registry`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.churn import candidates as c
from analytics_assets.churn.backtest import recalibrated
from analytics_assets.churn.data import ModelError, feature_matrix, require_columns
from analytics_assets.churn.metrics import log_odds
from analytics_assets.churn.trees import Trees, can_build_trees
from analytics_assets.schemas.churn import PROBABILITY_BANDS

REASONS = 3
EXPLAINED = 6  # features that may be a reason: each costs another scoring of all rows
BATCH_ROWS = 50_000


@dataclass(eq=False)
class ChurnModel:
    """A trained model.

    Attributes:
        candidate: name of the candidate.
        version: 12 hexadecimal digits; the same data, settings and code give the same version.
        classifier: the fitted estimator.
        columns: columns that the classifier reads, in its order.
        inputs: all columns that the model expects, in the order of training.
        categorical: those of the inputs that are names.
        slope: calibration slope; see `backtest.recalibrated`.
        centre: log-odds of the share that churned in training.
        typical: value of each column that reasons compare with: the median, or the most
            frequent name.
        explained: columns that may be a reason, the most important first.
        horizon_days: length of the label window in days; 0 for a table that is one snapshot.
        trained_to: end of the last label window in training, as an ISO date; empty for a single
            snapshot.
        purchases: parameters of the models of purchases and spend; empty without them.
        drift_reference: fields of `drift.Reference` of each input, and of the score, by name.
    """

    candidate: str
    version: str
    classifier: Any
    columns: tuple[str, ...]
    inputs: tuple[str, ...]
    categorical: tuple[str, ...]
    slope: float
    centre: float
    typical: dict[str, Any]
    explained: tuple[str, ...]
    horizon_days: int
    trained_to: str
    purchases: dict[str, Any] = field(default_factory=dict)
    drift_reference: dict[str, Any] = field(default_factory=dict)

    def matrix(self, features: pd.DataFrame) -> pd.DataFrame:
        """The model's inputs from a frame that has them, in any order and numeric type.

        Raises:
            ModelError: a column is missing, not numeric or infinite.
        """
        require_columns(features, self.inputs, ModelError)
        return feature_matrix(features, self.inputs, self.categorical, ModelError)

    def probability(self, matrix: pd.DataFrame) -> np.ndarray:
        """Probability of churn for each row of a matrix, shape (n,)."""
        raw = c.predict(self.classifier, matrix[list(self.columns)])
        return recalibrated(raw, self.slope, self.centre)

    def pushes(
        self, matrix: pd.DataFrame, columns: Sequence[str], probability: np.ndarray | None = None
    ) -> np.ndarray:
        """Compute by how much each column moves each score from that of a typical value.

        One column at a time is replaced by its typical value; the others stay. Above 0, the
        customer's own value raises the risk. Columns that are correlated share their push.

        Args:
            matrix: result of `matrix`, shape (n, inputs).
            columns: the columns to replace.
            probability: the scores, shape (n,), where they are known.

        Returns:
            Differences in log-odds, shape (n, columns).
        """
        own = log_odds(self.probability(matrix) if probability is None else probability)
        pushes = np.zeros((len(matrix), len(columns)))
        read = [name for name in columns if name in self.columns]
        trees = self._trees()
        if trees:
            others = {self.columns.index(name): self.typical[name] for name in read}
            changes = trees.changes(matrix[list(self.columns)].to_numpy(float), others)
            least, most = log_odds(np.array([0.0, 1.0]))
            other = np.clip(own[:, None] + self.slope * changes, least, most)
            pushes[:, [columns.index(name) for name in read]] = own[:, None] - other
            return pushes
        for number, name in enumerate(columns):
            if name not in read:
                continue
            # Rows that have the typical value do not change, and are not scored again.
            moved = (matrix[name] != self.typical[name]).to_numpy()
            other = matrix[moved].assign(**{name: self.typical[name]})
            pushes[moved, number] = own[moved] - log_odds(self.probability(other))
        return pushes

    def _trees(self) -> Trees | None:
        """The trees, if the classifier is nothing else: then six reasons cost less than a score."""
        # Not an attribute: attributes are stored with the model.
        steps = getattr(self.classifier, "steps", [])
        alone = steps[0][1] if len(steps) == 1 else None
        return Trees(alone) if can_build_trees(alone) else None


def score(model: ChurnModel, features: pd.DataFrame, batch_rows: int = BATCH_ROWS) -> np.ndarray:
    """Churn probability of each row.

    Args:
        model: result of `training.train`, or from the registry.
        features: at least the model's inputs; nulls allowed.
        batch_rows: rows scored at a time; limits memory, and changes scores only by rounding.

    Returns:
        Probabilities in [0, 1], float64, shape (rows of features,).

    Raises:
        ModelError: a feature is missing, not numeric or infinite.
    """
    require_columns(features, model.inputs, ModelError)
    scores = [model.probability(model.matrix(batch)) for batch in _batches(features, batch_rows)]
    return np.concatenate([np.empty(0), *scores])


def reasons(
    model: ChurnModel, matrix: pd.DataFrame, probability: np.ndarray | None = None
) -> pd.DataFrame:
    """Find the features that push each score most, in either direction.

    Args:
        model: the model.
        matrix: result of `ChurnModel.matrix`, shape (n, inputs).
        probability: the scores, shape (n,), where they are known.

    Returns:
        reason_1 to reason_3 (column names; None where nothing pushes) and push_1 to push_3
        (log-odds, above 0 raises the risk; 0 where there is no reason), shape (n, 6).
    """
    names = np.array([*model.explained], dtype=object)
    pushes = model.pushes(matrix, model.explained, probability)
    order = np.argsort(-np.abs(pushes), axis=1, kind="stable")[:, :REASONS]
    columns = {}
    for place in range(REASONS):
        if place < order.shape[1]:
            index = order[:, place]
            push = pushes[np.arange(len(pushes)), index]
            reason = names[index]
            reason[push == 0.0] = None
        else:
            push, reason = np.zeros(len(pushes)), np.full(len(pushes), None)
        columns[f"reason_{place + 1}"] = reason
        columns[f"push_{place + 1}"] = push
    return pd.DataFrame(columns, index=matrix.index)


def risk_band(probability: Sequence[float] | np.ndarray | pd.Series) -> np.ndarray:
    """The band of each probability, by `PROBABILITY_BANDS`.

    Args:
        probability: churn probabilities in [0, 1], shape (n,).

    Returns:
        Band names, an object array of shape (n,).

    Raises:
        ValueError: a value is null or outside [0, 1].
    """
    values = np.asarray(probability, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("A risk band needs probabilities between 0 and 1, without nulls.")
    names, begins = zip(*PROBABILITY_BANDS.items(), strict=True)
    return np.array(names, dtype=object)[np.digitize(values, begins[1:])]


def typical_values(x: pd.DataFrame, categorical: Sequence[str]) -> dict[str, Any]:
    """Median of each column, or its most frequent name; NaN where a column is empty."""
    return {
        str(name): str(values.mode().iloc[0]) if name in categorical else float(values.median())
        for name, values in x.items()
    }


def most_important(
    model: ChurnModel, x: pd.DataFrame, seed: int, rows: int = 2000
) -> tuple[str, ...]:
    """The columns that push the scores of a sample of rows most, on average."""
    sample = x.sample(min(rows, len(x)), random_state=seed)
    pushes = np.abs(model.pushes(sample, model.columns)).mean(axis=0)
    order = np.argsort(-pushes, kind="stable")[:EXPLAINED]
    return tuple(model.columns[number] for number in order if pushes[number] > 0)


def _batches(frame: pd.DataFrame, rows: int) -> Iterator[pd.DataFrame]:
    return (frame.iloc[start : start + rows] for start in range(0, len(frame), rows))
