"""Hooks into scikit-learn."""

from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier


def boosted_trees(classifier: HistGradientBoostingClassifier) -> list[list[Any]]:
    """The fitted trees: of each iteration, one for each class (of two classes, one).

    No public method gives the nodes of a boosted tree, and walking the trees through
    `decision_function` takes several times as long as `churn.trees`.
    """
    predictors: list[list[Any]] = classifier._predictors
    return predictors
