"""Train, evaluate, store and apply a churn classifier.

Here: one time-ordered hold-out, a few candidates from simple to complex, the choice among
them, and what is needed to use the chosen one later. Not here: how features and labels are
made (dbt), repeated backtests, recalibration and probabilistic lifetime models.

A customer has churned when they buy nothing in ``[as_of, as_of + horizon_days)``. The label is
null until that window has closed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import sklearn
import skops.io
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skops.io.exceptions import UntrustedTypesFoundException
from threadpoolctl import threadpool_limits

KEY_COLUMNS = ("as_of", "customer_id")
LABEL_COLUMN = "churned"

RISK_MEDIUM_FROM = 0.3
RISK_HIGH_FROM = 0.7
RISK_BANDS = ("Low", "Medium", "High")

LEAK_AUC = 0.999
MIN_CLASS_ROWS = 5  # with fewer, a harmless feature separates the classes by chance
BOOTSTRAP_RESAMPLES = 200
CALIBRATION_BINS = 10

# What the candidates hold beyond the types that skops trusts by itself: public estimators of
# scikit-learn, arrays and ufuncs of NumPy, and Python's own containers and numbers.
TRUSTED_TYPES = (
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


class TrainingError(ValueError):
    """The data do not allow an honest model to be trained."""


class HistoryError(TrainingError):
    """The data hold too little history, yet, for a hold-out in time."""


class ModelError(ValueError):
    """A stored model cannot be used: damaged, not trusted, or made for other features."""


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a training run found, and the model to use.

    Attributes:
        model_version: 12 hexadecimal digits; the same data, seed and code give the same version.
        chosen: Name of the chosen candidate.
        candidates: One row for each candidate, simplest first. candidate, is_chosen; on the
            hold-out roc_auc, average_precision, brier, log_loss (nats), excess_log_loss_low and
            excess_log_loss_high (95% interval of the log loss above the best candidate's),
            prevalence; train_rows, test_rows; train_as_of_first, train_as_of_last, test_as_of.
        reliability: Hold-out calibration of the chosen candidate: see `calibration_bins`.
        model: The chosen candidate, fitted again on every row with a closed label.
        feature_columns: Features in the order in which the model expects them.
        horizon_days: Length of the label window in days.

    """

    model_version: str
    chosen: str
    candidates: pd.DataFrame
    reliability: pd.DataFrame
    model: Pipeline
    feature_columns: tuple[str, ...]
    horizon_days: int


def train(
    features: pd.DataFrame, feature_columns: Sequence[str], horizon_days: int, seed: int
) -> TrainingResult:
    """Compare the candidates on the newest as-of date and fit the chosen one on all of them.

    The test as-of date is the newest with closed labels; a training as-of date lies at least
    ``horizon_days`` before it, so that no training label was still open when the test began.
    Chosen is the simplest candidate whose log loss is not distinguishable from the best.

    Args:
        features: One row for each as-of date and customer: as_of (date or timestamp),
            customer_id, the feature columns (numeric, may be null) and churned (boolean, null
            while the label window is open; such rows are not used). The order does not matter.
        feature_columns: Columns to learn from.
        horizon_days: Length of the label window in days.
        seed: Seed of the boosted trees and of the bootstrap.

    Raises:
        TrainingError: Columns, rows, as-of dates or a class are missing; a key is null or
            stands twice; or a single feature gives the label away.

    """
    columns = tuple(feature_columns)
    rows = _labelled_rows(features, columns)
    x, y, as_of = rows[list(columns)], rows[LABEL_COLUMN].to_numpy(bool), rows["as_of"]
    is_train, is_test, test_as_of = _split_in_time(as_of, horizon_days)
    _require_both_classes(y[is_train], f"The training rows before {test_as_of:%Y-%m-%d}")
    _require_both_classes(y[is_test], f"The hold-out of {test_as_of:%Y-%m-%d}")
    _refuse_leaks(x[is_train], y[is_train])

    candidates = _candidates(seed)
    observed = y[is_test]
    predicted = {
        name: _probabilities(_fit(candidate, x[is_train], y[is_train]), x[is_test])
        for name, candidate in candidates.items()
    }
    losses = np.column_stack([_log_losses(observed, p) for p in predicted.values()])
    low, high = _excess_loss_interval(losses, seed)
    names = list(candidates)
    chosen = names[int(np.argmax((low <= 0) & (high >= 0)))]  # the first is the simplest

    table = pd.DataFrame(
        {
            "candidate": names,
            "is_chosen": [name == chosen for name in names],
            "roc_auc": [roc_auc_score(observed, p) for p in predicted.values()],
            "average_precision": [average_precision_score(observed, p) for p in predicted.values()],
            "brier": [brier_score_loss(observed, p) for p in predicted.values()],
            "log_loss": losses.mean(axis=0),
            "excess_log_loss_low": low,
            "excess_log_loss_high": high,
            "prevalence": observed.mean(),
            "train_rows": int(is_train.sum()),
            "test_rows": int(is_test.sum()),
            "train_as_of_first": as_of[is_train].min(),
            "train_as_of_last": as_of[is_train].max(),
            "test_as_of": test_as_of,
        }
    )
    return TrainingResult(
        model_version=_version(rows, candidates, columns, horizon_days, seed),
        chosen=chosen,
        candidates=table,
        reliability=calibration_bins(observed, predicted[chosen]),
        model=_fit(candidates[chosen], x, y),
        feature_columns=columns,
        horizon_days=horizon_days,
    )


