"""Gamma-Gamma: the value of a customer's purchases, from the mean of those seen.

Belongs here: the fit, the expected mean value of a customer's purchases, and the test of the
assumption that value does not depend on frequency. Does not belong here: how often customers buy
(`bgnbd`).

A customer's purchases have values ~ Gamma(shape p, rate nu), and nu ~ Gamma(shape q, rate v)
differs between customers, independent of how often they buy; v is in the caller's currency.

Fader, Hardie (2013): The Gamma-Gamma Model of Monetary Value, brucehardie.com; first in Fader,
Hardie, Lee (2005): RFM and CLV: Using Iso-Value Curves for Customer Base Analysis, Journal of
Marketing Research 42(4), 415-430.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, erfc, gammaln

from analytics_assets.lifetime.history import checked_weights
from analytics_assets.lifetime.likelihood import FitError, Floats, LogLikelihood, maximise

PARAMETERS = ("p", "q", "v")


@dataclass(frozen=True)
class GammaGamma:
    """A Gamma-Gamma model: the result of `fit`, or with known parameters.

    Attributes:
        p: shape of the value of a customer's purchases.
        q: shape of the distribution of their rate over customers.
        v: its rate, in the caller's currency.
        log_likelihood: in nats at the estimate; depends on the currency.
        customers: total weight of the fitted customers, those with repeat purchases.
        log_covariance: covariance of (ln p, ln q, ln v), 3 x 3: the inverse of the observed
            information.
    """

    p: float
    q: float
    v: float
    log_likelihood: float | None = field(default=None, kw_only=True)
    customers: float | None = field(default=None, kw_only=True)
    log_covariance: tuple[tuple[float, ...], ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(
                    f"{name} of Gamma-Gamma is {getattr(self, name)}; it must be positive."
                )

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard error of each parameter (delta method from the logarithms)."""
        if self.log_covariance is None:
            raise ValueError("A model that was not fitted has no standard errors.")
        return {
            name: getattr(self, name) * float(np.sqrt(self.log_covariance[i][i]))
            for i, name in enumerate(PARAMETERS)
        }

    @property
    def population_mean(self) -> float:
        """Expected mean value of a customer without purchases: p v / (q - 1).

        Raises:
            ValueError: q <= 1: the model's mean is infinite.
        """
        if self.q <= 1:
            raise ValueError(
                f"q of Gamma-Gamma is {self.q:.4g}, and the mean value over customers is infinite "
                "unless q > 1: the values have too long a tail for this model."
            )
        return self.p * self.v / (self.q - 1)

    def expected_mean_value(self, frequency: ArrayLike, mean_value: ArrayLike) -> Floats:
        """E[mean value of a customer's purchases | those seen], shape (n,).

        For customers without a repeat purchase it is the mean of the population. For others it is
        an average of that mean and their own, which weighs the more, the more they have bought.

        Args:
            frequency: purchases x that `mean_value` averages, shape (n,).
            mean_value: their mean value, not read where x is 0, shape (n,). It may be 0: the
                expectation is what it comes to as the value does.

        Raises:
            ValueError: q <= 1, or purchases have a mean value below 0.
        """
        x, z = spends(frequency, mean_value)
        own = self.p * x / (self.p * x + self.q - 1)
        return (1 - own) * self.population_mean + own * z


@dataclass(frozen=True)
class Independence:
    """Whether customers who buy more often spend more, or less, on each purchase.

    Attributes:
        correlation: Pearson correlation of frequency and mean value: the effect size. Between
            -0.1 and 0.1 it is commonly called small.
        p_value: two-sided p-value of the hypothesis that it is 0.
        change_per_purchase: slope: change of the mean value with one more purchase, as a share of
            the average mean value.
        customers: total weight of the customers with repeat purchases.
    """

    correlation: float
    p_value: float
    change_per_purchase: float
    customers: float


def independence(
    frequency: ArrayLike, mean_value: ArrayLike, weights: ArrayLike | None = None
) -> Independence:
    """Test the assumption that value is independent of frequency, among repeat customers.

    Under it, the mean value has the same expectation at each frequency, but neither the same
    variance nor, being skewed, the same median. So tests by ranks or by the usual standard error
    would reject a model that is right. The p-value is that of the normal distribution, with the
    slope's heteroscedasticity-consistent standard error (White 1980, Econometrica 48(4)).

    Args:
        frequency: repeat purchases x, shape (n,).
        mean_value: their mean value, not read where x is 0, shape (n,).
        weights: how many customers each row represents, shape (n,); 1 each by default.

    Raises:
        ValueError: a purchase has a mean value that is not positive, or a weight is negative.
        FitError: frequency or mean value does not vary.
    """
    x, z, weight = _repeat_customers(frequency, mean_value, weights)
    n = float(weight.sum())
    mean_x, mean_z = (float((weight * values).sum() / n) for values in (x, z))
    dx, dz = x - mean_x, z - mean_z
    xx, zz, xz = (float((weight * d).sum()) for d in (dx * dx, dz * dz, dx * dz))
    if not (xx > 0 and zz > 1e-20 * n * mean_z**2):
        raise FitError(
            f"All {len(x):,} repeat customers have one {'frequency' if xx == 0 else 'mean value'}: "
            "whether value depends on frequency cannot be tested."
        )
    slope = xz / xx
    error = float(np.sqrt((weight * (dx * (dz - slope * dx)) ** 2).sum())) / xx
    # Without scatter around the line, the dependence is certain.
    p_value = float(erfc(abs(slope) / error / np.sqrt(2))) if error > 0 else 0.0
    return Independence(xz / float(np.sqrt(xx * zz)), p_value, slope / mean_z, n)


