"""Drift: arithmetic, chance, size, and features that cannot stand still."""

import dataclasses
import json

import numpy as np
import pytest

from analytics_assets.churn.drift import Drift, Reference, drift, references


def draw(n, seed, shift=0.0, scale=1.0, missing=0.0):
    rng = np.random.default_rng(seed)
    values = shift + scale * rng.gamma(2.0, 1.0, n)
    values[rng.random(n) < missing] = np.nan
    return values


def reference(values, **arguments):
    (baseline,) = references({"spend": values}, **arguments)
    return baseline


# Bins


def test_bins_are_quantiles_of_the_training_rows():
    baseline = reference(np.arange(1.0, 101.0), bins=4)
    assert baseline == Reference("spend", (25.0, 50.0, 75.0), (25, 25, 25, 25, 0))


def test_missing_values_have_a_bin_of_their_own():
    baseline = reference([1.0, None, 2.0, np.nan, 3.0, 4.0], bins=2)
    assert baseline == Reference("spend", (2.0,), (2, 2, 2))
    result = drift(baseline, [1.0, 5.0, None, None])
    assert (result.missing, result.reference_missing) == (0.5, pytest.approx(1 / 3))


def test_frequent_values_have_bins_of_their_own_and_unseen_ones_too():
    below = np.nextafter(0.0, -1)
    baseline = reference([0.0] * 60 + [1.0] * 40)
    assert baseline == Reference("spend", (below, 0.0, 1.0), (0, 60, 40, 0, 0))
    constant = reference([3.0] * 100)
    assert constant.counts == (0, 100, 0, 0)
    for other in (2.0, 4.0, np.nan):
        assert drift(constant, [3.0] * 60 + [other] * 40).verdict == "major"
    assert drift(constant, [3.0] * 100).psi == 0


def test_a_feature_without_any_value_is_missing_and_may_appear():
    empty = reference([None] * 200)
    assert empty == Reference("spend", (), (0, 200))
    same = drift(empty, [np.nan] * 100)
    assert (same.psi, same.p_value, same.verdict) == (0.0, 1.0, "stable")
    assert drift(empty, draw(100, seed=1)).verdict == "major"


# Arithmetic


def test_the_index_and_what_chance_gives():
    baseline = Reference("spend", (1.0, 2.0), (500, 300, 200, 0))
    result = drift(baseline, [0.5] * 60 + [1.5] * 60 + [2.5] * 80)
    p = np.array([500.5, 300.5, 200.5]) / 1001.5
    q = np.array([60.5, 60.5, 80.5]) / 201.5
    assert result.psi == pytest.approx(sum((q - p) * np.log(q / p)))
    assert result.expected_psi == pytest.approx(2 * (1 / 1000 + 1 / 200))
    # Two degrees of freedom: the upper tail of chi-square is exponential.
    assert result.p_value == pytest.approx(np.exp(-result.psi / (1 / 1000 + 1 / 200) / 2))
    assert (result.rows, result.reference_rows) == (200, 1000)


@pytest.mark.parametrize(("rows", "reference_rows"), [(50, 5000), (300, 300), (5000, 20_000)])
def test_without_drift_the_index_is_what_chance_gives(rows, reference_rows):
    result = [
        drift(reference(draw(reference_rows, 2 * seed)), draw(rows, 2 * seed + 1))
        for seed in range(400)
    ]
    ratio = np.mean([result.psi / result.expected_psi for result in result])
    assert 0.8 < ratio < 1.1
    # 5% of 400 is 20, with a standard deviation of 4.4.
    assert 4 <= sum(result.p_value < 0.05 for result in result) <= 36
    assert sum(result.has_drifted for result in result) <= 2


# Verdicts


def test_a_small_sample_is_no_false_alarm():
    baseline = reference(draw(5000, seed=1))
    result = [drift(baseline, draw(60, seed)) for seed in range(2, 102)]
    assert np.mean([result.psi > 0.1 for result in result]) > 0.5  # as the bare rule would
    assert not any(result.has_drifted for result in result)


def test_a_large_sample_does_not_flag_small_changes():
    result = drift(reference(draw(300_000, seed=1)), draw(300_000, seed=2, scale=1.03))
    assert result.p_value < 1e-9
    assert result.verdict == "stable"