def calibration_bins(
    observed: np.ndarray, predicted: np.ndarray, bins: int = CALIBRATION_BINS
) -> pd.DataFrame:
    """Mean prediction against observed share, in quantile bins of the prediction.

    Args:
        observed: Labels, shape (n,), boolean.
        predicted: Probabilities, shape (n,).
        bins: Number of bins at most. Equal predictions share a bin, so there may be fewer.

    Returns:
        One row for each bin, ascending: bin (from 1), mean_predicted, observed (shares), n.

    """
    frame = pd.DataFrame({"mean_predicted": predicted, "observed": np.asarray(observed, float)})
    quantile = np.ceil(frame["mean_predicted"].rank() * bins / len(frame))
    frame["bin"] = np.unique(quantile, return_inverse=True)[1] + 1  # no gaps where ties left some
    grouped = frame.groupby("bin")
    return grouped.mean().assign(n=grouped.size()).reset_index()


def dump_model(model: Pipeline) -> bytes:
    """Serialise a model of this module without pickle, for `load_model`."""
    return skops.io.dumps(model)


def load_model(data: bytes) -> Pipeline:
    """Read a model written by `dump_model`, running none of the code that it may name.

    Raises:
        ModelError: The bytes are damaged, name a type that is not trusted, or hold no classifier.

    """
    try:
        model = skops.io.loads(data, trusted=TRUSTED_TYPES)
    except UntrustedTypesFoundException as error:
        raise ModelError(f"The stored model holds types that are not trusted: {error}") from error
    except Exception as error:  # a damaged archive fails wherever the damage happens to be
        raise ModelError(
            f"The stored model ({len(data):,} bytes) is damaged or incomplete and cannot be read "
            f"({type(error).__name__}). Train it again."
        ) from error
    if not (isinstance(model, Pipeline) and hasattr(model, "predict_proba")):
        raise ModelError(f"The stored object is no churn model but a {type(model).__name__}.")
    return model


def score(
    model: Pipeline,
    features: pd.DataFrame,
    feature_columns: Sequence[str],
    batch_rows: int = 100_000,
) -> np.ndarray:
    """Churn probability of each row.

    Args:
        model: From `train` or `load_model`.
        features: At least the feature columns, numeric, nulls allowed.
        feature_columns: The features, in the order of training.
        batch_rows: Rows scored at a time; bounds memory, changes scores by rounding (1e-15) only.

    Returns:
        Probabilities in [0, 1], float64, shape (rows of features,).

    Raises:
        ModelError: A feature is missing, not numeric or infinite, or the features are not those
            that the model was trained on.

    """
    trained = list(model.feature_names_in_)
    if list(feature_columns) != trained:
        raise ModelError(
            f"The model was trained on {_listed(trained)}, in this order, "
            f"and is asked to score {_listed(feature_columns)}."
        )
    _require_columns(features, feature_columns, ModelError)
    probabilities = np.empty(len(features))
    for start in range(0, len(features), batch_rows):
        batch = features.iloc[start : start + batch_rows]
        matrix = _feature_matrix(batch, feature_columns, ModelError)
        probabilities[start : start + batch_rows] = _probabilities(model, matrix)
    return probabilities


