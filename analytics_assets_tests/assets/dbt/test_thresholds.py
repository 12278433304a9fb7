"""Thresholds of the rules: those of the project make sense, and others are refused by name."""

from pathlib import Path

import pytest
import yaml

from analytics_assets.assets.dbt.thresholds import ThresholdError, read_thresholds
from analytics_assets.settings import PROJECT_ROOT

DEFAULTS = read_thresholds(PROJECT_ROOT / "dbt_project")


def changed(folder: Path, **thresholds: object) -> Path:
    (folder / "dbt_project.yml").write_text(yaml.safe_dump({"vars": {**DEFAULTS, **thresholds}}))
    return folder


def test_a_team_sets_its_own(tmp_path: Path) -> None:
    own = {"segment_champion_score": 5, "rule_medium_score": 0, "risk_normal_gaps": 2.5}
    assert read_thresholds(changed(tmp_path, **own)) == {**DEFAULTS, **own}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("segment_champion_score", 6, "whole number from 1 to 5"),
        ("segment_good_score", 3.5, "whole number from 1 to 5"),
        ("segment_good_score", 5, "lies above segment_champion_score"),
        ("rule_medium_score", 0.8, "lies above rule_high_score"),
        ("rule_high_score", "high", "a number from 0 to 1"),
        ("cohort_fair_retention", -0.1, "a number from 0 to 1"),
        ("value_new_days", 0, "whole number from 1 up"),
        ("value_new_days", True, "whole number from 1 up"),
        ("revenue_band_high", 50, "lies above revenue_band_high"),
        ("segment_champion", 4, "is no threshold"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, name: str, value: object, message: str
) -> None:
    with pytest.raises(ThresholdError, match=f"{name}.*{message}|{message}"):
        read_thresholds(changed(tmp_path, **{name: value}))


def test_a_missing_one_is_named(tmp_path: Path) -> None:
    left = {name: value for name, value in DEFAULTS.items() if name != "value_new_days"}
    (tmp_path / "dbt_project.yml").write_text(yaml.safe_dump({"vars": left}))
    with pytest.raises(ThresholdError, match="value_new_days is missing"):
        read_thresholds(tmp_path)
