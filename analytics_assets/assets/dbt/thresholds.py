"""The thresholds of the business rules: the vars of the dbt project.

Belongs here: checking their values before anything is built. Does not belong here: the rules (the
project's macros) or the defaults (dbt_project.yml).
"""

from pathlib import Path
from typing import Any

import yaml

# Names, types, least and most.
RANGES: tuple[tuple[tuple[str, ...], tuple[type, ...], float, float], ...] = (
    (("segment_champion_score", "segment_good_score", "value_high_score"), (int,), 1, 5),
    (("cohort_strong_retention", "cohort_fair_retention"), (int, float), 0, 1),
    (("rule_medium_score", "rule_high_score"), (int, float), 0, 1),
    (("frequency_days", "value_new_days", "value_at_risk_days"), (int,), 1, float("inf")),
    (("lifetime_months", "risk_min_days"), (int,), 1, float("inf")),
    (("tenure_established_months", "tenure_long_months"), (int,), 1, float("inf")),
    (("revenue_band_medium", "revenue_band_high"), (int, float), 0, float("inf")),
    (("charge_medium", "charge_high"), (int, float), 0, float("inf")),
    (("cohort_dimension_values",), (int,), 1, float("inf")),
    (("risk_normal_gaps",), (int, float), 1, float("inf")),
)
# The first may not be above the second.
ASCENDING = (
    ("segment_good_score", "segment_champion_score"),
    ("cohort_fair_retention", "cohort_strong_retention"),
    ("revenue_band_medium", "revenue_band_high"),
    ("rule_medium_score", "rule_high_score"),
    ("tenure_established_months", "tenure_long_months"),
    ("charge_medium", "charge_high"),
)


class ThresholdError(ValueError):
    """A threshold is missing or makes no sense; the message says which and what to do."""


def read_thresholds(project_dir: Path) -> dict[str, float]:
    """The thresholds of a dbt project by name.

    Raises:
        ThresholdError: one is missing, unknown, out of its range, or above the next.
    """
    file = project_dir / "dbt_project.yml"
    values: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")).get("vars") or {}
    known = {name for names, *_ in RANGES for name in names}
    for name in sorted(known ^ values.keys()):
        problem = "is missing" if name in known else "is no threshold of any rule"
        raise ThresholdError(f"{file}: {name} {problem}; the vars are {', '.join(sorted(known))}.")
    for names, types, least, most in RANGES:
        for name in names:
            value = values[name]
            if type(value) not in types or not least <= value <= most:
                kind = "a whole number" if types == (int,) else "a number"
                limit = f"from {least} to {most:g}" if most < float("inf") else f"from {least} up"
                raise ThresholdError(f"{file}: {name} is {value!r}; set it to {kind} {limit}.")
    for low, high in ASCENDING:
        if values[low] > values[high]:
            raise ThresholdError(
                f"{file}: {low} ({values[low]}) lies above {high} ({values[high]}); set it to that "
                "at most."
            )
    return values
