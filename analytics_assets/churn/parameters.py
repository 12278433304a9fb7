"""The parameters of a model by name: what its fits have found, and what they were told.

Here: plain names and values. Not here: where they are shown (the model card, the asset's metadata,
MLflow).
"""

from __future__ import annotations

from typing import Any

from analytics_assets.churn.candidates import described
from analytics_assets.churn.model import ChurnModel

# Of the models of purchases and their value, by what `fit_purchases` calls them.
OF_PURCHASES = ("bgnbd", "gamma_gamma", "independence")


def parameters(model: ChurnModel) -> dict[str, float | str]:
    """All parameters of a model.

    Returns:
        Fitted numbers: the calibration, coefficients of a regression by the column that they are
        of (standardised), the candidate's own where it is a model of purchases, and those of
        BG/NBD and Gamma-Gamma by which values are expected. Settings of the candidate's estimator
        as texts.

    """
    found: dict[str, float | str] = {
        "calibration.slope": float(model.slope),
        "calibration.centre": float(model.centre),
    }
    own = getattr(model.classifier, "parameters_", {})
    found |= {f"{model.candidate}.{name}": float(value) for name, value in own.items()}
    found |= {f"coefficient.{name}": value for name, value in _coefficients(model).items()}
    for name in OF_PURCHASES:
        of_model = model.purchases.get(name, {})
        found |= {f"{name}.{key}": float(value) for key, value in of_model.items()}
    settings = described(model.classifier)
    return found | {f"setting.{name}": value for name, value in settings.items()}


def _coefficients(model: ChurnModel) -> dict[str, float]:
    """Of a regression: the intercept and one for each number that it reads."""
    steps: dict[str, Any] = dict(getattr(model.classifier, "steps", []))
    regression: Any = steps.get("classifier")
    if not hasattr(regression, "coef_"):
        return {}
    names = steps["impute"].get_feature_names_out()
    values = {"intercept": float(regression.intercept_[0])}
    return values | {str(n): float(v) for n, v in zip(names, regression.coef_[0], strict=True)}
