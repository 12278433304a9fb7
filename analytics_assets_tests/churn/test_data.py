"""What training takes in, and what it refuses."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from analytics_assets.churn.data import (
    FeatureSet,
    HistoryError,
    Purchases,
    TrainingError,
    customer_value,
    labelled_rows,
    rank_auc,
    refuse_leaks,
)

from .conftest import COLUMNS, FEATURES


def with_columns(*columns: str) -> FeatureSet:
    return replace(FEATURES, columns=columns)


def test_rows_come_sorted_and_typed_whatever_their_order_index_and_types(features):
    other = features.sample(frac=1, random_state=2)
    other["as_of"] = other["as_of"].dt.date
    other["orders"] = other["orders"].astype("Int64")
    other["churned"] = other["churned"].astype(object)
    one, two = labelled_rows(features, FEATURES), labelled_rows(other, FEATURES)
    pd.testing.assert_frame_equal(one.x, two.x)
    np.testing.assert_array_equal(one.y, two.y)
    pd.testing.assert_series_equal(one.customers, two.customers)
    pd.testing.assert_series_equal(one.as_of, two.as_of)
    np.testing.assert_array_equal(one.value, two.value)
    zoned = features.assign(as_of=features["as_of"].dt.tz_localize(dt.UTC))
    pd.testing.assert_series_equal(one.as_of, labelled_rows(zoned, FEATURES).as_of)


def test_an_index_with_repeated_labels_repeats_no_row(features):
    twice = pd.concat([features[features["as_of"] < "2024-03-01"].set_axis([0] * 600)])
    assert len(labelled_rows(twice, FEATURES).x) == 600


def test_rows_with_an_open_label_are_only_the_newest_customers(features):
    newer = features[features["as_of"] == "2024-08-01"].assign(
        as_of=pd.Timestamp("2024-09-01"), churned=pd.array([pd.NA] * 300, dtype="boolean"), orders=9
    )
    rows = labelled_rows(pd.concat([features, newer]), FEATURES)
    pd.testing.assert_frame_equal(rows.x, labelled_rows(features, FEATURES).x)
    assert (rows.newest["orders"] == 9).all() and len(rows.newest) == 300
    assert not (labelled_rows(features, FEATURES).newest["orders"] == 9).all()


def test_the_inputs_are_what_any_candidate_reads_once_each():
    features = FeatureSet(
        ("a", "b"), recency="b", rule="r", purchases=Purchases("d", "t", "b", "m"), value="v"
    )
    assert features.inputs == ("a", "b", "r", "d", "t", "m")


def test_awkward_but_good_columns_are_numbers(features):
    # An optional source that is absent leaves its features null in every row.
    awkward = features.assign(
        sessions=pd.array([pd.NA] * len(features), dtype="Int64"),
        is_member=pd.array([True, None] * (len(features) // 2), dtype="boolean"),
        money=[Decimal("1.2345"), None] * (len(features) // 2),
        contract=["monthly", None] * (len(features) // 2),
    )
    names = with_columns("sessions", "is_member", "money", "contract")
    rows = labelled_rows(awkward, replace(names, categorical=("contract",)))
    assert rows.x["sessions"].isna().all()
    assert rows.x["is_member"].tolist()[:2] != rows.x["is_member"].tolist()[1:3]
    assert set(rows.x["money"].dropna()) == {1.2345}
    assert set(rows.x["contract"]) == {"monthly", "(missing)"}
    assert [str(dtype) for dtype in rows.x.dtypes[:3]] == ["float64"] * 3


def test_the_callers_frame_is_left_alone(features):
    before = features.copy()
    labelled_rows(features, FEATURES)
    pd.testing.assert_frame_equal(features, before)


# Leaks


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_copy_of_the_label_is_refused_by_name(features, direction):
    rows = labelled_rows(features, FEATURES)
    leaked = rows.x.assign(gave_it_away=direction * rows.y)
    with pytest.raises(TrainingError, match=r"^gave_it_away alone separates .* leaked"):
        refuse_leaks(leaked, rows.y)
    refuse_leaks(rows.x, rows.y)


def test_a_feature_that_is_missing_exactly_for_one_class_is_refused(features):
    rows = labelled_rows(features, FEATURES)
    leaked = rows.x.assign(last_seen=rows.x["orders"].mask(rows.y))
    with pytest.raises(TrainingError, match="last_seen"):
        refuse_leaks(leaked, rows.y)


def test_a_name_that_gives_the_label_away_is_refused_and_rare_names_do_not():
    rng = np.random.default_rng(0)
    y = rng.random(1000) < 0.5
    frame = pd.DataFrame(
        {"status": np.where(y, "left", "here"), "street": [f"s{n}" for n in range(1000)]},
        dtype=object,
    )
    with pytest.raises(TrainingError, match=r"^status alone"):
        refuse_leaks(frame, y)


def test_a_future_event_let_through_is_refused():
    # Purchases with dates; the feature of one column looks past the as-of date, as a join without
    # its condition would: whoever buys within the horizon has a last purchase after it.
    rng = np.random.default_rng(3)
    as_of, horizon = 400, 90
    days = [np.sort(rng.integers(0, as_of + horizon, rng.integers(2, 12))) for _ in range(800)]
    days = [d for d in days if d[0] < as_of]
    y = np.array([not ((d >= as_of) & (d < as_of + horizon)).any() for d in days])
    right = pd.DataFrame({"recency": [as_of - d[d < as_of].max() for d in days]}, dtype=float)
    refuse_leaks(right, y)
    wrong = right.assign(leaking=[float(as_of - d.max()) for d in days])
    with pytest.raises(TrainingError, match=r"^leaking alone"):
        refuse_leaks(wrong, y)


def test_a_strong_but_honest_feature_is_not_refused(features):
    rows = labelled_rows(features, FEATURES)
    rng = np.random.default_rng(4)
    refuse_leaks(rows.x.assign(strong=rows.y + rng.normal(0, 0.3, len(rows.y))), rows.y)


def test_ranks_give_the_area_under_the_curve_with_ties(features):
    y = features["churned"].to_numpy(bool)
    for name in ("orders", "recency"):
        expected = metrics.roc_auc_score(y, features[name])
        assert rank_auc(y, features[name]) == pytest.approx(expected, abs=1e-12)


# Refusals


@pytest.mark.parametrize("name", ["churned", "as_of", "customer_id", "worth"])
def test_neither_key_nor_label_nor_value_is_a_feature(features, name):
    with pytest.raises(TrainingError, match=f"^{name} cannot be a feature"):
        labelled_rows(features, with_columns(*COLUMNS, name))


def test_no_closed_label_says_how_many_rows_there_are(features):
    with pytest.raises(HistoryError, match="None of the 2,400 rows, on 8 as-of dates, has a"):
        labelled_rows(features.assign(churned=pd.NA), FEATURES)
    with pytest.raises(HistoryError, match="None of the 0 rows"):
        labelled_rows(features.iloc[:0], FEATURES)


def test_missing_columns_are_named(features):
    with pytest.raises(TrainingError, match=r"missing from the features: churned, net, worth\."):
        labelled_rows(features.drop(columns=["net", "churned", "worth"]), FEATURES)


@pytest.mark.parametrize(
    ("columns", "sentence"), [((), "No feature columns"), (("net", "net"), "named twice")]
)
def test_a_list_of_features_that_makes_no_sense_is_refused(features, columns, sentence):
    with pytest.raises(TrainingError, match=sentence):
        labelled_rows(features, with_columns(*columns))


def test_a_customer_standing_twice_is_refused(features):
    twice = pd.concat([features, features.iloc[[5]]])
    with pytest.raises(TrainingError, match="1 labelled rows repeat a customer on an as-of date"):
        labelled_rows(twice, FEATURES)
    snapshot = features[features["as_of"] == "2024-08-01"].drop(columns="as_of")
    with pytest.raises(TrainingError, match=r"2 labelled rows repeat a customer\. Supply"):
        labelled_rows(pd.concat([snapshot, snapshot.iloc[:2]]), FEATURES)


@pytest.mark.parametrize("name", ["as_of", "customer_id"])
def test_a_null_key_is_refused(features, name):
    broken = features.astype({name: object})
    broken.loc[7, name] = None
    with pytest.raises(TrainingError, match="1 labelled rows have no as_of or no customer_id"):
        labelled_rows(broken, FEATURES)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("many", "net is not numeric"), (np.inf, "net has infinite values")],
)
def test_a_feature_that_is_no_finite_number_is_refused(features, value, sentence):
    broken = features.astype({"net": object})
    broken.loc[7, "net"] = value
    with pytest.raises(TrainingError, match=sentence):
        labelled_rows(broken, FEATURES)


def test_a_date_is_not_silently_a_number(features):
    with pytest.raises(TrainingError, match="first_sale is not numeric: its type is datetime64"):
        labelled_rows(features.assign(first_sale=features["as_of"]), with_columns("first_sale"))


def test_a_label_that_is_no_boolean_is_refused(features):
    with pytest.raises(TrainingError, match="churned must be true, false or null"):
        labelled_rows(features.assign(churned="yes"), FEATURES)


def test_the_value_of_a_customer_is_their_mean_spend_in_a_window():
    rows = pd.DataFrame(
        {
            "net_amount": [400.0, 400.0, -5.0, None, 100.0],
            "tenure_days": pd.array([360, 10, 360, None, None], dtype="Int32"),
        }
    )
    # A tenure shorter than a window counts as one; without a snapshot there is no value.
    assert customer_value(rows, 90).tolist() == [100.0, 400.0, 0.0, 0.0, 100.0]
