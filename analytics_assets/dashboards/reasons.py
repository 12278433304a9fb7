"""Reasons of a score in words.

Belongs here: how the reasons of a score are said. Does not belong here: how they are found
(`churn`).
"""

from collections.abc import Mapping
from typing import Any

from analytics_assets.dashboards.labels import label_of

NUMBERS = (1, 2, 3)


def reasons_of(scored: Mapping[str, Any]) -> list[str]:
    """The reasons of a score, the strongest first; a push is in log-odds."""
    return [
        f"{label_of(scored[f'reason_{n}'])} "
        f"{'raises' if scored[f'push_{n}'] > 0 else 'lowers'} the risk ({scored[f'push_{n}']:+.2f})"
        for n in NUMBERS
        if scored[f"reason_{n}"]
    ]


def with_reasons(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their reasons in one column."""
    return [{**record, "reasons": "; ".join(reasons_of(record))} for record in records]
