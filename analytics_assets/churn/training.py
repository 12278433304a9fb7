"""Train: compare the candidates on the past, choose the simplest of the best, fit it on everything.

Belongs here: the steps of a training and its result. Does not belong here: what the steps do
(`data`, `candidates`, `backtest`, `metrics`, `model`), or whether the new model replaces the one
in use (`decision`).

A customer has churned when they buy nothing in ``[as_of, as_of + horizon_days)``. The label is
null until that window has closed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analytics_assets.churn import backtest, drift, metrics
from analytics_assets.churn import candidates as c
from analytics_assets.churn.data import (
    FeatureSet,
    LabelledRows,
    labelled_rows,
    refuse_leaks,
    require_both_classes,
)
from analytics_assets.churn.model import ChurnModel, most_important, typical_values
from analytics_assets.lifetime.purchases import fit_purchases

SCORE = "churn_probability"  # name of the score among the features whose drift is watched


@dataclass(frozen=True)
class Plan:
    """Settings of a training.

    Attributes:
        horizon_days: length of the label window in days; not used for a single snapshot.
        seed: seed of everything random.
        dates: test dates of the backtest; folds, for a single snapshot.
        iterations: trees of gradient boosting.
        economics: cost and success of a contact.
    """

    horizon_days: int
    seed: int
    dates: int = 2
    iterations: int = 100
    economics: metrics.Economics = field(default_factory=lambda: metrics.Economics(5.0, 0.1))


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """The result of a training: the model, and how good it and the other candidates are.

    Attributes:
        model: the chosen candidate, calibrated, fitted on every row with a closed label.
        candidates: one row for each candidate, simplest first: candidate, is_chosen, the measures
            of `metrics.evaluate` over all reported tests, excess_log_loss_low and
            excess_log_loss_high (95% interval of the log loss above the best candidate's),
            train_rows (of the fit in the end) and test_rows.
        backtest: one row for each candidate and reported test, newest test first: candidate,
            test, the measures, calibrated (by older tests), train_rows, test_rows.
        predictions: what the chosen candidate predicted in the reported tests: test, customer_id,
            observed, churn_probability. Later models are compared with them.
        reliability: calibration of the chosen candidate on the newest test; see
            `metrics.calibration_bins`.
        lift: the same test by tenths; see `metrics.lift_by_decile`.
        profit: profit by share contacted on the same test, at up to 101 shares; empty where no
            value is known.
        data_hash: SHA-256 of all training data, 64 hexadecimal digits.
        trained_on: first and last as-of date of the model's fit, as texts; empty texts for a
            single snapshot.
        failed: why a candidate, or purchases and value, have no estimate and are left out, by name.
    """

    model: ChurnModel
    candidates: pd.DataFrame
    backtest: pd.DataFrame
    predictions: pd.DataFrame
    reliability: pd.DataFrame
    lift: pd.DataFrame
    profit: pd.DataFrame
    data_hash: str
    trained_on: tuple[str, str]
    failed: dict[str, str]

    @property
    def chosen(self) -> str:
        """Name of the chosen candidate."""
        return self.model.candidate

    @property
    def newest_test(self) -> str:
        """Name of the newest test: its as-of date."""
        return str(self.backtest["test"].iloc[0])


def train(frame: pd.DataFrame, features: FeatureSet, plan: Plan) -> TrainingResult:
    """Compare the candidates in a backtest and fit the chosen one on all rows.

    With as-of dates the tests are rolling origins, see `backtest`; a table without a column as_of
    is one snapshot and is cross-validated. The simplest candidate is chosen whose log loss cannot
    be distinguished from the smallest, by a paired bootstrap over customers.

    Args:
        frame: see `data.labelled_rows`.
        features: the roles of its columns.
        plan: settings of the training.

    Raises:
        TrainingError: columns, rows, as-of dates or a class are missing; a key is null or
            repeated; or a single feature predicts the label.
    """
    labelled = labelled_rows(frame, features)
    timed = labelled.as_of.notna().any()
    if timed:
        splits = backtest.rolling_origins(labelled.as_of, labelled.y, plan.horizon_days, plan.dates)
    else:
        require_both_classes(labelled.y, "The rows")
        splits = backtest.folds(labelled.y, max(plan.dates, 2), plan.seed)
    refuse_leaks(labelled.x.iloc[splits[0].train], labelled.y[splits[0].train])

    built = c.build_candidates(features, plan.iterations, plan.seed, plan.horizon_days)
    predictions = backtest.run(labelled, splits, built)
    built = [candidate for candidate in built if candidate.name not in predictions.failed]
    table, chosen = _compare(labelled, predictions, built, splits, plan)
    candidate = next(candidate for candidate in built if candidate.name == chosen)
    data_hash = _data_hash(labelled)
    model = _fit_final(labelled, features, plan, candidate, predictions.slopes[chosen])
    model.version = _version(data_hash, built, features, plan)
    return TrainingResult(
        model=model,
        candidates=table,
        backtest=_by_test(labelled, predictions, built, splits, plan),
        predictions=_predictions(labelled, predictions, chosen),
        **_curves(labelled, predictions, chosen, splits, plan),
        data_hash=data_hash,
        trained_on=_dates(labelled) if timed else ("", ""),
        failed={**predictions.failed, **_add_purchases(model, labelled, features)},
    )


def _add_purchases(
    model: ChurnModel, labelled: LabelledRows, features: FeatureSet
) -> dict[str, str]:
    """Fit the models of purchases and spend; returns why, where they have no estimate."""
    if features.purchases is None:
        return {}
    try:
        model.purchases = fit_purchases(labelled.newest, features.purchases)
    except ValueError as error:
        return {"purchases and value": str(error)}
    return {}


def _compare(
    labelled: LabelledRows,
    predictions: backtest.Predictions,
    built: list[c.Candidate],
    splits: list[backtest.Split],
    plan: Plan,
) -> tuple[pd.DataFrame, str]:
    """Measures of the candidates over all reported tests, and the name of the chosen one."""
    names = [candidate.name for candidate in built]
    counted = predictions.rows[predictions.reported]
    observed, customers = labelled.y[counted], labelled.customers.to_numpy()[counted]
    predicted = {name: predictions.calibrated[name][predictions.reported] for name in names}
    losses = np.column_stack([metrics.log_losses(observed, predicted[name]) for name in names])
    low, high = metrics.excess_interval(losses, customers, plan.seed)
    chosen = names[int(np.argmax((low <= 0) & (high >= 0)))]  # the first is the simplest
    measured = [
        {
            "candidate": name,
            "is_chosen": name == chosen,
            **metrics.evaluate(
                observed, predicted[name], labelled.value[counted], plan.economics, customers
            ),
        }
        for name in names
    ]
    table = pd.DataFrame(measured).assign(
        excess_log_loss_low=low,
        excess_log_loss_high=high,
        train_rows=[
            len(labelled.newest if candidate.from_history else labelled.x) for candidate in built
        ],
        test_rows=len(counted),
    )
    return table, chosen


def _by_test(
    labelled: LabelledRows,
    predictions: backtest.Predictions,
    built: list[c.Candidate],
    splits: list[backtest.Split],
    plan: Plan,
) -> pd.DataFrame:
    rows = []
    for split in splits:
        if not split.reported:
            continue
        mask = predictions.split == split.name
        for candidate in built:
            measures = metrics.evaluate(
                labelled.y[split.test],
                predictions.calibrated[candidate.name][mask],
                labelled.value[split.test],
                plan.economics,
            )
            rows.append(
                {
                    "candidate": candidate.name,
                    "test": split.name,
                    **measures,
                    "calibrated": bool(split.calibration),
                    "train_rows": len(backtest.fitted_on(split, candidate)),
                    "test_rows": len(split.test),
                }
            )
    return pd.DataFrame(rows)


def _predictions(
    labelled: LabelledRows, predictions: backtest.Predictions, chosen: str
) -> pd.DataFrame:
    rows = predictions.rows[predictions.reported]
    return pd.DataFrame(
        {
            "test": predictions.split[predictions.reported],
            "customer_id": labelled.customers.to_numpy()[rows],
            "observed": labelled.y[rows],
            "churn_probability": predictions.calibrated[chosen][predictions.reported],
        }
    )


def _curves(
    labelled: LabelledRows,
    predictions: backtest.Predictions,
    chosen: str,
    splits: list[backtest.Split],
    plan: Plan,
) -> dict[str, pd.DataFrame]:
    """Calibration, lift and profit of the chosen candidate on the newest test."""
    test = splits[0].test
    observed = labelled.y[test]
    predicted = predictions.calibrated[chosen][predictions.split == splits[0].name]
    value = labelled.value[test]
    profit = pd.DataFrame({"share": [], "profit": []})
    if np.isfinite(value).any():
        curve = metrics.profit_curve(observed, predicted, value, plan.economics)
        profit = curve.iloc[np.unique(np.linspace(0, len(curve) - 1, 101).astype(int))]
    return {
        "reliability": metrics.calibration_bins(observed, predicted),
        "lift": metrics.lift_by_decile(observed, predicted),
        "profit": profit.reset_index(drop=True),
    }


def _fit_final(
    labelled: LabelledRows, features: FeatureSet, plan: Plan, candidate: c.Candidate, slope: float
) -> ChurnModel:
    """Fit the candidate on everything, calibrated by its predictions in the backtest."""
    x, y = labelled.x, labelled.y
    if candidate.from_history:
        classifier = c.fit(candidate, labelled.newest, None)
    else:
        classifier = c.fit(candidate, x, y)
    timed = labelled.as_of.notna().any()
    end = labelled.as_of.max() + pd.Timedelta(days=plan.horizon_days) if timed else None
    model = ChurnModel(
        candidate=candidate.name,
        version="",
        classifier=classifier,
        columns=candidate.columns,
        inputs=features.inputs,
        categorical=tuple(name for name in features.categorical if name in features.inputs),
        slope=slope,
        centre=float(metrics.log_odds(y.mean())),
        typical=typical_values(x, features.categorical),
        explained=(),
        horizon_days=plan.horizon_days if timed else 0,
        trained_to=f"{end:%Y-%m-%d}" if end is not None else "",
    )
    model.explained = most_important(model, labelled.newest, plan.seed)
    model.drift_reference = _reference(model, labelled.newest, features)
    return model


def _reference(
    model: ChurnModel, x: pd.DataFrame, features: FeatureSet
) -> dict[str, dict[str, Any]]:
    """Distributions of the inputs and of the score when the model was trained."""
    known: dict[str, Any] = {
        name: x[name].to_numpy() for name in features.inputs if name not in features.categorical
    }
    known[SCORE] = model.probability(x)
    references = drift.references(known, drifts_by_construction=features.growing)
    return {reference.feature: asdict(reference) for reference in references}


def _dates(labelled: LabelledRows) -> tuple[str, str]:
    return f"{labelled.as_of.min():%Y-%m-%d}", f"{labelled.as_of.max():%Y-%m-%d}"


def _data_hash(labelled: LabelledRows) -> str:
    learnt = labelled.x.assign(
        as_of=labelled.as_of, customer_id=labelled.customers, churned=labelled.y
    ).assign(value=labelled.value)
    digest = hashlib.sha256()
    for frame in (learnt, labelled.newest):
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _version(data_hash: str, built: list[c.Candidate], features: FeatureSet, plan: Plan) -> str:
    settings = json.dumps([asdict(features), asdict(plan)], sort_keys=True)
    digest = hashlib.sha256("\n".join([data_hash, c.recipe(built), settings]).encode())
    return digest.hexdigest()[:12]
