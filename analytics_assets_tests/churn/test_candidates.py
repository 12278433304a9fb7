"""The candidates: which there are, and that a fit depends on its rows and nothing else."""

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from analytics_assets.churn import candidates
from analytics_assets.churn.candidates import build_candidates
from analytics_assets.churn.data import FeatureSet, labelled_rows

from .conftest import COLUMNS, FEATURES

BUILT = build_candidates(FEATURES, 30, 1)
BY_NAME = pytest.mark.parametrize("candidate", BUILT, ids=lambda candidate: candidate.name)


@pytest.fixture(scope="module")
def rows(features):
    return labelled_rows(features, FEATURES)


def test_candidates_are_those_that_the_table_has_columns_for_simplest_first():
    assert [c.name for c in build_candidates(FeatureSet(("a",)), 30, 1)] == [
        "prevalence",
        "logistic_regression",
        "random_forest",
        "gradient_boosting",
    ]
    more = build_candidates(FeatureSet(("a",), recency="a", rule="r"), 30, 1)
    assert [(c.name, c.columns) for c in more[1:3]] == [("recency", ("a",)), ("rule", ("r",))]
    assert all(c.columns == ("a",) for c in more[3:])  # classifiers do not learn from the rule


@BY_NAME
def test_the_number_of_threads_does_not_change_the_scores(rows, candidate):
    found = []
    for threads in (4, 1):
        with threadpool_limits(threads):
            fitted = candidates.fit(candidate, rows.x, rows.y)
            found.append(candidates.predict(fitted, rows.x[list(candidate.columns)]))
    np.testing.assert_array_equal(*found)


@BY_NAME
def test_a_column_without_any_value_trains_and_may_have_one_later(rows, candidate):
    empty = rows.x.assign(net=np.nan)
    fitted = candidates.fit(candidate, empty, rows.y)
    later = empty.assign(net=3.0)[list(candidate.columns)]
    assert np.isfinite(candidates.predict(fitted, later)).all()


@pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "gradient_boosting"])
def test_names_are_learnt_from_and_unknown_ones_do_no_harm(name):
    rng = np.random.default_rng(0)
    contract = rng.choice(["monthly", "yearly"], 1000)
    x = pd.DataFrame({"age": rng.normal(size=1000), "contract": contract.astype(object)})
    y = rng.random(1000) < np.where(contract == "monthly", 0.7, 0.1)
    features = FeatureSet(("age", "contract"), categorical=("contract",))
    candidate = next(c for c in build_candidates(features, 30, 1) if c.name == name)
    fitted = candidates.fit(candidate, x, y)
    p = candidates.predict(fitted, pd.DataFrame({"age": 0.0, "contract": ["monthly", "yearly"]}))
    assert p[0] > 0.55 and p[1] < 0.3
    odd = pd.DataFrame({"age": [0.0], "contract": ["never seen"]})
    assert 0 < candidates.predict(fitted, odd)[0] < 1


def test_nothing_is_resampled(rows):
    y = rows.y & (np.arange(len(rows.y)) % 10 == 0)  # a rare outcome
    for candidate in BUILT:
        fitted = candidates.fit(candidate, rows.x, y)
        p = candidates.predict(fitted, rows.x[list(candidate.columns)])
        assert p.mean() == pytest.approx(y.mean(), abs=0.01), candidate.name


def test_the_recipe_differs_by_parameters_columns_and_seeds():
    recipes = {
        candidates.recipe(build_candidates(features, iterations, seed))
        for features, iterations, seed in [
            (FEATURES, 30, 1),
            (FEATURES, 40, 1),
            (FEATURES, 30, 2),
            (FeatureSet(COLUMNS), 30, 1),
        ]
    }
    assert len(recipes) == 4
    assert candidates.recipe(BUILT) == candidates.recipe(build_candidates(FEATURES, 30, 1))
