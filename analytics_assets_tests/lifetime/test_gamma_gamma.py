"""Gamma-Gamma: published results, known parameters, its assumption, and what has no estimate."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma

from analytics_assets.lifetime import gamma_gamma
from analytics_assets.lifetime.gamma_gamma import GammaGamma, independence
from analytics_assets.lifetime.likelihood import FitError
from analytics_assets_tests.lifetime.cdnow import cdnow, needs_cdnow

TRUE = GammaGamma(6.0, 4.0, 15.0)


def simulated(n, seed, model=TRUE):
    """Frequency, mean value and the customers' own mean, of the model."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.gamma(0.8, 4, n))
    rate = rng.gamma(model.q, 1 / model.v, n)
    total = rng.gamma(np.maximum(model.p * x, 1e-9), 1 / rate)
    return x, np.where(x > 0, total / np.maximum(x, 1), 0.0), model.p / rate


@pytest.fixture(scope="module")
def spending():
    return simulated(3000, seed=5)[:2]


def theta_of(model):
    return np.log([model.p, model.q, model.v])


# CDNOW


@needs_cdnow
@pytest.mark.parametrize("unit", [1, 100, 1e-6])
def test_cdnow_gives_the_published_estimates_in_any_currency(unit):
    data = cdnow()
    model = gamma_gamma.fit(data.frequency, data.mean_value * unit)
    assert model.customers == 946
    assert (model.p, model.q, model.v / unit) == pytest.approx((6.25, 3.74, 15.44), abs=0.005)
    likelihood = model.log_likelihood + 946 * np.log(unit)
    assert likelihood == pytest.approx(-4055.918, abs=6e-4)
    spend = model.expected_mean_value(data.frequency[:5], data.mean_value[:5] * unit) / unit
    assert spend == pytest.approx([24.65, 18.91, 35.17, 35.17, 35.17], abs=0.005)


@needs_cdnow
def test_cdnow_value_hardly_depends_on_frequency():
    data = cdnow()
    result = independence(data.frequency, data.mean_value)
    assert result.correlation == pytest.approx(0.11, abs=0.005)  # as published
    assert 0.01 < result.p_value < 0.2


# Mathematics