def risk_band(probability: Sequence[float] | np.ndarray | pd.Series) -> np.ndarray:
    """Name the risk: Low < 0.3 <= Medium < 0.7 <= High.

    Args:
        probability: Churn probabilities in [0, 1], shape (n,).

    Returns:
        Band names, an object array of shape (n,).

    Raises:
        ValueError: A value is null or outside [0, 1].

    """
    values = np.asarray(probability, dtype=float)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("A risk band needs probabilities between 0 and 1, without nulls.")
    return np.array(RISK_BANDS, dtype=object)[
        np.digitize(values, [RISK_MEDIUM_FROM, RISK_HIGH_FROM])
    ]


def _candidates(seed: int) -> dict[str, Pipeline]:
    """The candidates, simplest first."""
    return {
        "prevalence": Pipeline([("classifier", DummyClassifier(strategy="prior"))]),
        "logistic_regression": Pipeline(
            [
                # Logarithmic in both directions: counts and money are skewed and may be negative.
                ("asinh", FunctionTransformer(np.arcsinh)),
                ("impute", SimpleImputer(strategy="median", add_indicator=True)),
                ("scale", StandardScaler()),
                ("classifier", LogisticRegression(max_iter=1000)),
            ]
        ),
        "gradient_boosting": Pipeline(
            [
                (
                    "classifier",
                    HistGradientBoostingClassifier(
                        learning_rate=0.05,
                        max_iter=150,
                        max_leaf_nodes=15,
                        l2_regularization=1.0,
                        early_stopping=False,  # it would hold out rows at random, not in time
                        random_state=seed,
                    ),
                )
            ]
        ),
    }


def _fit(candidate: Pipeline, x: pd.DataFrame, y: np.ndarray) -> Pipeline:
    # Neither the trees' binning nor a median exists for a column without any value: make it
    # constant, so that it carries no information but keeps its place.
    empty = x.columns[x.isna().all()]
    # One thread: the result does not depend on the machine's cores, and the trees' many short
    # parallel sections take 10 times as long when another process keeps a core busy.
    with threadpool_limits(1):
        return sklearn.clone(candidate).fit(x.fillna(dict.fromkeys(empty, 0.0)), y)


def _probabilities(model: Pipeline, x: pd.DataFrame) -> np.ndarray:
    with threadpool_limits(1):
        return model.predict_proba(x)[:, 1]


