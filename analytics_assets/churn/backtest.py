"""The backtest: what each candidate predicts on rows that its fit has not seen.

Belongs here: splits in time (or folds, for a table that is one snapshot), and the predictions of
every candidate. Does not belong here: the candidates, or the choice among them.

Origins are as-of dates T1 > T2 > ..., newest first, at least a label window from each other. The
fit for an origin uses every as-of date whose label window had closed by then. So no training label
was open when the test began, no two tests share a label window, and the predictions for older
origins can calibrate the newer ones. See Tashman, Out-of-sample
tests of forecasting accuracy, International Journal of Forecasting 16 (2000).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analytics_assets.churn import candidates as c
from analytics_assets.churn.data import (
    HistoryError,
    LabelledRows,
    TrainingError,
    require_both_classes,
)
from analytics_assets.churn.metrics import common_slope, log_odds, probability_of


@dataclass(frozen=True, eq=False)
class Split:
    """A test and the rows that may be known before it.

    Attributes:
        name: the test's as-of date, or the number of the fold.
        train: row numbers to fit on.
        test: row numbers to predict.
        calibration: names of the splits whose test predictions may be used to calibrate this one.
        reported: whether it counts in comparisons. The oldest origin cannot be calibrated, and only
            calibrates the newer ones, unless it is the only one.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    calibration: tuple[str, ...]
    reported: bool


def rolling_origins(as_of: pd.Series, y: np.ndarray, horizon_days: int, dates: int) -> list[Split]:
    """Split the rows in time, newest test first; see the module.

    Args:
        as_of: as-of date of each row with a closed label, shape (n,).
        y: labels, shape (n,), boolean.
        horizon_days: length of the label window in days.
        dates: most tests to report; one more calibrates the oldest of them.

    Raises:
        HistoryError: no row lies a label window before the newest as-of date.
        TrainingError: the horizon or the number of dates is not positive, or the newest test or
            its training rows lack a class.
    """
    if horizon_days < 1 or dates < 1:
        raise TrainingError(
            f"The horizon and the number of test dates must be at least 1, and are {horizon_days} "
            f"days and {dates}."
        )
    horizon = pd.Timedelta(days=horizon_days)
    splits: list[tuple[str, np.ndarray, np.ndarray]] = []
    origin = as_of.max()
    while len(splits) <= dates:
        train = np.flatnonzero((as_of + horizon <= origin).to_numpy())
        if not len(train):
            break
        test = np.flatnonzero((as_of == origin).to_numpy())
        name = f"{origin:%Y-%m-%d}"
        try:
            require_both_classes(y[train], f"The training rows before {name}")
            require_both_classes(y[test], f"The test rows of {name}")
        except TrainingError:
            if splits:
                break  # the history before is too young to count
            raise
        splits.append((name, train, test))
        origin = as_of.iloc[train].max()
    if not splits:
        raise HistoryError(
            f"Training rows and test cannot be separated in time: closed labels exist on "
            f"{as_of.nunique()} as-of dates, {as_of.min():%Y-%m-%d} to {as_of.max():%Y-%m-%d}, and "
            f"none lies {horizon_days} days (the horizon) or more before the last. "
            "Load a longer history or shorten the horizon."
        )
    names = [name for name, _, _ in splits]
    return [
        Split(
            name,
            train,
            test,
            tuple(names[number + 1 :]),
            reported=number == 0 or number + 1 < len(names),
        )
        for number, (name, train, test) in enumerate(splits)
    ]


