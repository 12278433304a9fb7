"""What was predicted against what happened.

Here: measures of past scores once their window has closed, and when they are worse than the
backtest promised. Not here: where scores and outcomes come from, or drift of inputs (`drift`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analytics_assets.churn.data import MIN_CLASS_ROWS
from analytics_assets.churn.metrics import Economics, evaluate

LEVEL_TOLERANCE = 0.1  # of mean prediction and observed share; a season moves them by less
SLOPE_LOW, SLOPE_HIGH = 0.5, 2.0


def measure(
    observed: np.ndarray, predicted: np.ndarray, value: np.ndarray, economics: Economics
) -> dict[str, Any]:
    """All measures of `metrics.evaluate`, with customers and mean_predicted.

    Measures are None where fewer than 5 customers churned, or stayed.

    Args:
        observed: Labels, shape (n,), boolean.
        predicted: Probabilities, shape (n,).
        value: Money at stake, shape (n,); NaN where unknown.
        economics: What contacting costs and brings.

    """
    found: dict[str, Any] = {
        "customers": len(observed),
        "mean_predicted": float(np.mean(predicted)) if len(predicted) else None,
        "prevalence": float(np.mean(observed)) if len(observed) else None,
    }
    churned = int(observed.sum())
    if min(churned, len(observed) - churned) < MIN_CLASS_ROWS:
        return found
    measures = evaluate(observed, predicted, value, economics)
    return found | {name: None if np.isnan(v) else v for name, v in measures.items()}


def shortfalls(measured: dict[str, Any], promised_auc_low: float) -> list[str]:
    """In what the scores were worse than the backtest promised; empty where they held.

    Args:
        measured: From `measure`.
        promised_auc_low: Lower end of the 95% interval of the backtest's area under the ROC curve.

    """
    if measured.get("roc_auc") is None:
        return []
    found = []
    if measured["roc_auc_high"] < promised_auc_low:
        found.append(
            f"the order of customers is worse than in the backtest: AUC "
            f"{measured['roc_auc']:.3f} (up to {measured['roc_auc_high']:.3f}), promised "
            f"{promised_auc_low:.3f} or more"
        )
    gap = measured["mean_predicted"] - measured["prevalence"]
    share = measured["prevalence"]
    chance = 3 * (share * (1 - share) / measured["customers"]) ** 0.5
    if abs(gap) > max(LEVEL_TOLERANCE, chance):
        found.append(
            f"the level is off: {measured['mean_predicted']:.0%} predicted, "
            f"{measured['prevalence']:.0%} churned"
        )
    slope = measured["calibration_slope"]
    if slope is not None and not SLOPE_LOW <= slope <= SLOPE_HIGH:
        found.append(
            f"predictions are too {'extreme' if slope < 1 else 'timid'}: slope {slope:.2f}"
        )
    return found
