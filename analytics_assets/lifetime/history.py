"""Purchase histories: their columns, and the checks that every model needs.

Belongs here: column names, validation, and distinct histories. Does not belong here: models.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analytics_assets.lifetime.likelihood import Floats


@dataclass(frozen=True)
class Purchases:
    """The columns of a customer's purchase history, for the models of purchases.

    Attributes:
        days: number of days with a purchase, at least 1.
        tenure: days from the first purchase to the as-of date.
        silence: days from the last purchase to the as-of date.
        repeat_amount: money of the repeat purchases, on days after the first, at least 0.
    """

    days: str
    tenure: str
    silence: str
    repeat_amount: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The four columns."""
        return (self.days, self.tenure, self.silence, self.repeat_amount)


def unique_rows(*columns: Floats) -> tuple[tuple[Floats, ...], NDArray[np.intp]]:
    """The distinct rows of columns of shape (n,), ascending, and the number of each row's own."""
    key: np.ndarray = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values, code = np.unique(column, return_inverse=True)
        # One column at a time: the product stays below n squared, which fits into int64.
        key = np.unique(key, return_inverse=True)[1] * len(values) + code
    _, first, row = np.unique(key, return_index=True, return_inverse=True)
    return tuple(column[first] for column in columns), row


def histories(
    frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Convert histories to float64 of shape (n,), and check them.

    Raises:
        ValueError: a history is impossible; the message counts them and shows the first.
    """
    x, t_x, age_ = (
        np.atleast_1d(np.asarray(values, dtype=np.float64)) for values in (frequency, recency, age)
    )
    if not (x.ndim == 1 and x.shape == t_x.shape == age_.shape):
        raise ValueError(
            "frequency, recency and age need one shape (n,), not "
            f"{x.shape}, {t_x.shape} and {age_.shape}."
        )
    finite = np.isfinite(x) & np.isfinite(t_x) & np.isfinite(age_)
    rules = (
        (finite, "are missing or infinite"),
        ((x >= 0) & (x == np.floor(x)), "have a frequency that is no whole number from 0"),
        ((t_x >= 0) & (t_x <= age_), "have a recency outside 0 to age"),
        ((x > 0) == (t_x > 0), "have a recency without a repeat purchase, or the reverse"),
    )
    for good, what in rules:
        if not good.all():
            i = int(np.argmin(good))
            raise ValueError(
                f"{int((~good).sum()):,} of {len(x):,} histories {what}; the first is number {i}: "
                f"frequency {x[i]}, recency {t_x[i]}, age {age_[i]}."
            )
    return x, t_x, age_


def checked_weights(weights: ArrayLike | None, n: int) -> Floats:
    """Convert weights to float64 of shape (n,), 1 by default.

    Raises:
        ValueError: a weight is not a finite number from 0.
    """
    if weights is None:
        return np.ones(n)
    weight = np.asarray(weights, dtype=np.float64)
    if weight.shape != (n,) or not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError(f"weights must be {n:,} finite numbers from 0.")
    return weight
