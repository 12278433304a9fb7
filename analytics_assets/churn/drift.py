"""Drift: whether a feature or score is distributed as it was when the model was trained.

Belongs here: bins fixed at training, the population stability index (PSI) against them, and a
verdict by its size and by chance. Does not belong here: which features there are, and what follows
from drift.

With shares p of the reference and q of today, PSI is the sum over bins of (q - p) ln(q / p). Where
nothing has changed, PSI / (1/n + 1/m) is about chi-square with bins - 1 degrees of freedom
(Yurdakul 2018, Statistical Properties of Population Stability Index, Western Michigan University):
a small sample has a large PSI by chance, and a huge one a significant PSI of no importance. So
drift has to be both significant and large: larger than the PSI expected by chance, by the usual
0.1 or 0.25 (Siddiqi 2006, Credit Risk Scorecards).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc

MODERATE_PSI = 0.1
MAJOR_PSI = 0.25
SIGNIFICANCE = 0.001
MIN_ROWS = 50

Verdict = Literal["stable", "moderate", "major", "by construction", "not testable"]


@dataclass(frozen=True)
class Reference:
    """A feature's distribution at training; its fields are JSON.

    Attributes:
        feature: name.
        edges: k numbers, ascending: bin i is for values in (edges[i - 1], edges[i]].
        counts: rows in each of the k + 1 bins, and then those without a value: k + 2 numbers.
        drifts_by_construction: whether its distribution must change, such as tenure, which grows.
    """

    feature: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    drifts_by_construction: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", tuple(self.edges))  # lists, when they come from JSON
        object.__setattr__(self, "counts", tuple(self.counts))
        if len(self.counts) != len(self.edges) + 2 or sum(self.counts) <= 0:
            raise ValueError(
                f"The reference of {self.feature} has {len(self.edges)} edges and counts "
                f"{list(self.counts)}; two more counts than edges are needed, not all 0."
            )


@dataclass(frozen=True)
class Drift:
    """A feature's distribution against its reference; its fields are JSON.

    Attributes:
        feature: name.
        psi: population stability index.
        expected_psi: mean PSI by chance alone, with as many rows and bins.
        p_value: probability of this PSI or a larger one if nothing has changed.
        rows: rows today.
        reference_rows: rows of the reference.
        missing: share of rows without a value today.
        reference_missing: the same in the reference.
        verdict: "not testable" with fewer than MIN_ROWS rows here or there; "by construction" for
            features declared so; "stable" unless p_value < SIGNIFICANCE and psi - expected_psi >=
            MODERATE_PSI, which is "moderate", or >= MAJOR_PSI, "major".
    """

    feature: str
    psi: float
    expected_psi: float
    p_value: float
    rows: int
    reference_rows: int
    missing: float
    reference_missing: float
    verdict: Verdict

    @property
    def has_drifted(self) -> bool:
        """Whether the verdict is "moderate" or "major"."""
        return self.verdict in ("moderate", "major")


def references(
    features: Mapping[str, ArrayLike], bins: int = 10, drifts_by_construction: Collection[str] = ()
) -> tuple[Reference, ...]:
    """Compute the distributions of features, or of scores, at training.

    The inner edges are quantiles. Equal ones are one edge, so a frequent value has a bin of its
    own, and there may be fewer bins. Where the smallest or largest value is frequent, values past
    it have a bin too, which is empty in the reference.

    Args:
        features: values by name, numeric, NaN or None where missing, each of shape (n,).
        bins: most bins, without those for missing and for unseen values.
        drifts_by_construction: names of the features whose distribution must change.

    Raises:
        ValueError: no rows, infinite values, fewer than 2 bins, or a name among those that drift
            by construction that is no feature.
    """
    if unknown := sorted(set(drifts_by_construction) - set(features)):
        raise ValueError(
            f"drifts_by_construction names what is no feature: {', '.join(unknown)}. "
            f"The features are {', '.join(features)}."
        )
    if bins < 2:
        raise ValueError(f"Drift needs 2 bins or more, not {bins}.")
    result = []
    for feature, values in features.items():
        known, missing = _known(feature, values)
        edges: NDArray[np.float64] = np.empty(0)
        if len(known):
            levels = np.arange(1, bins) / bins
            edges = np.unique(np.quantile(known, levels, method="inverted_cdf"))
            lowest = known.min()
            if edges[0] == lowest:
                edges = np.append(np.nextafter(lowest, -np.inf), edges)
        result.append(
            Reference(
                feature,
                tuple(edges.tolist()),
                tuple(_counts(edges, known, missing).tolist()),
                feature in drifts_by_construction,
            )
        )
    return tuple(result)


def drift(reference: Reference, values: ArrayLike) -> Drift:
    """Compare a feature's values with its reference.

    Half a row is added to every bin, because PSI is infinite where a bin is empty on one side. A
    bin that is empty on both sides does not count.

    Args:
        reference: the distribution at training.
        values: values today, numeric, NaN or None where missing, shape (n,).

    Raises:
        ValueError: no rows, or infinite values.
    """
    known, missing = _known(reference.feature, values)
    now = _counts(np.array(reference.edges), known, missing)
    then = np.array(reference.counts)
    rows, reference_rows = int(now.sum()), int(then.sum())
    used = (now + then) > 0
    p, q = ((counts[used] + 0.5) / (counts[used] + 0.5).sum() for counts in (then, now))
    psi = float(((q - p) * np.log(q / p)).sum())
    chance = 1 / rows + 1 / reference_rows
    degrees = int(used.sum()) - 1
    p_value = float(chdtrc(degrees, psi / chance)) if degrees else 1.0
    excess = psi - degrees * chance

    verdict: Verdict = "stable"
    if min(rows, reference_rows) < MIN_ROWS:
        verdict = "not testable"
    elif reference.drifts_by_construction:
        verdict = "by construction"
    elif p_value < SIGNIFICANCE and excess >= MODERATE_PSI:
        verdict = "major" if excess >= MAJOR_PSI else "moderate"
    return Drift(
        feature=reference.feature,
        psi=psi,
        expected_psi=degrees * chance,
        p_value=p_value,
        rows=rows,
        reference_rows=reference_rows,
        missing=int(now[-1]) / rows,
        reference_missing=int(then[-1]) / reference_rows,
        verdict=verdict,
    )


def _known(feature: str, values: ArrayLike) -> tuple[NDArray[np.float64], int]:
    """The values that are not missing, and the number of those that are."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError(f"{feature} needs values of shape (n,), n > 0, not {numbers.shape}.")
    if infinite := int(np.isinf(numbers).sum()):
        raise ValueError(
            f"{feature} has {infinite:,} infinite values of {len(numbers):,}; make them missing."
        )
    is_missing = np.isnan(numbers)
    return numbers[~is_missing], int(is_missing.sum())


def _counts(
    edges: NDArray[np.float64], known: NDArray[np.float64], missing: int
) -> NDArray[np.int64]:
    in_bins = np.bincount(np.searchsorted(edges, known, side="left"), minlength=len(edges) + 1)
    return np.append(in_bins, missing)