def fit(
    frequency: ArrayLike, mean_value: ArrayLike, weights: ArrayLike | None = None
) -> GammaGamma:
    """Fit Gamma-Gamma by maximum likelihood.

    Customers with frequency 0 carry no information and are left out.

    Args:
        frequency: purchases x that `mean_value` averages, whole numbers, shape (n,).
        mean_value: their mean value, not read where x is 0, shape (n,).
        weights: how many customers each row represents, shape (n,); 1 each by default.

    Raises:
        ValueError: a purchase has a mean value that is not positive, or a weight is negative.
        FitError: there is no estimate: no repeat customers, or data that leave a parameter
            undetermined, such as values that are all the same.
    """
    x, z, weight = _repeat_customers(frequency, mean_value, weights)
    customers = float(weight.sum())
    # Scale values to about 1, so that the search does not depend on the currency.
    scale = float((weight * z).sum() / customers)
    if float(np.ptp(z)) <= 1e-9 * scale:
        raise FitError(f"All {len(x):,} repeat customers have the mean value {z[0]:g}.")
    starts = [
        np.log([p, q, max(q - 1, 0.5) / p])
        for p, q in itertools.product((0.5, 2.0, 8.0), (1.5, 4.0, 12.0))
    ]
    maximum = maximise(log_likelihood(x, z / scale, weight), starts, PARAMETERS, customers)
    p, q, v = (float(value) for value in np.exp(maximum.log_parameters + np.log([1, 1, scale])))
    return GammaGamma(
        p,
        q,
        v,
        log_likelihood=float(maximum.log_likelihood - customers * np.log(scale)),
        customers=customers,
        log_covariance=tuple(tuple(row) for row in maximum.covariance.tolist()),
    )


def log_likelihood(x: Floats, z: Floats, weight: Floats) -> LogLikelihood:
    """Log likelihood of (ln p, ln q, ln v) with its gradient.

    Args:
        x: purchases, from 1, shape (n,).
        z: their mean value, positive, shape (n,).
        weight: customers of each row, positive, shape (n,).
    """
    count, count_of = np.unique(x, return_inverse=True)
    weight_of_count = np.bincount(count_of, weight)
    total = float(weight.sum())
    log_z = float((weight * np.log(z)).sum())
    log_xz = float((weight * x * (np.log(z) + np.log(x))).sum())
    sums, purchases = x * z, weight * x

    def value_and_gradient(theta: Floats) -> tuple[float, Floats]:
        p, q, v = np.exp(theta)
        shape = p * count
        by_count = gammaln(shape + q) - gammaln(shape) - gammaln(q)
        log_sum = np.log(v + sums)
        of_customers = float((weight * log_sum).sum())
        of_purchases = float((purchases * log_sum).sum())
        value = float((weight_of_count * by_count).sum()) + total * q * theta[2]
        value += p * log_xz - log_z - p * of_purchases - q * of_customers
        either = digamma(shape + q)
        d_p = float((weight_of_count * count * (either - digamma(shape))).sum())
        d_p += log_xz - of_purchases
        d_q = float((weight_of_count * (either - digamma(q))).sum())
        d_q += total * theta[2] - of_customers
        d_v = total * q / v - float(((p * purchases + q * weight) / (v + sums)).sum())
        return value, np.array([d_p * p, d_q * q, d_v * v])

    return value_and_gradient


def spends(frequency: ArrayLike, mean_value: ArrayLike) -> tuple[Floats, Floats]:
    """Frequency and mean value as float64 of shape (n,); the value is 0 where the frequency is.

    Raises:
        ValueError: a frequency is no whole number, or purchases have no mean value from 0.
    """
    x = np.atleast_1d(np.asarray(frequency, dtype=np.float64))
    z = np.atleast_1d(np.asarray(mean_value, dtype=np.float64))
    if not (x.ndim == 1 and x.shape == z.shape):
        raise ValueError(
            f"frequency and mean_value need one shape (n,), not {x.shape} and {z.shape}."
        )
    rules = (
        (np.isfinite(x) & (x >= 0) & (x == np.floor(x)), "a frequency that is no whole number"),
        ((x == 0) | (np.isfinite(z) & (z >= 0)), "purchases without a mean value from 0"),
    )
    for good, what in rules:
        if not good.all():
            i = int(np.argmin(good))
            raise ValueError(
                f"{int((~good).sum()):,} of {len(x):,} customers have {what}; "
                f"the first is number {i}: frequency {x[i]}, mean value {z[i]}."
            )
    return x, np.where(x > 0, z, 0.0)


def _repeat_customers(
    frequency: ArrayLike, mean_value: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    x, z = spends(frequency, mean_value)
    weight = checked_weights(weights, len(x))
    used = (x > 0) & (weight > 0)
    if not used.any():
        raise FitError(f"None of the {len(x):,} customers has a repeat purchase.")
    x, z, weight = x[used], z[used], weight[used]
    if not (z > 0).all():
        raise ValueError(
            f"{int((z <= 0).sum()):,} of {len(x):,} repeat customers have purchases without a "
            "positive mean value, of which the model has no likelihood: leave them out."
        )
    order = np.lexsort((weight, z, x))  # so that no sum depends on the order of the customers
    return x[order], z[order], weight[order]
