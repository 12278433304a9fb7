"""The search for a maximum: on functions whose maximum is known, or known not to exist."""

import numpy as np
import pytest

from analytics_assets.lifetime.likelihood import FitError, maximise


def bowl(centre, information, height=0.0):
    """Like a quadratic of that information near its maximum at `centre`, but not one."""
    roots = np.linalg.cholesky(information).T

    def value_and_gradient(theta):
        y = roots @ (theta - centre)
        return height - float((np.cosh(y) - 1).sum()), -roots.T @ np.sinh(y)

    return value_and_gradient


def test_the_search_returns_maximum_value_and_covariance():
    information = np.array([[4.0, 1.0], [1.0, 2.0]])
    maximum = maximise(bowl([1.0, -2.0], information, 7.0), [np.zeros(2)], "ab", 1.0)
    np.testing.assert_allclose(maximum.log_parameters, [1, -2], atol=1e-7)
    assert maximum.log_likelihood == pytest.approx(7)
    np.testing.assert_allclose(maximum.covariance, np.linalg.inv(information), rtol=1e-6)


def test_the_search_ends_at_the_maximum_and_not_where_the_value_stops_changing():
    # Beside 1e10 the last steps of the first search are too small to be seen.
    centre, information = np.array([1.0, -2.0]), np.array([[40.0, 5.0], [5.0, 1.0]])
    maximum = maximise(bowl(centre, information, -1e10), [np.zeros(2)], "ab", 1.0)
    np.testing.assert_allclose(maximum.log_parameters, centre, rtol=1e-6)


def test_the_best_start_leads_to_the_higher_maximum():
    def two_hills(theta):
        low, high = np.exp(-((theta[0] + 3) ** 2)), 2 * np.exp(-((theta[0] - 3) ** 2))
        gradient = -2 * (low * (theta[0] + 3) + high * (theta[0] - 3))
        return float(low + high), np.array([gradient])

    starts = [np.array([-3.1]), np.array([2.5]), np.array([9.0])]
    assert maximise(two_hills, starts, "a", 1.0).log_parameters == pytest.approx([3], abs=1e-6)


def test_another_start_is_tried_where_one_fails():
    # Ever higher to the left of 0, with a maximum on the right.
    def slope_and_hill(theta):
        at = theta[0]
        if at < 0:
            return 5.0 - at, np.array([-1.0])
        return -((at - 2) ** 2) / 2, np.array([2 - at])

    maximum = maximise(slope_and_hill, [np.array([-1.0]), np.array([1.0])], "a", 1.0)
    assert maximum.log_parameters == pytest.approx([2], abs=1e-6)


def test_a_likelihood_that_keeps_rising_is_an_error():
    def rising(theta):
        return -float(np.exp(-theta[1])) - theta[0] ** 2, np.array(
            [-2 * theta[0], np.exp(-theta[1])]
        )

    with pytest.raises(FitError, match="towards zero or infinity of scale, which"):
        maximise(rising, [np.zeros(2)], ["shape", "scale"], 1.0)


def test_a_parameter_of_which_the_data_say_nothing_is_an_error():
    weak = bowl([0.0, 0.0], np.diag([1.0, 0.01]))
    with pytest.raises(FitError, match=r"do not determine scale: .* is 10, more than 3"):
        maximise(weak, [np.ones(2)], ["shape", "scale"], 1.0)


def test_a_flat_likelihood_is_an_error():
    with pytest.raises(FitError, match="no maximum: the data say too little about a"):
        maximise(lambda theta: (1.0, np.zeros(1)), [np.zeros(1)], "a", 1.0)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_likelihood_that_is_no_number_is_an_error(value):
    with pytest.raises(FitError, match="not finite at any start"):
        maximise(lambda theta: (value, np.zeros(1)), [np.zeros(1)], "a", 1.0)
    with pytest.raises(FitError, match="left the finite numbers"):
        maximise(lambda theta: (1.0, np.array([np.nan])), [np.zeros(1)], "a", 1.0)
