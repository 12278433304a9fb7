"""How good probabilities of churn are: discrimination, calibration, lift and profit.

Belongs here: measures of predictions against observed labels, and their uncertainty. Does not
belong here: which rows are predicted (`backtest`), or which candidate is best (`training`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

CALIBRATION_BINS = 10
RESAMPLES = 400
_TINY = 1e-6  # no model is surer than one in a million


@dataclass(frozen=True)
class Economics:
    """The cost and the success of contacting customers.

    Attributes:
        contact_cost: money for each contact.
        contact_success: share of contacted churners who stay, in [0, 1].
    """

    contact_cost: float
    contact_success: float


@dataclass(frozen=True)
class CalibrationLine:
    """Logistic regression of the label on the predicted log-odds.

    Cox, Two further applications of a model for binary regression, Biometrika 45 (1958). A slope
    below 1 means predictions too extreme, above 1 too timid; an intercept below 0 (at slope 1)
    means churn predicted too high.

    Attributes:
        slope: NaN where all predictions are the same.
        intercept: that of the line with slope 1, so that it measures the error of the level.
    """

    slope: float
    intercept: float


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, clipped to a millionth from 0 and 1."""
    p = np.clip(probability, _TINY, 1 - _TINY)
    return np.log(p / (1 - p))


def probability_of(log_odds_: np.ndarray) -> np.ndarray:
    """The probability of log-odds."""
    return 1 / (1 + np.exp(-log_odds_))


