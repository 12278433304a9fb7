"""A model as bytes: whole, without foreign code, or not at all."""

import os
from dataclasses import replace

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from analytics_assets.churn import candidates
from analytics_assets.churn.artifact import dump_model, load_model
from analytics_assets.churn.candidates import build_candidates
from analytics_assets.churn.data import ModelError, labelled_rows
from analytics_assets.churn.model import reasons, score

from .conftest import FEATURES

BUILT = build_candidates(FEATURES, 30, 1)


@pytest.mark.parametrize("candidate", BUILT, ids=lambda candidate: candidate.name)
def test_a_loaded_model_gives_equal_scores_and_equal_bytes(features, result, candidate):
    rows = labelled_rows(features, FEATURES)
    classifier = candidates.fit(candidate, rows.x, rows.y)
    model = replace(result.model, classifier=classifier, columns=candidate.columns)
    data = dump_model(model)
    loaded = load_model(data)
    assert score(loaded, features).tobytes() == score(model, features).tobytes()
    assert vars(loaded) | {"classifier": 0} == vars(model) | {"classifier": 0}
    assert data == dump_model(model)
    refitted = replace(model, classifier=candidates.fit(candidate, rows.x, rows.y))
    assert data == dump_model(refitted)
    reasons(model, model.matrix(features))
    assert data == dump_model(model)  # what was found for reasons is not stored


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_artifact_is_refused_with_a_sentence(result, kept):
    data = dump_model(result.model)
    with pytest.raises(ModelError, match=r"damaged or incomplete .* Train it again\."):
        load_model(data[: int(len(data) * kept)])


class NotOurs(TransformerMixin, BaseEstimator):
    """A type that nobody has vouched for."""

    def __setstate__(self, state):
        raise AssertionError("code of an untrusted type ran")


@pytest.mark.parametrize(
    ("step", "name"), [(NotOurs(), "NotOurs"), (FunctionTransformer(os.system), "system")]
)
def test_an_artifact_naming_foreign_code_is_refused_and_not_run(result, step, name):
    foreign = Pipeline([("step", step), ("classifier", DummyClassifier())])
    data = dump_model(replace(result.model, classifier=foreign))
    with pytest.raises(ModelError, match=rf"types that are not trusted.*{name}"):
        load_model(data)


@pytest.mark.parametrize("other", [{"a": 1}, StandardScaler(), np.arange(3)])
def test_an_artifact_that_is_no_model_is_refused(other):
    with pytest.raises(ModelError, match="no churn model"):
        load_model(skops.io.dumps(other))
