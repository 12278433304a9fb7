"""BG/NBD: how often a customer will buy again, from how often and when they have bought.

Here: the fit and what follows from it for a customer's future purchases. Not here: money
(gamma_gamma), and how the histories are counted.

While alive, a customer buys at random with rate lambda ~ Gamma(r, rate alpha); after each repeat
purchase they leave for good with probability p ~ Beta(a, b), independent of lambda. A history is
frequency x (repeat purchases), recency t_x (from the first purchase to the last) and age T (from
the first purchase to the as-of date), in one unit of time of the caller's choice; alpha is in that
unit. Note that t_x counts from the first purchase, unlike the recency of RFM.

Fader, Hardie, Lee (2005): "Counting Your Customers" the Easy Way: An Alternative to the Pareto/NBD
Model, Marketing Science 24(2), 275-284; cited below as FHL with the equation's number.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, expit, exprel, gammaln

from analytics_assets.lifetime.history import checked_weights, histories, unique_rows
from analytics_assets.lifetime.likelihood import FitError, Floats, LogLikelihood, maximise

PARAMETERS = ("r", "alpha", "a", "b")
MAX_TERMS = 100_000  # of the series: enough for horizons of some 2,000 times alpha + age


@dataclass(frozen=True)
class BgNbd:
    """A BG/NBD model: made by `fit`, or from known parameters.

    Attributes:
        r: Shape of the purchase rate's Gamma distribution.
        alpha: Its rate, in the caller's unit of time.
        a: First parameter of the drop-out probability's Beta distribution.
        b: Second parameter.
        log_likelihood: In nats at the estimate; depends on the unit of time.
        customers: Weight of the customers fitted.
        log_covariance: Of (ln r, ln alpha, ln a, ln b), 4 x 4: inverse observed information.

    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float | None = field(default=None, kw_only=True)
    customers: float | None = field(default=None, kw_only=True)
    log_covariance: tuple[tuple[float, ...], ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in PARAMETERS:
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} of BG/NBD is {getattr(self, name)}; it must be positive.")

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard error of each parameter (delta method from the logarithms)."""
        if self.log_covariance is None:
            raise ValueError("A model that was not fitted has no standard errors.")
        return {
            name: getattr(self, name) * float(np.sqrt(self.log_covariance[i][i]))
            for i, name in enumerate(PARAMETERS)
        }

    def probability_alive(self, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike) -> Floats:
        """P(alive at the as-of date | history), shape (n,).

        1 for customers without a repeat purchase, because the model lets nobody leave before: it
        is no churn score; `probability_of_no_purchase` is.

        Fader, Hardie, Lee (2008): Computing P(alive) Using the BG/NBD Model, brucehardie.com.

        Args:
            frequency: Repeat purchases x, shape (n,).
            recency: From the first purchase to the last, shape (n,).
            age: From the first purchase to the as-of date, shape (n,).

        Raises:
            ValueError: A history is impossible.

        """
        return self._alive(*histories(frequency, recency, age))

    def probability_of_no_purchase(
        self, horizon: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Floats:
        """P(no purchase in [T, T + horizon) | history), shape (n,).

        Whoever has left buys nothing. Whoever is alive buys nothing with probability
        exp(-lambda * horizon), since one leaves only after a purchase; given the history and being
        alive, lambda is Gamma(r + x, alpha + T), over which the mean is
        ((alpha + T) / (alpha + T + horizon)) ** (r + x). The posterior is that of FHL's conditional
        expectation; the tests hold the result against simulated customers.

        Args:
            horizon: Length of the period that begins at the as-of date.
            frequency: Repeat purchases x, shape (n,).
            recency: From the first purchase to the last, shape (n,).
            age: From the first purchase to the as-of date, shape (n,).

        Raises:
            ValueError: A history is impossible, or the horizon is not a positive number.

        """
        _require_positive(horizon)
        x, t_x, age_ = histories(frequency, recency, age)
        buys = -np.expm1(-(self.r + x) * np.log1p(horizon / (self.alpha + age_)))
        return 1 - self._alive(x, t_x, age_) * buys

    def expected_purchases(
        self, horizon: float, frequency: ArrayLike, recency: ArrayLike, age: ArrayLike
    ) -> Floats:
        """E[purchases in [T, T + horizon) | history], shape (n,): FHL (10).

        Args:
            horizon: Length of the period that begins at the as-of date.
            frequency: Repeat purchases x, shape (n,).
            recency: From the first purchase to the last, shape (n,).
            age: From the first purchase to the as-of date, shape (n,).

        Raises:
            ValueError: A history is impossible, the horizon is not a positive number or so long
                beside alpha and age that the sum does not converge.

        """
        _require_positive(horizon)
        return self.weighted_purchases([horizon], [1.0], frequency, recency, age)

    def weighted_purchases(
        self,
        ends: ArrayLike,
        weights: ArrayLike,
        frequency: ArrayLike,
        recency: ArrayLike,
        age: ArrayLike,
    ) -> Floats:
        """Expected purchases of consecutive periods, weighted (discounted) and added, shape (n,).

        Args:
            ends: Ends of the periods, ascending; the first begins at the as-of date. Shape (m,).
            weights: Weight of the purchases of each period, shape (m,).
            frequency: Repeat purchases x, shape (n,).
            recency: From the first purchase to the last, shape (n,).
            age: From the first purchase to the as-of date, shape (n,).

        Raises:
            ValueError: As `expected_purchases`.

        """
        x, t_x, age_ = histories(frequency, recency, age)
        # What a living customer will buy depends on x and T alone, of which there are few pairs.
        (pair_x, pair_age), pair = unique_rows(x, age_)
        total = np.zeros(len(pair_x))
        before = np.zeros(len(pair_x))
        for end, weight in zip(np.atleast_1d(ends), np.atleast_1d(weights), strict=True):
            until = self._purchases_if_alive(float(end), pair_x, pair_age)
            total += weight * (until - before)
            before = until
        return self._alive(x, t_x, age_) * total[pair]

    def _alive(self, x: Floats, t_x: Floats, age: Floats) -> Floats:
        log_ratio = np.log((self.alpha + age) / (self.alpha + t_x))
        # For x = 0 the odds are not defined by this formula; any positive number will do.
        stay = np.where(x > 0, self.b + x - 1, 1.0)
        log_odds_dead = np.log(self.a / stay) + (self.r + x) * log_ratio
        return np.where(x > 0, expit(-log_odds_dead), 1.0)

    def _purchases_if_alive(self, horizon: float, x: Floats, age: Floats) -> Floats:
        """E[purchases in [T, T + horizon) | alive at T, history], shape (n,).

        With c = a + b + x - 1 and tau = horizon / (alpha + T), FHL (10) is
        c / (a - 1) * (1 - (1 + tau)^-(r + x) F(r + x, b + x; c; z)), z = tau / (1 + tau). That is
        hard to compute: F overflows for frequent buyers, and a = 1 divides 0 by 0. Of the two sums
        that avoid it the quicker one loses digits where its signs alternate, and overflows where
        customers leave at once.
        """
        tau = horizon / (self.alpha + age)
        second = self.a + self.b - 1 - self.r
        slow = (second < -4) & (self.a + self.b + x < -second * max(self.a, 1.0))
        slow |= (self.a - 1) * np.log1p(tau) > 50
        purchases = np.empty(len(x))
        purchases[~slow] = self._by_euler(x[~slow], tau[~slow])
        purchases[slow] = self._by_wishes(x[slow], tau[slow])
        if not np.isfinite(purchases).all():
            raise ValueError(f"Expected purchases cannot be computed for {self}.")
        return np.maximum(purchases, 0.0)

    def _by_euler(self, x: Floats, tau: Floats) -> Floats:
        """Euler's transformation: the subtrahend is (1 + tau)^-(a - 1) F(a - 1, second; c; z).

        Here second = a + b - 1 - r, and x is in the denominator only. All terms of F but the first
        have the factor a - 1, which cancels, as does c, which is not positive if a + b + x <= 1.
        """
        a, second, c = self.a, self.a + self.b - 1 - self.r, self.a + self.b + x - 1
        log_base = -np.log1p(tau)
        power = (a - 1) * log_base
        series = _series(a, second, c + 1, tau / (1 + tau))
        with np.errstate(over="ignore", invalid="ignore"):
            return -c * log_base * exprel(power) - np.exp(power) * series

    def _by_wishes(self, x: Floats, tau: Floats) -> Floats:
        """Sum over the number n of purchases, negative binomial, were there no leaving.

        Of n, a customer makes sum over k < n of (b + x)_k / (a + b + x)_k on average. No term is
        negative, but there are the more of them, the more purchases.
        """
        shape, z = self.r + x, tau / (1 + tau)
        log_probability = -shape * np.log1p(tau)
        made, stays, total = np.zeros(len(x)), np.ones(len(x)), np.zeros(len(x))
        for n in range(MAX_TERMS):
            ratio = (shape + n) / (n + 1) * z
            log_probability += np.log(ratio)
            made += stays
            stays *= (self.b + x + n) / (self.a + self.b + x + n)
            term = np.exp(log_probability) * made
            total += term
            # Past the mode, the terms that are left shrink at least geometrically.
            shrinks = 1 - np.maximum(ratio, z)
            if n % 8 == 0 and ((shrinks > 0) & (term <= 1e-17 * total * shrinks**2)).all():
                return total
        raise _no_convergence(len(x))


def _series(a: float, second: float, c: Floats, z: Floats) -> Floats:
    """Sum over n >= 1 of (a)_(n-1) (second)_n / ((c)_(n-1) n!) z^n, shape (n,), 0 <= z < 1."""
    result = np.zeros(len(z))
    active = np.arange(len(z))
    term = second * z
    total = term.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for n in range(1, MAX_TERMS):
            if not len(active):
                return result
            ratio = (a + n - 1) * (second + n) / (n + 1) * z / (c + n - 1)
            term *= ratio
            total += term
            if n % 8 or n < -second:
                continue
            # The terms that are left shrink at least like a geometric series.
            shrinks = 1 - np.maximum(np.abs(ratio), z)
            going = (shrinks <= 0) | (np.abs(term) > 1e-16 * np.abs(total) * shrinks)
            going &= (term != 0) & np.isfinite(total)
            if not going.all():
                result[active[~going]] = total[~going]
                active, term, total = active[going], term[going], total[going]
                c, z = c[going], z[going]
    raise _no_convergence(len(active))


def _no_convergence(n: int) -> ValueError:
    return ValueError(
        f"Expected purchases of {n:,} histories do not converge in {MAX_TERMS:,} terms: "
        "the horizon is too long beside alpha and the customers' age."
    )


def fit(
    frequency: ArrayLike,
    recency: ArrayLike,
    age: ArrayLike,
    weights: ArrayLike | None = None,
) -> BgNbd:
    """Fit BG/NBD by maximum likelihood.

    The likelihood is that of FHL. Equal histories are counted once, with their weight, and
    functions of x, t_x or T alone are computed once for each of their values: a fit is quicker in
    days than in seconds. The order of the customers does not change the result.

    Args:
        frequency: Repeat purchases x, whole numbers, shape (n,).
        recency: From the first purchase to the last, 0 where x is 0, shape (n,).
        age: From the first purchase to the as-of date, shape (n,).
        weights: How many customers have each history, shape (n,); 1 each by default.

    Raises:
        ValueError: A history is impossible, or a weight is negative.
        FitError: There is no estimate: no customers, no repeat purchases, or data that leave a
            parameter undetermined.

    """
    x, t_x, age_ = histories(frequency, recency, age)
    weight = checked_weights(weights, len(x))
    used = weight > 0
    if not used.all():
        x, t_x, age_, weight = x[used], t_x[used], age_[used], weight[used]
    if not (x > 0).any():
        raise FitError(f"None of the {len(x):,} customers has a repeat purchase.")
    (x, t_x, age_), history = unique_rows(x, t_x, age_)
    weight = np.bincount(history, weight).astype(np.float64)
    customers = float(weight.sum())
    # Times of about 1, so that the search is the same whatever the unit.
    scale = float((weight * age_).sum() / customers)
    function = log_likelihood(x, t_x / scale, age_ / scale, weight)
    mean = float((weight * x).sum() / customers)
    starts = [
        np.log([r, share * r / mean, strength * leave, strength * (1 - leave)])
        for r, share, strength, leave in itertools.product((0.3, 1.5), (0.3, 1), (1, 5), (0.1, 0.5))
    ]
    found = maximise(function, starts, PARAMETERS, customers)
    log_parameters = found.log_parameters + np.log([1, scale, 1, 1])
    r, alpha, a, b = (float(value) for value in np.exp(log_parameters))
    return BgNbd(
        r,
        alpha,
        a,
        b,
        log_likelihood=float(found.log_likelihood - customers * mean * np.log(scale)),
        customers=customers,
        log_covariance=tuple(tuple(row) for row in found.covariance.tolist()),
    )


def log_likelihood(x: Floats, t_x: Floats, age: Floats, weight: Floats) -> LogLikelihood:
    """Log likelihood of (ln r, ln alpha, ln a, ln b) with its gradient.

    Args:
        x: Repeat purchases, shape (n,).
        t_x: From the first purchase to the last, shape (n,).
        age: From the first purchase to the as-of date, shape (n,).
        weight: Customers of each history, positive, shape (n,).

    """
    count, count_of = np.unique(x, return_inverse=True)
    weight_of_count = np.bincount(count_of, weight)
    ages, age_of = np.unique(age, return_inverse=True)
    lasts, last_of = np.unique(t_x, return_inverse=True)
    total = float(weight_of_count.sum())
    # Histories without a repeat purchase depend on T alone.
    again = x > 0
    once_age, once_weight = age[~again], weight[~again]
    x, weight, count_of = x[again], weight[again], count_of[again]
    age_of, last_of = age_of[again], last_of[again]

    def value_and_gradient(theta: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(theta)
        # What depends on x alone, beside r ln(alpha).
        by_count = gammaln(r + count) - gammaln(r) + gammaln(a + b) - gammaln(a + b + count)
        by_count += gammaln(b + count) - gammaln(b)
        value = float((weight_of_count * by_count).sum()) + total * r * theta[1]
        purchases = digamma(r + count) - digamma(r)
        either = digamma(a + b) - digamma(a + b + count)
        stays = digamma(b + count) - digamma(b)
        d_r = float((weight_of_count * purchases).sum()) + total * theta[1]
        d_alpha = total * r / alpha
        d_a = float((weight_of_count * either).sum())
        d_b = d_a + float((weight_of_count * stays).sum())

        log_age = np.log(alpha + once_age)
        value -= r * float((once_weight * log_age).sum())
        d_r -= float((once_weight * log_age).sum())
        d_alpha -= r * float((once_weight / (alpha + once_age)).sum())

        # Alive until T, or gone with the last purchase: log(exp(alive) + exp(gone)).
        log_age, log_last = np.log(alpha + ages)[age_of], np.log(alpha + lasts)[last_of]
        stay = b + count - 1
        stay[count == 0] = 1.0  # not used
        points = r + x
        log_odds = (theta[2] - np.log(stay))[count_of] + points * (log_age - log_last)
        small = np.exp(-np.abs(log_odds))
        mixed = np.maximum(log_odds, 0) + np.log1p(small) - points * log_age
        value += float((weight * mixed).sum())
        gone = np.where(log_odds >= 0, 1.0, small) / (1 + small) * weight
        alive = weight - gone
        d_r -= float((alive * log_age + gone * log_last).sum())
        nearness = alive / (alpha + ages)[age_of] + gone / (alpha + lasts)[last_of]
        d_alpha -= float((points * nearness).sum())
        d_a += float(gone.sum()) / a
        d_b -= float((gone / stay[count_of]).sum())
        return value, np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])

    return value_and_gradient


def _require_positive(horizon: float) -> None:
    if not 0 < horizon < np.inf:
        raise ValueError(f"The horizon is {horizon}; it must be a positive number.")
