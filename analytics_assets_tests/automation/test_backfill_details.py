"""What a terminal shows of a failed check, besides its finding."""

from datetime import date

from analytics_assets.automation.backfill import _evidence
from analytics_assets.checks.base import Check, Finding


def test_a_failed_check_says_what_to_do_which_rows_and_how_to_list_them() -> None:
    check = Check("uniqueness", "fact_orders", "key_is_unique", "Unique.", "uniqueness", "Reload.")
    finding = Finding(
        check,
        passed=False,
        description="2 of 9 rows (22.22%)",
        keys=[{"order_id": "O1", "day": date(2024, 1, 5)}, {"order_id": "O2", "day": None}],
        query="SELECT *\nFROM core.fact_orders",
    )
    lines = _evidence("fact_orders.key_is_unique", finding.result("block").metadata)
    assert lines == [
        "fact_orders.key_is_unique:",
        "  what to do: Reload.",
        "  keys of a few rows: order_id O1, day 2024-01-05; order_id O2, day None",
        "  all rows: SELECT *\n    FROM core.fact_orders",
    ]


def test_a_failure_without_evidence_adds_nothing() -> None:
    assert _evidence("fact_orders.other", {}) == []