def folds(y: np.ndarray, number: int, seed: int) -> list[Split]:
    """Split a table that is one snapshot into stratified folds; the others calibrate each fold.

    Args:
        y: labels, shape (n,), boolean.
        number: number of folds.
        seed: seed of the shuffling.
    """
    from sklearn.model_selection import StratifiedKFold

    shuffled = StratifiedKFold(number, shuffle=True, random_state=seed)
    return [
        Split(
            f"fold {fold + 1}",
            train,
            test,
            tuple(f"fold {other + 1}" for other in range(number) if other != fold),
            reported=True,
        )
        for fold, (train, test) in enumerate(shuffled.split(np.zeros(len(y)), y))
    ]


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of the candidates on rows that their fits had not seen.

    Attributes:
        rows: row numbers in the labelled rows, split by split, shape (n,).
        split: name of the split of each row, shape (n,).
        reported: whether the split counts in comparisons, shape (n,).
        raw: probabilities before calibration by candidate, each of shape (n,).
        calibrated: probabilities after calibration by candidate, each of shape (n,).
        slopes: calibration slope for the final model by candidate, from all splits.
        failed: why a candidate has no estimate and is left out, by its name.
    """

    rows: np.ndarray
    split: np.ndarray
    reported: np.ndarray
    raw: dict[str, np.ndarray]
    calibrated: dict[str, np.ndarray]
    slopes: dict[str, float]
    failed: dict[str, str]


def run(
    labelled: LabelledRows, splits: Sequence[Split], candidates: Sequence[c.Candidate]
) -> Predictions:
    """Fit every candidate for every split, predict the test, and calibrate it by older tests.

    The fits run in parallel, each on one core; how many run at once does not change the result.
    """
    y = labelled.y
    rows = np.concatenate([split.test for split in splits])
    names = np.concatenate([np.full(len(split.test), split.name, object) for split in splits])
    raw, calibrated, slopes = {}, {}, {}
    failed: dict[str, str] = {}
    with c.one_thread_each(), ThreadPoolExecutor(os.cpu_count()) as pool:
        # The last candidates take longest: started first, they leave no core idle at the end.
        futures = {
            candidate.name: [pool.submit(_predict, labelled, split, candidate) for split in splits]
            for candidate in reversed(candidates)
        }
    for candidate in candidates:
        try:
            by_split = [future.result() for future in futures[candidate.name]]
        except ValueError as error:
            if not candidate.from_history:
                raise
            failed[candidate.name] = str(error)
            continue
        predicted = np.concatenate(by_split)
        raw[candidate.name] = predicted
        calibrated[candidate.name] = np.concatenate(
            [
                recalibrated(
                    of_split,
                    _slope(y[rows], predicted, names, split.calibration),
                    float(log_odds(y[split.train].mean())),
                )
                for split, of_split in zip(splits, by_split, strict=True)
            ]
        )
        slopes[candidate.name] = _slope(y[rows], predicted, names, [s.name for s in splits])
    return Predictions(
        rows=rows,
        split=names,
        reported=np.isin(names, [split.name for split in splits if split.reported]),
        raw=raw,
        calibrated=calibrated,
        slopes=slopes,
        failed=failed,
    )


def _predict(labelled: LabelledRows, split: Split, candidate: c.Candidate) -> np.ndarray:
    x, rows = labelled.x, fitted_on(split, candidate)
    labels = None if candidate.from_history else labelled.y[rows]
    fitted = c.fit(candidate, x.iloc[rows], labels)
    return c.predict(fitted, x.iloc[split.test][list(candidate.columns)])


def fitted_on(split: Split, candidate: c.Candidate) -> np.ndarray:
    """Row numbers that a candidate is fitted on for a test.

    Histories as of the test's date are known by then; its labels are not looked at.
    """
    return split.test if candidate.from_history else split.train


def recalibrated(probability: np.ndarray, slope: float, centre: float) -> np.ndarray:
    """Make probabilities more or less extreme, around a centre in log-odds.

    Args:
        probability: shape (n,).
        slope: 1 changes nothing; below 1 makes less extreme.
        centre: log-odds that do not change: those of the share that churned in the training rows.
    """
    if slope == 1.0:
        return probability
    return probability_of(centre + slope * (log_odds(probability) - centre))


def _slope(
    observed: np.ndarray, predicted: np.ndarray, names: np.ndarray, used: Sequence[str]
) -> float:
    mask = np.isin(names, list(used))
    if not mask.any():
        return 1.0
    return common_slope(observed[mask], predicted[mask], names[mask])
