"""Past scores against what happened.

Belongs here: measures of scores whose label window has closed, and whether they are worse than the
backtest promised. Does not belong here: where scores and outcomes come from, or drift of inputs
(`drift`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from analytics_assets.churn.data import MIN_CLASS_ROWS
from analytics_assets.churn.metrics import Economics, evaluate

LEVEL_TOLERANCE = 0.1  # between mean prediction and observed share; a season moves them by less
SLOPE_LOW, SLOPE_HIGH = 0.5, 2.0


def measure(
    observed: np.ndarray, predicted: np.ndarray, value: np.ndarray, economics: Economics
) -> dict[str, Any]:
    """Compute the measures of `metrics.evaluate`, with customers and mean_predicted.

    Measures are None where fewer than 5 customers churned, or stayed.

    Args:
        observed: labels, shape (n,), boolean.
        predicted: probabilities, shape (n,).
        value: money at stake, shape (n,); NaN where unknown.
        economics: cost and success of a contact.
    """
    counts: dict[str, Any] = {
        "customers": len(observed),
        "mean_predicted": float(np.mean(predicted)) if len(predicted) else None,
        "prevalence": float(np.mean(observed)) if len(observed) else None,
    }
    churned = int(observed.sum())
    if min(churned, len(observed) - churned) < MIN_CLASS_ROWS:
        return counts
    measures = evaluate(observed, predicted, value, economics)
    return counts | {name: None if np.isnan(v) else v for name, v in measures.items()}


def shortfalls(measured: dict[str, Any], promised_auc_low: float) -> list[str]:
    """List in what the scores were worse than the backtest promised.

    Args:
        measured: result of `measure`.
        promised_auc_low: lower end of the 95% interval of the backtest's area under the ROC curve.
    """
    if measured.get("roc_auc") is None:
        return []
    worse = []
    if measured["roc_auc_high"] < promised_auc_low:
        worse.append(
            f"the order of customers is worse than in the backtest: AUC "
            f"{measured['roc_auc']:.3f} (up to {measured['roc_auc_high']:.3f}), promised "
            f"{promised_auc_low:.3f} or more"
        )
    gap = measured["mean_predicted"] - measured["prevalence"]
    share = measured["prevalence"]
    chance = 3 * (share * (1 - share) / measured["customers"]) ** 0.5
    if abs(gap) > max(LEVEL_TOLERANCE, chance):
        worse.append(
            f"the level is off: {measured['mean_predicted']:.0%} predicted, "
            f"{measured['prevalence']:.0%} churned"
        )
    slope = measured["calibration_slope"]
    if slope is not None and not SLOPE_LOW <= slope <= SLOPE_HIGH:
        worse.append(
            f"predictions are too {'extreme' if slope < 1 else 'timid'}: slope {slope:.2f}"
        )
    return worse
