"""The candidates for the model, from the simplest to the most complex.

Belongs here: the candidates and their parameters. Does not belong here: how they are compared
(`backtest`) or chosen (`training`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from threadpoolctl import ThreadpoolController

from analytics_assets.churn.data import FeatureSet
from analytics_assets.lifetime.purchases import BgNbdClassifier

CHUNK_ROWS = 8192
FOREST_TREES = 25
FOREST_ROWS = 10_000  # sample of each tree: a forest is slow to fit, and needs few rows a tree


@dataclass(frozen=True)
class Candidate:
    """A classifier that may become the model.

    Attributes:
        name: what it is called in tables and reports.
        estimator: an unfitted classifier.
        columns: the columns that it reads.
        from_history: whether it is fitted on purchase histories as of the day of prediction, and
            not on labelled rows.
    """

    name: str
    estimator: Any
    columns: tuple[str, ...]
    from_history: bool = False


def build_candidates(
    features: FeatureSet, iterations: int, seed: int, horizon_days: int = 0
) -> list[Candidate]:
    """Build the candidates for which the table has columns, simplest first.

    Args:
        features: the roles of the columns.
        iterations: trees of gradient boosting.
        seed: seed of the forest and of boosting.
        horizon_days: length of the label window in days, for the models of purchases.
    """
    columns = features.columns
    simple = [Candidate("prevalence", DummyClassifier(strategy="prior"), columns)]
    if features.recency:
        recency = Pipeline([("log", FunctionTransformer(np.log1p)), *_logistic()])
        simple.append(Candidate("recency", recency, (features.recency,)))
    if features.rule:
        simple.append(Candidate("rule", Pipeline(_logistic()), (features.rule,)))
    if features.purchases:
        read = (
            features.purchases.days,
            features.purchases.tenure,
            features.purchases.silence,
        )
        buys = BgNbdClassifier(read, horizon_days)
        simple.append(Candidate("bg_nbd", buys, read, from_history=True))
    return [
        *simple,
        Candidate("logistic_regression", _numeric(features, _regression()), columns),
        Candidate("random_forest", _numeric(features, _forest(seed)), columns),
        Candidate("gradient_boosting", _numeric(features, _boosting(iterations, seed)), columns),
    ]


def described(estimator: Any) -> dict[str, str]:
    """All settings of an estimator by name, as text."""
    return {
        name: repr(value)
        for name, value in sorted(estimator.get_params().items())
        if not hasattr(value, "get_params") and not isinstance(value, list)
    }


def recipe(candidates: Sequence[Candidate]) -> str:
    """Everything that a fit depends on besides its rows, as JSON."""
    known: list[Any] = [[c.name, list(c.columns), described(c.estimator)] for c in candidates]
    return json.dumps([known, sklearn.__version__, np.__version__], sort_keys=True)


def fit(candidate: Candidate, x: pd.DataFrame, y: np.ndarray | None) -> Any:
    """Fit a candidate's estimator on the given rows.

    Args:
        candidate: the candidate.
        x: features, shape (n, at least the candidate's columns).
        y: labels, shape (n,), boolean; None for a candidate from history.
    """
    x = x[list(candidate.columns)]
    # Neither bins nor a median exist for a column without any value: make it constant, so that it
    # has no information but keeps its place.
    empty = x.columns[x.isna().all()]
    estimator = sklearn.clone(candidate.estimator)
    rows = min(FOREST_ROWS, len(x))
    if estimator.get_params().get("classifier__max_samples"):  # it samples its rows
        estimator.set_params(classifier__max_samples=rows)
    # One thread: the result does not depend on the machine's cores, and the trees' many short
    # parallel sections take 10 times as long when another process keeps a core busy.
    with one_thread_each():
        return estimator.fit(x.fillna(dict.fromkeys(empty, 0.0)), y)


def predict(estimator: Any, x: pd.DataFrame) -> np.ndarray:
    """Probabilities of churn by a fitted estimator, shape (n,).

    Chunks that fit into a core's cache are predicted in parallel: each tree reads all rows of a
    chunk, so large chunks would be read from memory once for each tree.
    """
    chunks = [x.iloc[start : start + CHUNK_ROWS] for start in range(0, len(x), CHUNK_ROWS)]
    limits = _thread_pools()

    def predicted(chunk: pd.DataFrame) -> np.ndarray:
        # OpenMP has a limit of its own in each thread that calls it.
        with limits.limit(limits=1, user_api="openmp"):
            return estimator.predict_proba(chunk)[:, 1]

    with limits.limit(limits=1):
        if len(chunks) < 2:
            return predicted(chunks[0]) if chunks else np.empty(0)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.concatenate(list(pool.map(predicted, chunks)))


def one_thread_each() -> Any:
    """A context in which each fit has one thread; contexts may be nested and overlap."""
    return _thread_pools().limit(limits=1)


@cache
def _thread_pools() -> ThreadpoolController:
    """The libraries' thread pools, cached: finding them takes longer than predicting a chunk."""
    return ThreadpoolController()


def _numeric(features: FeatureSet, steps: list[tuple[str, Any]]) -> Pipeline:
    """The steps after one-hot encoding: a column for each common category."""
    if not features.categorical:
        return Pipeline(steps)
    names = list(features.categorical)
    encode = ColumnTransformer(
        [
            (
                "names",
                OneHotEncoder(handle_unknown="ignore", min_frequency=20, sparse_output=False),
                names,
            )
        ],
        remainder="passthrough",
    )
    return Pipeline([("encode", encode), *steps])


def _logistic() -> list[tuple[str, Any]]:
    return [
        ("impute", SimpleImputer(strategy="median")),
        ("scale", StandardScaler()),
        ("classifier", LogisticRegression()),
    ]


def _regression() -> list[tuple[str, Any]]:
    return [
        # Logarithmic in both directions: counts and money are skewed and may be negative.
        ("asinh", FunctionTransformer(np.arcsinh)),
        ("impute", SimpleImputer(strategy="median", add_indicator=True)),
        ("scale", StandardScaler()),
        ("classifier", LogisticRegression(C=0.1, max_iter=1000)),
    ]


def _forest(seed: int) -> list[tuple[str, Any]]:
    forest = RandomForestClassifier(
        FOREST_TREES, min_samples_leaf=10, max_features=0.4, max_samples=1, random_state=seed
    )
    return [("impute", SimpleImputer(strategy="median")), ("classifier", forest)]


def _boosting(iterations: int, seed: int) -> list[tuple[str, Any]]:
    boosting = HistGradientBoostingClassifier(
        learning_rate=6 / max(iterations, 1),  # fewer steps are larger, for a similar fit
        max_iter=iterations,
        max_leaf_nodes=15,
        min_samples_leaf=40,
        l2_regularization=1.0,
        early_stopping=False,  # its validation rows would be random, not later in time
        random_state=seed,
    )
    return [("classifier", boosting)]
