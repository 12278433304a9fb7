"""The time to the next purchase, against the model's own probability and what came to pass."""

import numpy as np
import pytest

from analytics_assets.lifetime import bgnbd
from analytics_assets.lifetime.bgnbd import BgNbd
from analytics_assets.lifetime.next_purchase import time_to_next

from .cdnow import cdnow, needs_cdnow

MODEL = BgNbd(0.243, 4.414, 0.793, 2.426)
X, T_X, AGE = (
    np.array([0, 1, 3, 12, 2]),
    np.array([0, 4, 20, 38, 5.0]),
    np.array([5, 30, 30, 39, 39]),
)


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.3, 0.5])
def test_within_the_time_the_probability_is_that(probability: float) -> None:
    times = time_to_next(MODEL, probability, X, T_X, AGE)
    alive = MODEL.probability_alive(X, T_X, AGE)
    assert (np.isinf(times) == (alive <= probability)).all()
    for n in np.flatnonzero(np.isfinite(times)):
        none = MODEL.probability_of_no_purchase(float(times[n]), X[n], T_X[n], AGE[n])
        assert none[0] == pytest.approx(1 - probability, rel=1e-9)


def test_who_may_have_left_has_no_time() -> None:
    # Twelve purchases in 20 weeks, then 200 weeks of silence.
    assert np.isinf(time_to_next(MODEL, 0.1, [12], [20.0], [220.0])).all()


def test_more_of_a_probability_takes_longer() -> None:
    times = [time_to_next(MODEL, p, X, T_X, AGE) for p in (0.1, 0.2, 0.4)]
    assert (times[0] < times[1]).all()
    assert (times[1] <= times[2]).all()


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, np.nan])
def test_no_probability(probability: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        time_to_next(MODEL, probability, X, T_X, AGE)


def test_of_simulated_customers_so_many_have_bought_by_then() -> None:
    rng = np.random.default_rng(1)
    n, observed = 200_000, 40.0
    model = BgNbd(1.5, 10.0, 0.8, 2.5)
    rate = rng.gamma(model.r, 1 / model.alpha, n)
    leaves = rng.beta(model.a, model.b, n)
    x, last, clock = np.zeros(n), np.zeros(n), np.zeros(n)
    there, following = np.ones(n, dtype=bool), np.full(n, np.inf)
    while there.any():
        clock[there] += rng.exponential(1 / rate[there])
        later = there & (clock >= observed)
        following[later] = clock[later] - observed
        there &= ~later
        x[there] += 1
        last[there] = clock[there]
        there[there] = rng.random(there.sum()) >= leaves[there]
    for probability in (0.1, 0.5):
        times = time_to_next(model, probability, x, last, np.full(n, observed))
        timed = np.isfinite(times)
        bought = (following[timed] <= times[timed]).mean()
        assert bought == pytest.approx(probability, abs=0.005)


@needs_cdnow
def test_of_cdnow_so_many_have_bought_by_then() -> None:
    data = cdnow()
    model = bgnbd.fit(data.frequency, data.recency, data.age)
    times = time_to_next(model, 0.25, data.frequency, data.recency, data.age)
    # Of those whose quarter falls before the end of what was observed: bought in these 39 weeks.
    none = model.probability_of_no_purchase(39.0, data.frequency, data.recency, data.age)
    likely = times <= 39
    assert likely.sum() > 500
    # The model is known to be too careful here: 62% bought where it says 52%.
    assert (data.later[likely] > 0).mean() == pytest.approx(1 - none[likely].mean(), abs=0.1)
