"""Every parameter of a model is said, wherever a model is described."""

from types import SimpleNamespace

from analytics_assets.churn.parameters import parameters
from analytics_assets.churn.run_records import PARAMS_AT_ONCE, log_run
from analytics_assets.lifetime.purchases import fit_purchases
from analytics_assets.reports.model_card import model_card
from analytics_assets_tests.lifetime.test_purchases import ROLES, histories

from .conftest import PLAN


def test_all_that_was_fitted_is_named(result):
    found = parameters(result.model)
    assert found["calibration.slope"] == result.model.slope
    regression = dict(result.model.classifier.steps)["classifier"]
    named = [name for name in found if name.startswith("coefficient.")]
    assert len(named) == regression.coef_.size + 1
    assert found["setting.classifier__C"] == repr(regression.C)


def test_models_of_purchases_are_in_the_card_and_in_mlflow(result):
    model = result.model
    before, model.purchases = model.purchases, fit_purchases(histories(500), ROLES)
    try:
        found = parameters(model)
        for name in ("bgnbd.r", "bgnbd.alpha", "bgnbd.a", "bgnbd.b", "gamma_gamma.p"):
            assert isinstance(found[name], float)
        card = model_card(result, PLAN, {})
        for name, value in found.items():
            shown = value if isinstance(value, str) else format(value, ".6g")
            assert f"| {name} | {shown} |" in card
        logged: list[str] = []

        def log_batch(run_id, metrics=(), params=()):
            assert len(params) <= PARAMS_AT_ONCE
            logged.extend(param.key for param in params)

        log_run(SimpleNamespace(log_batch=log_batch), "run", result, {})
        assert found.keys() <= set(logged)
    finally:
        model.purchases = before
