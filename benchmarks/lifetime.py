"""A million customers through BG/NBD, Gamma-Gamma and lifetime value: seconds and memory.

Run with `python benchmarks/lifetime.py [CUSTOMERS]`. Customers are drawn from the sample's process
over two years, in days. Besides seconds, which depend on the machine (limit for the fit: 20 s and
4 GB), it prints how much more CPU the same fit takes if equal histories are computed separately,
and if each function is computed for each customer, as in a plain likelihood row by row; in one
process, with the same data, one after the other. The peak is of the process, before and after.
"""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import digamma, expit, gammaln

from analytics_assets.lifetime import bgnbd, gamma_gamma
from analytics_assets.lifetime.bgnbd import BgNbd
from analytics_assets.lifetime.lifetime_value import discounted
from analytics_assets.lifetime.likelihood import Floats, LogLikelihood
from analytics_assets.sources.sample_process import purchases

HORIZON = 90.0  # days
WEEKS = 104.0


def customers(n: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Histories in days, and mean values, of n customers."""
    rng = np.random.default_rng(7)
    _, orders = purchases(int(n / 0.9) + 100, WEEKS, rng)
    day = np.floor(orders["week"].to_numpy() * 7)
    customer = np.unique(orders["customer"].to_numpy(), return_inverse=True)[1]
    bought = np.unique(np.column_stack([customer, day])[customer < n], axis=0)
    customer, day = bought[:, 0].astype(int), bought[:, 1]
    frequency = np.bincount(customer) - 1.0
    last = np.cumsum(frequency + 1).astype(int) - 1
    first = last - frequency.astype(int)
    shape = np.maximum(6.0 * frequency, 1e-9)
    mean_value = rng.gamma(shape, 15 / rng.gamma(4.0, size=len(frequency)))
    mean_value /= np.maximum(frequency, 1)
    return frequency, day[last] - day[first], WEEKS * 7 - day[first], mean_value


def row_by_row(x: Floats, t_x: Floats, age: Floats, weight: Floats) -> LogLikelihood:
    """The likelihood as in `bgnbd.log_likelihood`, every function for every row."""

    def value_and_gradient(theta: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(theta)
        stay = np.where(x > 0, b + x - 1, 1)
        log_age, log_last = np.log(alpha + age), np.log(alpha + t_x)
        log_odds = np.where(x > 0, np.log(a / stay) + (r + x) * (log_age - log_last), -np.inf)
        gone = expit(log_odds)
        value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + gammaln(a + b)
        value += gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
        value += np.logaddexp(0, log_odds) - (r + x) * log_age
        either = digamma(a + b) - digamma(a + b + x)
        mean_log = (1 - gone) * log_age + gone * log_last
        d_r = digamma(r + x) - digamma(r) + np.log(alpha) - mean_log
        d_alpha = r / alpha - (r + x) * ((1 - gone) / (alpha + age) + gone / (alpha + t_x))
        d_a = either + gone / a
        d_b = either + digamma(b + x) - digamma(b) - gone / stay
        gradient = [(weight * d).sum() for d in (d_r, d_alpha, d_a, d_b)]
        return float((weight * value).sum()), np.array(gradient) * np.exp(theta)

    return value_and_gradient


def separately(*columns: Floats) -> tuple[tuple[Floats, ...], Any]:
    """Replacement of `bgnbd.unique_rows` that leaves every row separate."""
    return columns, np.arange(len(columns[0]))


def timed(what: str, function: Callable[[], Any]) -> tuple[Any, float]:
    began, before = time.perf_counter(), time.process_time()
    result = function()
    seconds, cpu = time.perf_counter() - began, time.process_time() - before
    print(f"{what:<52}{seconds:>8.2f} s{cpu:>8.2f} s of CPU")
    return result, cpu


def peak() -> float:
    """Peak memory of the process in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def patched_fit(history: tuple[Floats, ...], **stand_ins: Any) -> BgNbd:
    """The fit with functions of its module replaced."""
    kept = {name: getattr(bgnbd, name) for name in stand_ins}
    try:
        for name, stand_in in stand_ins.items():
            setattr(bgnbd, name, stand_in)
        return bgnbd.fit(*history)
    finally:
        for name, original in kept.items():
            setattr(bgnbd, name, original)


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    *columns, mean_value = customers(n)
    history = tuple(columns)
    frequency = history[0]
    distinct = len(bgnbd.unique_rows(*history)[0][0])
    print(f"{len(frequency):,} customers, {distinct:,} distinct histories; {peak():.2f} GB so far")

    model, quick = timed("BG/NBD fit", lambda: bgnbd.fit(*history))
    timed("expected purchases", lambda: model.expected_purchases(HORIZON, *history))
    timed("P(no purchase)", lambda: model.probability_of_no_purchase(HORIZON, *history))
    values, _ = timed("Gamma-Gamma fit", lambda: gamma_gamma.fit(frequency, mean_value))
    timed("independence", lambda: gamma_gamma.independence(frequency, mean_value))
    timed(
        "lifetime value, 12 months, with interval",
        lambda: discounted(model, values, *history, mean_value, month_length=365.25 / 12),
    )
    print(f"{'peak memory':<52}{peak():>8.2f} GB")

    plain, separate = timed(
        "BG/NBD fit, each history separately", lambda: patched_fit(history, unique_rows=separately)
    )
    naive, slow = timed(
        "BG/NBD fit, row by row",
        lambda: patched_fit(history, unique_rows=separately, log_likelihood=row_by_row),
    )
    print(f"{'peak memory':<52}{peak():>8.2f} GB")
    for other in (plain, naive):
        np.testing.assert_allclose(
            [getattr(other, name) for name in bgnbd.PARAMETERS],
            [getattr(model, name) for name in bgnbd.PARAMETERS],
            rtol=1e-6,
        )
    print(
        f"equal estimates; separately {separate / quick:.1f} x, row by row {slow / quick:.1f} x "
        "the CPU"
    )
