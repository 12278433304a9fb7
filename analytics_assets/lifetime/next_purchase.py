"""When a customer will buy next, by BG/NBD.

Belongs here: the days until the next purchase, in the words of a probability. Does not belong here:
dates, or how many purchases there will be (`bgnbd`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from analytics_assets.lifetime.bgnbd import BgNbd
from analytics_assets.lifetime.history import histories
from analytics_assets.lifetime.likelihood import Floats


def time_to_next(
    model: BgNbd, probability: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
) -> Floats:
    """Compute the time from the as-of date by which the next purchase has come, shape (n,).

    It is t with P(no purchase in [T, T + t) | history) = 1 - probability, in closed form: of
    `BgNbd.probability_of_no_purchase`, 1 - alive x (1 - ((alpha + T) / (alpha + T + t))^(r + x)).
    Infinite where the customer is alive with no more than that probability: then there may be no
    next purchase, and no time has it.

    Args:
        model: the model of the purchases.
        probability: of the next purchase within the time, between 0 and 1.
        frequency: repeat purchases x, shape (n,).
        recency: from the first purchase to the last, shape (n,).
        age: from the first purchase to the as-of date, shape (n,).

    Raises:
        ValueError: a history is impossible, or the probability is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability is {probability}; it must be between 0 and 1.")
    x, t_x, age_ = histories(frequency, recency, age)
    of_alive = probability / model.probability_alive(x, t_x, age_)
    possible = of_alive < 1
    time = np.full(len(x), np.inf)
    with np.errstate(over="ignore"):  # too far for a number: infinite
        factor = np.expm1(-np.log1p(-of_alive[possible]) / (model.r + x[possible]))
    time[possible] = (model.alpha + age_[possible]) * factor
    return time