def log_losses(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Log loss of each row in nats, shape (n,)."""
    return -np.log(np.clip(np.where(observed, predicted, 1 - predicted), _TINY, 1.0))


def evaluate(
    observed: np.ndarray,
    predicted: np.ndarray,
    value: np.ndarray,
    economics: Economics,
    clusters: np.ndarray | None = None,
) -> dict[str, float]:
    """Compute every measure of a set of predictions.

    Args:
        observed: labels, shape (n,), boolean, of both classes.
        predicted: probabilities, shape (n,).
        value: money at stake for each row, shape (n,); NaN where unknown.
        economics: cost and success of a contact.
        clusters: the customer of each row, shape (n,), as rows of one customer are not
            independent; by default each row is its own.

    Returns:
        roc_auc with roc_auc_low and roc_auc_high (95%), average_precision, brier, log_loss (nats),
        calibration_slope, calibration_intercept, top_decile_lift, profit and profit_share (the
        share contacted at which profit is largest; both NaN where no value is known), prevalence.
    """
    auc, error = auc_and_error(observed, predicted, clusters)
    line = calibration_line(observed, predicted)
    profit, share = best_profit(observed, predicted, value, economics)
    return {
        "roc_auc": auc,
        "roc_auc_low": max(auc - 1.96 * error, 0.0),
        "roc_auc_high": min(auc + 1.96 * error, 1.0),
        "average_precision": float(average_precision_score(observed, predicted)),
        "brier": float(np.mean((predicted - observed) ** 2)),
        "log_loss": float(log_losses(observed, predicted).mean()),
        "calibration_slope": line.slope,
        "calibration_intercept": line.intercept,
        "top_decile_lift": float(lift_by_decile(observed, predicted)["lift"].iloc[0]),
        "profit": profit,
        "profit_share": share,
        "prevalence": float(observed.mean()),
    }


def auc_and_error(
    observed: np.ndarray, predicted: np.ndarray, clusters: np.ndarray | None = None
) -> tuple[float, float]:
    """Area under the ROC curve and its standard error; rows within a cluster are dependent.

    The variance of the placement values of DeLong et al., Biometrics 44 (1988), summed within
    clusters as in Obuchowski, Biometrics 53 (1997).
    """
    scores = pd.Series(np.asarray(predicted, float))
    observed = np.asarray(observed, bool)
    churned, retained = int(observed.sum()), int((~observed).sum())
    above = scores.rank().to_numpy()  # average ranks: a tie counts half
    placement = np.empty(len(scores))
    placement[observed] = (above[observed] - scores[observed].rank()) / retained
    placement[~observed] = 1 - (above[~observed] - scores[~observed].rank()) / churned
    auc = float(placement[observed].mean())
    influence = (placement - auc) / np.where(observed, churned, retained)
    if clusters is not None:
        return auc, float(
            np.sqrt((np.bincount(pd.factorize(clusters)[0], weights=influence) ** 2).sum())
        )
    return auc, float(np.sqrt((influence**2).sum()))


def calibration_line(observed: np.ndarray, predicted: np.ndarray) -> CalibrationLine:
    """Slope and intercept of calibration; see `CalibrationLine`."""
    x = log_odds(np.asarray(predicted, float))
    y = np.asarray(observed, float)
    one = np.ones((len(x), 1))
    (intercept,) = _logistic(one, y, offset=x)
    if np.ptp(x) < 1e-9:
        return CalibrationLine(float("nan"), float(intercept))
    slope = _logistic(np.column_stack([x, one]), y)[0]
    return CalibrationLine(float(slope), float(intercept))


def common_slope(observed: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> float:
    """Calibration slope over several windows, each with a level of its own.

    The level of a window depends on the season and says little about the next window; the spread of
    the predictions says more.

    Args:
        observed: labels, shape (n,), boolean.
        predicted: probabilities, shape (n,).
        groups: the window of each row, shape (n,).

    Returns:
        The slope, not below 0; 1 where the predictions do not differ within any window.
    """
    x = log_odds(np.asarray(predicted, float))
    codes, names = pd.factorize(groups)
    levels = np.eye(len(names))[codes]
    within = x - (np.bincount(codes, weights=x) / np.bincount(codes))[codes]
    if np.abs(within).max() < 1e-9:
        return 1.0
    return max(float(_logistic(np.column_stack([x, levels]), np.asarray(observed, float))[0]), 0.0)


def _logistic(x: np.ndarray, y: np.ndarray, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Logistic regression by Newton's method, with a tiny ridge penalty against separation."""
    ridge = 1e-6 * np.eye(x.shape[1])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = probability_of(np.clip(x @ weights + offset, -30, 30))
        gradient = x.T @ (y - p) - ridge @ weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + ridge
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def calibration_bins(
    observed: np.ndarray, predicted: np.ndarray, bins: int = CALIBRATION_BINS
) -> pd.DataFrame:
    """Mean prediction against observed share, in quantile bins of the prediction.

    Args:
        observed: labels, shape (n,), boolean.
        predicted: probabilities, shape (n,).
        bins: number of bins at most. Equal predictions share a bin, so there may be fewer.

    Returns:
        One row for each bin, ascending: bin (from 1), mean_predicted, observed (shares), n.
    """
    frame = pd.DataFrame({"mean_predicted": predicted, "observed": np.asarray(observed, float)})
    quantile = np.ceil(frame["mean_predicted"].rank() * bins / len(frame))
    frame["bin"] = np.unique(quantile, return_inverse=True)[1] + 1  # no gaps where ties left some
    grouped = frame.groupby("bin")
    return grouped.mean().assign(n=grouped.size()).reset_index()


def lift_by_decile(observed: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Share that churned in each tenth of the customers, the highest predictions first.

    Equal predictions share the mean of their labels, so that the order of rows does not matter.

    Returns:
        One row for each tenth: decile (from 1), n, observed (share), lift (over all customers),
        captured (share of all churned customers in this tenth and those before).
    """
    expected = _shared_among_ties(np.asarray(observed, float), np.asarray(predicted, float))
    ranked = expected[np.argsort(-np.asarray(predicted), kind="stable")]
    tenths = np.array_split(ranked, 10)
    share = np.array([tenth.mean() if len(tenth) else np.nan for tenth in tenths])
    return pd.DataFrame(
        {
            "decile": range(1, 11),
            "n": [len(tenth) for tenth in tenths],
            "observed": share,
            "lift": share / ranked.mean(),
            "captured": np.cumsum([tenth.sum() for tenth in tenths]) / ranked.sum(),
        }
    )


def profit_curve(
    observed: np.ndarray, predicted: np.ndarray, value: np.ndarray, economics: Economics
) -> pd.DataFrame:
    """Profit of contacting the most worthwhile customers, by the share contacted.

    Customers are ordered by the value that a contact is expected to save, prediction times value. A
    contact has its cost, and saves a churner's value with the probability of success.

    Args:
        observed: labels, shape (n,), boolean.
        predicted: probabilities, shape (n,).
        value: money at stake, shape (n,); NaN counts as 0.
        economics: cost and success of a contact.

    Returns:
        From none to all contacted: share, profit (money, of all n rows).
    """
    worth = np.nan_to_num(value)
    expected = np.asarray(predicted, float) * worth
    saved = _shared_among_ties(np.asarray(observed, float) * worth, expected)
    gain = saved * economics.contact_success - economics.contact_cost
    profit = np.concatenate([[0.0], np.cumsum(gain[np.argsort(-expected, kind="stable")])])
    return pd.DataFrame({"share": np.arange(len(profit)) / len(gain), "profit": profit})


def best_profit(
    observed: np.ndarray, predicted: np.ndarray, value: np.ndarray, economics: Economics
) -> tuple[float, float]:
    """Largest profit and the share contacted for it; NaN where no value is known."""
    if not np.isfinite(value).any():
        return float("nan"), float("nan")
    curve = profit_curve(observed, predicted, value, economics)
    best = curve.loc[curve["profit"].idxmax()]
    return float(best["profit"]), float(best["share"])


def _shared_among_ties(amount: np.ndarray, order: np.ndarray) -> np.ndarray:
    codes = np.unique(order, return_inverse=True)[1]
    return (np.bincount(codes, weights=amount) / np.bincount(codes))[codes]


def excess_interval(
    losses: np.ndarray, clusters: np.ndarray, seed: int, reference: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of each column's mean loss above that of the best, or of a given one.

    A paired bootstrap over customers: every column is judged on the same resample, and the rows of
    a customer stay together.

    Args:
        losses: shape (rows, columns).
        clusters: the customer of each row, shape (rows,).
        seed: seed of the resampling.
        reference: the column compared with; by default the one with the smallest mean.

    Returns:
        Lower and upper bounds, each of shape (columns,); both are 0 for the reference.
    """
    best = losses.mean(axis=0).argmin() if reference is None else reference
    excess = losses - losses[:, [best]]
    codes = pd.factorize(clusters)[0]
    customers = codes.max() + 1
    sums = np.column_stack(
        [
            *(np.bincount(codes, weights=column, minlength=customers) for column in excess.T),
            np.bincount(codes, minlength=customers),
        ]
    )
    rng = np.random.default_rng(seed)
    # One resample at a time: all of them at once would take customers x resamples of memory.
    totals = np.array(
        [
            np.bincount(rng.integers(0, customers, customers), minlength=customers) @ sums
            for _ in range(RESAMPLES)
        ]
    )
    means = totals[:, :-1] / totals[:, -1:]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high