@pytest.mark.parametrize("x", [1, 4])
def test_likelihood_is_the_mixture_over_rates(x):
    # Of one customer: mean of x values Gamma(p x, rate nu x), nu over Gamma(q, rate v).
    for z in (3.0, 30.0, 200.0):

        def at(nu, z=z):
            value = gamma.pdf(z, TRUE.p * x, scale=1 / (nu * x))
            return value * gamma.pdf(nu, TRUE.q, scale=1 / TRUE.v)

        expected = np.log(quad(at, 0, 20, epsabs=0, epsrel=1e-11, limit=200)[0])
        function = gamma_gamma.log_likelihood(np.array([1.0 * x]), np.array([z]), np.ones(1))
        assert function(theta_of(TRUE))[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("model", [TRUE, GammaGamma(0.5, 1.2, 90), GammaGamma(30, 11, 3)])
def test_gradient_is_that_of_the_likelihood(spending, model):
    repeat = spending[0] > 0
    x, z = spending[0][repeat].astype(float), spending[1][repeat]
    function = gamma_gamma.log_likelihood(x, z, np.linspace(0.5, 2, len(x)))
    theta, step = theta_of(model), 1e-5
    differences = [
        (function(theta + step * unit)[0] - function(theta - step * unit)[0]) / (2 * step)
        for unit in np.eye(3)
    ]
    np.testing.assert_allclose(function(theta)[1], differences, rtol=1e-6, atol=1e-3)


def test_expected_value_is_the_mean_of_customers_like_that():
    x, z, own = simulated(300_000, seed=8)
    expected = TRUE.expected_mean_value(x, z)
    group = np.digitize(expected, np.quantile(expected, np.linspace(0.1, 0.9, 9)))
    for members in [group == g for g in np.unique(group)] + [x == k for k in range(5)]:
        error = (own - expected)[members]
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(members.sum())


def test_without_purchases_the_value_is_not_read():
    result = TRUE.expected_mean_value([0, 0, 0], [np.nan, -3, 7])
    np.testing.assert_allclose(result, TRUE.population_mean)
    assert TRUE.population_mean == pytest.approx(6 * 15 / 3)


# Known parameters


def test_known_parameters_come_back_within_their_standard_errors():
    model = gamma_gamma.fit(*simulated(30_000, seed=1)[:2])
    error = theta_of(model) - theta_of(TRUE)
    assert np.abs(error / np.sqrt(np.diag(model.log_covariance))).max() < 3
    assert error @ np.linalg.solve(np.array(model.log_covariance), error) < 16.3  # 99.9%, 3 d. f.
    assert model.standard_errors["p"] < 0.3


def test_standard_errors_are_as_large_as_the_errors():
    scores = []
    for seed in range(40):
        model = gamma_gamma.fit(*simulated(2000, seed=100 + seed)[:2])
        error = theta_of(model) - theta_of(TRUE)
        scores.append(error @ np.linalg.solve(np.array(model.log_covariance), error))
    # Mean of 40 chi-squares of 3 degrees of freedom: 3 with a standard error of 0.39.
    assert 1.9 < np.mean(scores) < 4.6


def test_weights_count_customers(spending):
    weight = np.random.default_rng(3).integers(0, 4, len(spending[0]))
    repeated = [np.repeat(column, weight) for column in spending]
    weighted, plain = gamma_gamma.fit(*spending, weights=weight), gamma_gamma.fit(*repeated)
    np.testing.assert_allclose(theta_of(weighted), theta_of(plain), rtol=1e-8)
    assert weighted.customers == plain.customers == (repeated[0] > 0).sum()
    np.testing.assert_allclose(
        dataclasses.astuple(independence(*spending, weights=weight)),
        dataclasses.astuple(independence(*repeated)),
        rtol=1e-8,
    )


def test_customers_without_weight_are_no_customers(spending):
    x, z = spending
    weight = (np.arange(len(x)) < 2000).astype(float)
    assert gamma_gamma.fit(x, z, weight) == gamma_gamma.fit(x[:2000], z[:2000])
    with pytest.raises(FitError, match="has a repeat purchase"):
        gamma_gamma.fit(x, z, np.zeros(len(x)))


def test_neither_order_nor_repetition_changes_a_bit(spending):
    shuffled = np.random.default_rng(4).permutation(len(spending[0]))
    mixed = [column[shuffled] for column in spending]
    results = [gamma_gamma.fit(*columns) for columns in (spending, spending, mixed)]
    assert len({repr(dataclasses.asdict(result)) for result in results}) == 1
    assert independence(*spending) == independence(*mixed)


def test_a_model_survives_json(spending):
    model = gamma_gamma.fit(*spending)
    loaded = GammaGamma(**json.loads(json.dumps(dataclasses.asdict(model))))
    assert loaded.standard_errors == model.standard_errors


# Independence


def test_independence_is_seldom_rejected_where_it_holds():
    p_values = [independence(*simulated(1000, seed=seed)[:2]).p_value for seed in range(400)]
    # 5% of 400 is 20, with a standard deviation of 4.4; Spearman rejects 70.
    assert 7 < np.sum(np.array(p_values) < 0.05) < 35


def test_dependence_is_found_and_measured(spending):
    x, z = spending
    result = independence(x, z * (1 + 0.05 * x))
    assert result.p_value < 1e-6
    assert result.correlation > 0.2
    assert result.change_per_purchase == pytest.approx(0.04, abs=0.01)
    opposite = independence(x, z / (1 + 0.05 * x))
    assert opposite.correlation < -0.05
    assert opposite.p_value < 1e-3


def test_spending_that_follows_from_frequency_is_dependence():
    x = np.arange(1, 50)
    assert independence(x, 10.0 + x).p_value < 1e-12


@pytest.mark.parametrize(
    ("x", "z", "what"), [([2, 2, 2], [1, 2, 3], "frequency"), ([1, 2, 3], [5, 5, 5], "mean value")]
)
def test_independence_needs_variation(x, z, what):
    with pytest.raises(FitError, match=f"All 3 repeat customers have one {what}"):
        independence(x, z)


# What has no estimate


def alike(n=500):
    """Customers who do not differ: q and v have no finite maximum."""
    rng = np.random.default_rng(6)
    x = rng.integers(1, 30, n)
    return x, rng.gamma(4.0 * x) / x


def steady(n=500):
    """Customers each of whom always spends the same: nor has p."""
    rng = np.random.default_rng(6)
    x = np.full(n, 200_000)
    return x, 1 / rng.gamma(4.0, size=n)


@pytest.mark.parametrize(
    ("x", "z", "sentence"),
    [
        ([], [], "None of the 0 customers has a repeat purchase"),
        ([0, 0], [0, 0], "None of the 2 customers has a repeat purchase"),
        ([1, 2, 5], [7, 7, 7], "All 3 repeat customers have the mean value 7"),
        ([1], [4], "All 1 repeat customers have the mean value 4"),
        ([1, 2], [4, 5], "determine|too little"),
        (*alike(), "determine|too little"),
        (*steady(), "determine|too little"),
    ],
)
def test_data_without_an_estimate_are_an_error(x, z, sentence):
    with pytest.raises(FitError, match=sentence):
        gamma_gamma.fit(x, z)


@pytest.mark.parametrize(
    ("x", "z", "sentence"),
    [
        (1, -4, "1 of 2 customers have purchases without a mean value from 0; .* number 1"),
        (2, np.nan, "without a mean value from 0"),
        (2, np.inf, "without a mean value from 0"),
        (1.5, 3, "no whole number"),
        (-1, 3, "no whole number"),
        (np.nan, 3, "no whole number"),
    ],
)
def test_impossible_spending_is_refused(x, z, sentence):
    for call in (gamma_gamma.fit, TRUE.expected_mean_value, independence):
        with pytest.raises(ValueError, match=sentence):
            call([3, x], [5, z])


def test_purchases_that_all_came_back_are_worth_less_than_any_other():
    for call in (gamma_gamma.fit, independence):
        with pytest.raises(ValueError, match=r"1 of 2 repeat customers .* leave them out"):
            call([3, 1], [5, 0])
    nothing, little, unknown = TRUE.expected_mean_value([4, 4, 0], [0, 1e-9, 0])
    assert nothing == pytest.approx(little)
    assert 0 < nothing < unknown == pytest.approx(TRUE.population_mean)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"one shape \(n,\)"):
        gamma_gamma.fit([1, 2], [1])


def test_an_infinite_mean_is_an_error_and_no_number():
    with pytest.raises(ValueError, match="infinite unless q > 1"):
        GammaGamma(2, 0.9, 3).expected_mean_value([0, 1], [0, 4])


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_parameters_are_positive(value):
    with pytest.raises(ValueError, match="q of Gamma-Gamma"):
        GammaGamma(1, value, 1)


def test_known_parameters_have_no_standard_errors():
    with pytest.raises(ValueError, match="not fitted"):
        _ = TRUE.standard_errors
