"""Maximum likelihood in log parameters, for models whose parameters are all positive.

Belongs here: the search, the check of convergence, and the covariance of the estimate. Does not
belong here: any particular likelihood.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
# Log parameters (k,) -> log likelihood in nats and its gradient (k,).
LogLikelihood = Callable[[Floats], tuple[float, Floats]]

# A standard error of a factor of 20 either way: such a parameter is not determined.
MAX_LOG_STANDARD_ERROR = 3.0
_BOUND = 14.0  # of a log parameter during the search: keeps exp() and gammaln() finite
_STEP = 1e-4  # of the gradient's differences: error of the second derivative about 1e-8
_DECREMENT = 1e-12  # nats that another Newton step could still gain
_NEWTON_STEPS = 30


class FitError(ValueError):
    """The data have no maximum likelihood estimate, or the search did not reach it."""


@dataclass(frozen=True, eq=False)
class Maximum:
    """A maximum of a log likelihood.

    Attributes:
        log_parameters: shape (k,).
        log_likelihood: in nats.
        covariance: covariance of the log parameters, shape (k, k): the inverse of the observed
            information.
    """

    log_parameters: Floats
    log_likelihood: float
    covariance: Floats


def maximise(
    function: LogLikelihood, starts: Sequence[Floats], names: Sequence[str], n: float
) -> Maximum:
    """Find the maximum of a log likelihood of n observations.

    L-BFGS-B runs from the best start, and from the next best if that fails. Newton steps follow,
    until another step would gain almost nothing. On a ridge that goes to infinity this happens only
    where the standard errors are huge, which is an error.

    Args:
        function: the log likelihood with its gradient, of log parameters.
        starts: log parameters to start from.
        names: names of the parameters, for messages.
        n: number of observations.

    Raises:
        FitError: no start leads to a maximum, or the data leave a parameter undetermined.
    """

    def negative_mean(theta: Floats) -> tuple[float, Floats]:
        value, gradient = function(theta)
        return -value / n, -gradient / n

    values = [function(start)[0] for start in starts]
    failure = FitError(f"The likelihood of {', '.join(names)} is not finite at any start.")
    for index in np.argsort([-value for value in values], kind="stable"):
        if not np.isfinite(values[index]):
            continue
        search = minimize(
            negative_mean,
            starts[index],
            jac=True,
            method="L-BFGS-B",
            bounds=[(-_BOUND, _BOUND)] * len(names),
            options={"maxiter": 1000, "ftol": 1e-13, "gtol": 1e-7},
        )
        try:
            return _polish(function, search.x, names)
        except FitError as error:
            failure = error
    raise failure


def _polish(function: LogLikelihood, theta: Floats, names: Sequence[str]) -> Maximum:
    """Take Newton steps to the maximum, and check that it is one."""
    value, gradient = function(theta)
    for _ in range(_NEWTON_STEPS):
        _refuse_runaways(theta, names)
        information = _information(function, theta)
        if not np.isfinite(information).all():
            raise FitError(f"The search for {', '.join(names)} left the finite numbers.")
        eigenvalues, vectors = np.linalg.eigh(information)
        if not eigenvalues[0] > 0:
            raise FitError(
                f"The search for {', '.join(names)} ended where the likelihood has no maximum: "
                f"the data say too little about {names[int(np.argmax(np.abs(vectors[:, 0])))]}."
            )
        covariance = (vectors / eigenvalues) @ vectors.T
        step = covariance @ gradient
        if gradient @ step < _DECREMENT:
            _refuse_unknowns(covariance, names)
            return Maximum(theta, value, covariance)
        step /= max(1.0, np.abs(step).max())
        # The likelihood must rise; the last digits of a sum over many customers are noise.
        tolerance = 1e-12 * abs(value)
        for _ in range(20):
            new_value, new_gradient = function(theta + step)
            if new_value >= value - tolerance:
                break
            step /= 2
        theta, value, gradient = theta + step, new_value, new_gradient
    raise FitError(f"The search for {', '.join(names)} does not converge.")


def _information(function: LogLikelihood, theta: Floats) -> Floats:
    """Observed information (k, k): minus the second derivatives, from central differences."""
    steps = _STEP * np.eye(len(theta))
    rows = [function(theta - step)[1] - function(theta + step)[1] for step in steps]
    matrix = np.array(rows) / (2 * _STEP)
    return (matrix + matrix.T) / 2


def _refuse_runaways(theta: Floats, names: Sequence[str]) -> None:
    if away := [name for name, at in zip(names, theta, strict=True) if abs(at) >= _BOUND]:
        raise FitError(
            f"The likelihood keeps rising towards zero or infinity of {' and '.join(away)}, "
            "which the data do not determine."
        )


def _refuse_unknowns(covariance: Floats, names: Sequence[str]) -> None:
    errors = np.sqrt(np.diag(covariance))
    for name, error in zip(names, errors, strict=True):
        if error > MAX_LOG_STANDARD_ERROR:
            raise FitError(
                f"The data do not determine {name}: the standard error of its logarithm is "
                f"{error:.3g}, more than {MAX_LOG_STANDARD_ERROR:g}."
            )
