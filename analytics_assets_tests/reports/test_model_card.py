"""The model card says what was measured, and nothing that was not."""

import re
from dataclasses import replace

from analytics_assets.churn.data import FeatureSet
from analytics_assets.churn.training import train
from analytics_assets.reports.model_card import model_card
from analytics_assets_tests.churn.conftest import COLUMNS, PLAN

FIGURES = {"calibration": "![c](c.png)", "gain": "![g](g.png)"}


def test_the_card_has_dates_data_measures_plots_and_limits(result):
    card = model_card(result, PLAN, FIGURES, "promoted. It is the first.")
    assert card.startswith(f"# Churn model {result.model.version}\n")
    assert "**Decision:** promoted. It is the first." in card
    assert "as-of dates 2024-01-01 to 2024-08-01, labels to 2024-09-30" in card
    assert "Tested on 2024-08-01, 2024-06-01: 600 rows" in card
    assert result.data_hash[:12] in card
    assert "![c](c.png)" in card and "![g](g.png)" in card
    assert "What it must not be used for" in card
    assert "Not for days before 2024-09-30" in card


def test_the_table_has_every_candidate_with_its_intervals(result):
    card = model_card(result, PLAN, FIGURES)
    assert "Decision" not in card
    rows = [
        line
        for line in card.split("## Parameters")[0].splitlines()
        if re.match(r"\| (\*\*)?[a-z_ ]+(\*\*)? \|", line)
    ]
    assert len(rows) == 1 + len(result.candidates)
    for line, row in zip(rows[1:], result.candidates.to_dict("records"), strict=True):
        assert row["candidate"].replace("_", " ") in line
        assert ("**" in line) == row["is_chosen"]
        interval = f"({row['roc_auc_low']:.3f} to {row['roc_auc_high']:.3f})"
        assert interval in line and f"{row['log_loss']:.4f}" in line


def test_the_card_of_a_single_snapshot_has_no_dates(features):
    snapshot = features[features["as_of"] == "2024-08-01"].drop(columns="as_of")
    result = train(snapshot, FeatureSet(COLUMNS), PLAN)
    card = model_card(result, PLAN, {})
    assert "Fitted on one snapshot" in card
    assert "Tested on fold 1, fold 2" in card
    assert " days from the" not in card


def test_what_has_no_estimate_is_named(result):
    failed = replace(result, failed={"bg_nbd": "None has a repeat purchase."})
    assert "- bg_nbd: None has a repeat purchase." in model_card(failed, PLAN, {})
