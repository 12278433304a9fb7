"""Lifetime value: what each customer's purchases of the coming months are worth today.

Here: BG/NBD and Gamma-Gamma put together, discounted, with an interval. Not here: the two fits,
costs and margins (values are those that Gamma-Gamma was fitted on), and the first purchase of
customers yet to come.

Fader, Hardie, Lee (2005): RFM and CLV: Using Iso-Value Curves for Customer Base Analysis, Journal
of Marketing Research 42(4), 415-430, with BG/NBD in place of Pareto/NBD.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from analytics_assets.lifetime.bgnbd import BgNbd
from analytics_assets.lifetime.gamma_gamma import GammaGamma, spends
from analytics_assets.lifetime.history import histories, unique_rows
from analytics_assets.lifetime.likelihood import Floats

_AGE_STEP = 0.02  # of ln(alpha + age): customers within a step share a simulation


@dataclass(frozen=True, eq=False)
class LifetimeValue:
    """Discounted lifetime value of n customers, in the currency of Gamma-Gamma.

    Attributes:
        expected: Shape (n,).
        low: Lower end of the interval, shape (n,).
        high: Upper end, shape (n,).
        coverage: A customer's spending lies in the interval with this probability or, as many
            will spend nothing, a larger one. This is about chance: whether, when and for how much
            one customer will buy, given both models and their parameters. It leaves out that the
            parameters are estimates and that the models are simplifications; and the ends of
            several intervals do not add up to an interval of the sum.

    """

    expected: Floats
    low: Floats
    high: Floats
    coverage: float


def discounted(
    bgnbd: BgNbd,
    gamma_gamma: GammaGamma,
    frequency: ArrayLike,
    recency: ArrayLike,
    age: ArrayLike,
    mean_value: ArrayLike,
    months: int = 12,
    *,
    month_length: float,
    annual_discount_rate: float = 0.1,
    coverage: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
) -> LifetimeValue:
    """Lifetime value over the months that begin at the as-of date.

    A month's expected purchases are discounted from its middle. The ends of the interval are
    quantiles of simulated customers of the same frequency and, within 1%, of the same alpha + age.
    A customer's result does not depend on who else is computed along: batches change nothing.

    Args:
        bgnbd: Model of the purchases.
        gamma_gamma: Model of their value.
        frequency: Repeat purchases x, shape (n,).
        recency: From the first purchase to the last, shape (n,).
        age: From the first purchase to the as-of date, shape (n,).
        mean_value: Mean value of the repeat purchases, not read where x is 0, shape (n,).
        months: How many months count.
        month_length: Length of a month in the unit of the model's times: 365.25 / 12 for days.
        annual_discount_rate: 0.1 makes 1.10 in a year worth 1 today.
        coverage: Of the interval.
        draws: Simulated customers for each frequency and age.
        seed: Of the simulation.

    Raises:
        ValueError: A history or value is impossible, an argument is out of range, or Gamma-Gamma
            has no mean.

    """
    _check(months, month_length, annual_discount_rate, coverage, draws)
    x, t_x, age_ = histories(frequency, recency, age)
    count, value = spends(frequency, mean_value)
    if len(value) != len(x):
        raise ValueError(f"There are {len(x):,} histories and {len(value):,} mean values.")

    month = np.arange(1, months + 1)
    factors = (1 + annual_discount_rate) ** -((month - 0.5) / 12)
    purchases = bgnbd.weighted_purchases(month * month_length, factors, x, t_x, age_)
    expected = purchases * gamma_gamma.expected_mean_value(count, value)

    alive = bgnbd.probability_alive(x, t_x, age_)
    step = np.round(np.log(bgnbd.alpha + age_) / _AGE_STEP)
    (groups_x, groups_step), group = unique_rows(x, step)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(groups_x) + 1))
    ends = np.empty((2, len(x)))
    levels = np.array([(1 - coverage) / 2, (1 + coverage) / 2])
    for i, (x_, step_) in enumerate(zip(groups_x, groups_step, strict=True)):
        spent = _spending_if_alive(
            bgnbd,
            gamma_gamma,
            int(x_),
            int(step_),
            months * month_length,
            (1 + annual_discount_rate) ** (months / 12),
            draws,
            seed,
        )
        members = order[starts[i] : starts[i + 1]]
        # Quantiles of the mixture: nothing from those who have left, else as simulated.
        of_alive = 1 - (1 - levels[:, None]) / alive[members]
        found = np.interp(of_alive, (np.arange(draws) + 0.5) / draws, spent)
        ends[:, members] = np.where(of_alive > 0, found, 0.0)
    low, high = ends * (gamma_gamma.v + x * value)
    return LifetimeValue(expected, low, high, coverage)


# Another batch of customers has much the same groups: 8 kB each, of 1,000 draws.
@lru_cache(maxsize=8192)
def _spending_if_alive(
    bgnbd: BgNbd,
    gamma_gamma: GammaGamma,
    x: int,
    step: int,
    horizon: float,
    growth: float,
    draws: int,
    seed: int,
) -> Floats:
    """Discounted spending within the horizon of customers alive at T, ascending, shape (draws,).

    In units of v + x * mean value: the rate of a customer's values is Gamma(p x + q) in it, so that
    one simulation serves customers of any mean value.

    Args:
        bgnbd: Model of the purchases.
        gamma_gamma: Model of their value.
        x: Repeat purchases.
        step: alpha + T, in logarithmic steps.
        horizon: Length of the period.
        growth: What 1 grows to within the horizon.
        draws: Number of customers.
        seed: Of the simulation.

    """
    rng = np.random.default_rng([seed, x, step + 2**31])
    alpha_and_age = float(np.exp(step * _AGE_STEP))
    rate = rng.standard_gamma(bgnbd.r + x, draws) / alpha_and_age
    leave = rng.beta(bgnbd.a, bgnbd.b + x, draws)
    # The purchase after which one leaves: geometric, by inversion, as leave may be next to 0.
    with np.errstate(divide="ignore"):
        last = np.ceil(np.log1p(-rng.random(draws)) / np.log1p(-leave))
    wished = rng.poisson(rate * horizon)
    made = np.minimum(wished, np.maximum(last, 1))
    sums = rng.standard_gamma(gamma_gamma.p * made)
    sums /= rng.standard_gamma(gamma_gamma.p * x + gamma_gamma.q, draws)
    # Given their number, times are uniform: the first `made` of `wished` have this mean.
    return np.sort(sums * growth ** -((made + 1) / (2 * (wished + 1))))


def _check(
    months: int, month_length: float, annual_discount_rate: float, coverage: float, draws: int
) -> None:
    rules = {
        "months must be a whole number from 1": months == int(months) and months >= 1,
        "month_length must be a positive number": 0 < month_length < np.inf,
        "annual_discount_rate must be a number from 0": 0 <= annual_discount_rate < np.inf,
        "coverage must be between 0 and 1": 0 < coverage < 1,
        "draws must be 100 or more": draws >= 100,
    }
    if broken := [rule for rule, good in rules.items() if not good]:
        raise ValueError(f"For lifetime value, {'; '.join(broken)}.")
