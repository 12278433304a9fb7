"""Exchanging a column in boosted trees gives what scikit-learn gives for exchanged rows."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from analytics_assets.churn import model as model_module
from analytics_assets.churn import trees
from analytics_assets.churn.candidates import build_candidates
from analytics_assets.churn.model import reasons
from analytics_assets.churn.trees import Trees, can_build_trees

from .conftest import FEATURES

COLUMNS = 4


def fitted(rows: int = 3000, **settings) -> tuple[HistGradientBoostingClassifier, np.ndarray]:
    """A classifier of skewed columns with ties and missing values, and its rows."""
    rng = np.random.default_rng(3)
    x = rng.gamma(1, 5, (rows, COLUMNS)).round()
    y = rng.random(rows) < 1 / (1 + np.exp(3 - x[:, 0] / 2 - x[:, 1] * x[:, 2] / 30))
    x[rng.random(x.shape) < 0.1] = np.nan
    return HistGradientBoostingClassifier(**({"max_leaf_nodes": 15} | settings)).fit(x, y), x


@pytest.mark.parametrize("other", [0.0, 4.0, 4.5, 1e6, -1.0, np.inf, np.nan])
def test_a_replaced_value_changes_the_score_as_replaced_rows_do(other, monkeypatch):
    monkeypatch.setattr(trees, "CHUNK_ROWS", 700)
    classifier, x = fitted()
    changes = Trees(classifier).changes(x, dict.fromkeys(range(COLUMNS), other))
    assert changes.shape == (len(x), COLUMNS)
    for column in range(COLUMNS):
        exchanged = x.copy()
        exchanged[:, column] = other
        expected = classifier.decision_function(exchanged) - classifier.decision_function(x)
        np.testing.assert_allclose(changes[:, column], expected, rtol=0, atol=1e-12)
        assert (np.abs(expected) > 0.01).any()


def test_a_column_that_no_tree_uses_changes_nothing():
    classifier, x = fitted()
    constant = np.column_stack([x, np.ones(len(x))])
    classifier.fit(constant, x[:, 0] > 3)
    assert not Trees(classifier).changes(constant, {COLUMNS: 5.0}).any()
    assert Trees(classifier).changes(constant[:0], {0: 5.0, COLUMNS: 5.0}).shape == (0, 2)


def test_trees_are_built_only_of_small_trees_on_numbers():
    assert can_build_trees(fitted()[0])
    assert can_build_trees(fitted(max_leaf_nodes=trees.MAX_LEAVES)[0])
    assert not can_build_trees(fitted(max_leaf_nodes=31)[0])
    assert not can_build_trees(fitted(categorical_features=[0])[0])
    assert not can_build_trees(RandomForestClassifier(2).fit([[0], [1]], [0, 1]))
    assert not can_build_trees(None)


def test_reasons_of_boosted_trees_are_those_of_scoring_again(features, result, monkeypatch):
    matrix = result.model.matrix(features)
    boosting = build_candidates(FEATURES, iterations=30, seed=1)[-1]
    classifier = boosting.estimator.fit(
        matrix[list(boosting.columns)], features["churned"].fillna(False).astype(bool)
    )
    for slope in (1.0, 0.8):
        model = replace(
            result.model, classifier=classifier, columns=boosting.columns, slope=slope,
            explained=boosting.columns,
        )  # fmt: skip
        by_trees = reasons(model, matrix)
        with monkeypatch.context() as patch:
            patch.setattr(model_module, "can_build_trees", lambda classifier: False)
            again = reasons(replace(model), matrix)
        assert by_trees["reason_1"].nunique() > 1
        pushes = [name for name in again if name.startswith("push")]
        np.testing.assert_allclose(by_trees[pushes], again[pushes], rtol=0, atol=1e-9)
        assert (by_trees["reason_1"] == again["reason_1"]).mean() > 0.99