def _labelled_rows(features: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Keys, features and label of the rows with a closed label, uniformly typed and sorted."""
    if not columns:
        raise TrainingError("No feature columns are named: there is nothing to learn from.")
    if reserved := {*KEY_COLUMNS, LABEL_COLUMN}.intersection(columns):
        raise TrainingError(
            f"{_listed(sorted(reserved))} cannot be a feature: it is the key or the label itself."
        )
    if len(set(columns)) < len(columns):
        raise TrainingError("A feature column is named twice.")
    _require_columns(features, [*KEY_COLUMNS, LABEL_COLUMN, *columns], TrainingError)
    try:
        label = features[LABEL_COLUMN].astype("boolean")
    except (TypeError, ValueError) as error:
        raise TrainingError(f"{LABEL_COLUMN} must be true, false or null: {error}.") from error
    closed = features[label.notna()]
    if closed.empty:
        raise HistoryError(
            f"None of the {len(features):,} rows, on {features['as_of'].nunique()} as-of dates, "
            "has a closed label window. Load a longer history or shorten the horizon."
        )
    if (nulls := closed[list(KEY_COLUMNS)].isna().any(axis=1).sum()) > 0:
        raise TrainingError(f"{nulls:,} labelled rows have no as_of or no customer_id.")
    keys = pd.DataFrame(
        {
            "as_of": pd.to_datetime(closed["as_of"], utc=True)
            .dt.tz_localize(None)
            .astype("datetime64[ns]"),
            "customer_id": closed["customer_id"].astype(str).astype(object),
        }
    )
    if (repeated := keys.duplicated().sum()) > 0:
        raise TrainingError(
            f"{repeated:,} labelled rows repeat a customer on an as-of date. "
            "Supply one row for each as-of date and customer."
        )
    matrix = _feature_matrix(closed, columns, TrainingError)
    labels = label[label.notna()].astype(bool)
    rows = pd.concat([keys, matrix, labels], axis=1)
    return rows.sort_values(list(KEY_COLUMNS), ignore_index=True)


def _split_in_time(
    as_of: pd.Series, horizon_days: int
) -> tuple[np.ndarray, np.ndarray, pd.Timestamp]:
    """Masks of the training rows and the test rows, and the test as-of date."""
    if horizon_days < 1:
        raise TrainingError(f"The horizon must be at least 1 day and is {horizon_days}.")
    test_as_of = as_of.max()
    is_train = (as_of + pd.Timedelta(days=horizon_days) <= test_as_of).to_numpy()
    if not is_train.any():
        raise HistoryError(
            f"No training rows can be held apart from the test: closed labels exist on "
            f"{as_of.nunique()} as-of dates, {as_of.min():%Y-%m-%d} to {test_as_of:%Y-%m-%d}, and "
            f"none lies {horizon_days} days (the horizon) or more before the last. "
            "Load a longer history or shorten the horizon."
        )
    return is_train, (as_of == test_as_of).to_numpy(), test_as_of


def _require_both_classes(y: np.ndarray, what: str) -> None:
    churned, stayed = int(y.sum()), int((~y).sum())
    if min(churned, stayed) < MIN_CLASS_ROWS:
        raise HistoryError(
            f"{what} have {churned:,} churned and {stayed:,} retained customers; at least "
            f"{MIN_CLASS_ROWS} of each are needed. Load more customers or change the horizon."
        )


def _refuse_leaks(x: pd.DataFrame, y: np.ndarray) -> None:
    """Refuse a feature that alone orders the classes (almost) perfectly, in either direction."""
    leaks = []
    for name, values in x.items():
        # Missing values may be what gives the label away: try them at both ends.
        fills = (-np.inf, np.inf) if values.isna().any() else (0.0,)
        aucs = (_auc(y, values.fillna(fill)) for fill in fills)
        if max(max(auc, 1 - auc) for auc in aucs) > LEAK_AUC:
            leaks.append(str(name))
    if leaks:
        raise TrainingError(
            f"{_listed(leaks)} alone tells churned from retained customers (AUC above {LEAK_AUC}): "
            "the label has leaked into the features. Compute features from events before as_of "
            "only, or leave the column out."
        )


def _auc(y: np.ndarray, values: pd.Series) -> float:
    """Area under the ROC curve from ranks (Mann-Whitney U): infinities are allowed, and faster."""
    positives = int(y.sum())
    above = values.rank().to_numpy()[y].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(y) - positives)))


def _log_losses(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    tiny = np.finfo(float).eps
    return -np.log(np.clip(np.where(observed, predicted, 1 - predicted), tiny, 1.0))


def _excess_loss_interval(losses: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """95% interval of each candidate's mean loss above the best one's.

    A paired bootstrap over customers: every candidate is judged on the same resample.

    Args:
        losses: Shape (customers, candidates).
        seed: Seed of the resampling.

    Returns:
        Lower and upper bounds, each of shape (candidates,); both are 0 for the best.

    """
    excess = losses - losses[:, [losses.mean(axis=0).argmin()]]
    rng = np.random.default_rng(seed)
    n = len(excess)
    # One resample at a time: all of them at once would take customers x resamples of memory.
    means = [
        np.bincount(rng.integers(0, n, n), minlength=n) @ excess / n
        for _ in range(BOOTSTRAP_RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high


def _version(
    rows: pd.DataFrame,
    candidates: dict[str, Pipeline],
    columns: tuple[str, ...],
    horizon_days: int,
    seed: int,
) -> str:
    parameters = {
        name: {
            key: repr(value)
            for key, value in candidate.get_params().items()
            if key != "steps" and not hasattr(value, "get_params")
        }
        for name, candidate in candidates.items()
    }
    digest = hashlib.sha256(pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes())
    settings = [parameters, columns, horizon_days, seed, sklearn.__version__]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()[:12]


def _feature_matrix(
    frame: pd.DataFrame, columns: Sequence[str], error: type[ValueError]
) -> pd.DataFrame:
    """The features as float64, nulls as NaN; decimals and nullable types are converted."""
    converted = {}
    for name in columns:
        values = frame[name]
        try:
            if not (pd.api.types.is_numeric_dtype(values) or values.dtype == object):
                raise TypeError(f"its type is {values.dtype}")
            converted[name] = values.to_numpy(dtype="float64", na_value=np.nan)
        except (TypeError, ValueError) as cause:
            raise error(f"Feature {name} is not numeric: {cause}.") from cause
        if np.isinf(converted[name]).any():
            raise error(f"Feature {name} holds infinite values; make them null.")
    return pd.DataFrame(converted, index=frame.index)


def _require_columns(frame: pd.DataFrame, columns: Sequence[str], error: type[ValueError]) -> None:
    if missing := [name for name in columns if name not in frame.columns]:
        raise error(f"Columns are missing from the features: {_listed(missing)}.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