@pytest.mark.parametrize(
    ("scale", "verdict"), [(1.0, "stable"), (1.35, "moderate"), (2.0, "major")]
)
def test_the_size_of_drift_decides(scale, verdict):
    result = drift(reference(draw(5000, seed=1)), draw(3000, seed=2, scale=scale))
    assert result.verdict == verdict
    assert result.has_drifted == (verdict != "stable")


def test_missing_values_drift():
    baseline = reference(draw(5000, seed=1, missing=0.02))
    assert drift(baseline, draw(3000, seed=2, missing=0.02)).verdict == "stable"
    assert drift(baseline, draw(3000, seed=2, missing=0.3)).verdict == "major"


TEN_BINS = Reference("spend", tuple(range(1, 10)), (*[500] * 10, 0))


@pytest.mark.parametrize(
    ("few", "many", "verdict"),
    [
        (27, 53, "stable"),  # beyond chance, and at 0.1; but chance alone is part of that
        (24, 56, "moderate"),
        (2, 10, "stable"),  # large, but no more than chance may do to 60 rows
        (0, 12, "major"),
    ],
)
def test_drift_is_both_large_and_significant(few, many, verdict):
    result = drift(TEN_BINS, np.repeat(np.arange(10) + 0.5, [few, many] * 5))
    assert result.psi > 0.1
    assert result.verdict == verdict
    assert (result.p_value < 0.001) == (few != 2)


def test_a_real_change_is_found_in_a_small_sample():
    assert drift(reference(draw(5000, seed=1)), draw(60, seed=2, shift=3)).verdict == "major"


def test_what_drifts_by_construction_says_so_and_is_measured():
    features = {"tenure": draw(5000, seed=1), "spend": draw(5000, seed=2)}
    tenure, spend = references(features, drifts_by_construction=["tenure"])
    assert (tenure.drifts_by_construction, spend.drifts_by_construction) == (True, False)
    older = draw(3000, seed=3, shift=1)
    result = drift(tenure, older)
    assert result.verdict == "by construction"
    assert not result.has_drifted
    assert result.psi > 0.25
    assert drift(spend, older).verdict == "major"


@pytest.mark.parametrize(("rows", "reference_rows"), [(49, 5000), (5000, 49)])
def test_too_few_rows_are_not_testable(rows, reference_rows):
    result = drift(reference(draw(reference_rows, seed=1)), draw(rows, seed=2, shift=9))
    assert result.verdict == "not testable"
    assert not result.has_drifted


# Storage and refusals


def test_both_survive_json():
    baseline = reference(draw(1000, seed=1, missing=0.1))
    loaded = Reference(**json.loads(json.dumps(dataclasses.asdict(baseline))))
    assert loaded == baseline
    result = drift(loaded, draw(500, seed=2))
    assert (
        Drift(**json.loads(json.dumps(dataclasses.asdict(result))))
        == result
        == drift(baseline, draw(500, seed=2))
    )


def test_the_order_of_rows_changes_nothing():
    values, now = draw(1000, seed=1, missing=0.1), draw(500, seed=2, missing=0.2)
    assert drift(reference(values[::-1]), now[::-1]) == drift(reference(values), now)


def test_an_unknown_name_by_construction_is_refused():
    with pytest.raises(
        ValueError, match=r"what is no feature: age_days\. The features are spend\."
    ):
        references({"spend": [1, 2]}, drifts_by_construction=["age_days"])


def test_values_without_sense_are_refused():
    with pytest.raises(ValueError, match="spend has 1 infinite values of 2"):
        reference([1.0, np.inf])
    for values in ([], [[1.0]]):
        with pytest.raises(ValueError, match="spend needs values"):
            reference(values)
        with pytest.raises(ValueError, match="spend needs values"):
            drift(reference([1.0, 2.0]), values)
    with pytest.raises(ValueError, match="2 bins or more"):
        reference([1.0], bins=1)


@pytest.mark.parametrize("counts", [(1, 2), (0, 0, 0), (1, 2, 3, 4)])
def test_a_stored_reference_must_fit_together(counts):
    with pytest.raises(ValueError, match="The reference of spend has 1 edges"):
        Reference("spend", (1.0,), counts)
