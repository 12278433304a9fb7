"""The sample's planted rows: each is found by the check that should find it, and no clean row."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from analytics_assets.checks.base import Finding
from analytics_assets.checks.registry import all_checks, evaluate
from analytics_assets.partitions import Window, daily_partitions
from analytics_assets.warehouse.session import Session
from analytics_assets_tests.conftest import CHECKED_OF_SAMPLE, Project

pytestmark = pytest.mark.slow

# The check that should find each kind of `sample_dirt`.
FINDS = {
    "exact_duplicate": "raw_orders.no_row_twice",
    "same_key_new_content": "raw_orders.no_line_with_two_contents",
    "orphan_customer": "fact_orders.customer_is_in_its_source",
    "orphan_product": "fact_orders.product_is_in_its_source",
    "missing_customer": "fact_orders.customer_is_known",
    "missing_amount": "fact_orders.amount_present",
    "amount_mismatch": "fact_orders.amount_is_quantity_times_price",
    "zero_price": "fact_orders.price_is_not_zero",
    "negative_price": "fact_orders.price_is_not_negative",
    "zero_quantity": "fact_orders.quantity_is_not_zero",
    "unreadable_quantity": "rejected_rows.no_rejected_orders",
    "unreadable_price": "rejected_rows.no_rejected_orders",
    "unreadable_date": "rejected_rows.no_rejected_orders",
    "missing_date": "rejected_rows.no_rejected_orders",
    "outlier_quantity": "fact_orders.quantity_within_log_fences",
    "session_orphan_customer": "fact_user_sessions.customer_is_in_its_source",
    "session_unreadable_start": "rejected_rows.no_rejected_user_sessions",
}
# Rules on a scale or in groups that the sample's quantities do not suit as well: they find the
# outliers too, and may blame a few rare but clean lines.
STATISTICAL = {
    "fact_orders.quantity_within_fences",
    "fact_orders.quantity_within_fences_of_its_product",
    "fact_orders.amount_near_others_of_its_product",
}


class Found:
    """The findings over the whole sample, and the rows that their queries list."""

    def __init__(self, project: Project, session: Session) -> None:
        calendar = project.calendar
        assert calendar.end is not None
        window = Window(calendar.start, calendar.end)
        checks = all_checks(
            project.settings, project.sources, daily_partitions(calendar), CHECKED_OF_SAMPLE
        )
        found = list(evaluate(session, checks, lambda check: window))
        self.findings = {f"{f.check.asset}.{f.check.name}": f for f in found}
        self.manifest = json.loads((project.settings.sample_dir / "manifest.json").read_text())
        planted = pd.read_csv(project.settings.sample_dir / "dirty_rows.csv", dtype=str)
        self.planted = planted.fillna("")
        self._session = session

    def listed(self, name: str) -> list[dict[str, Any]]:
        return self._session.records(str(self.findings[name].query))

    def lines(self, kind: str) -> set[tuple[str, str]]:
        rows = self.planted[self.planted["kind"] == kind]
        return set(rows[["order_id", "line_number"]].itertuples(index=False, name=None))


@pytest.fixture(scope="module")
def found(built_project: Project) -> Iterator[Found]:
    with built_project.warehouse.read() as session:
        yield Found(built_project, session)


def test_every_planted_kind_has_its_check(found: Found) -> None:
    assert FINDS.keys() == found.manifest["dirty"].keys()
    assert min(found.manifest["dirty"].values()) > 0


@pytest.mark.parametrize("name", sorted(set(FINDS.values())))
def test_planted_rows_are_found_in_exactly_their_number(found: Found, name: str) -> None:
    finding = found.findings[name]
    planted = sum(found.manifest["dirty"][kind] for kind, check in FINDS.items() if check == name)
    assert not finding.passed
    assert finding.failing == planted
    assert len(found.listed(name)) == planted
    assert finding.days is not None
    assert sum(failing for _, failing in finding.days.values()) == planted
    assert 0 < len(finding.keys) <= 5
    assert finding.check.remedy


@pytest.mark.parametrize(
    "kind", [kind for kind, check in FINDS.items() if check.startswith("fact_orders")]
)
def test_the_query_lists_the_planted_lines_and_no_clean_one(found: Found, kind: str) -> None:
    listed = {(row["order_id"], str(row["line_number"])) for row in found.listed(FINDS[kind])}
    assert listed == found.lines(kind)


@pytest.mark.parametrize("kind", ["exact_duplicate", "same_key_new_content"])
def test_the_raw_rows_listed_are_those_of_the_planted_lines(found: Found, kind: str) -> None:
    listed = found.listed(FINDS[kind])
    raw = found._session.rows(
        "SELECT source_file, source_row, order_id, line_number::VARCHAR FROM raw.raw_orders"
    )
    line_of = {(file, row): (order, line) for file, row, order, line in raw}
    assert {line_of[row["source_file"], row["source_row"]] for row in listed} == found.lines(kind)


@pytest.mark.parametrize("name", sorted(STATISTICAL))
def test_statistical_rules_find_the_outliers_with_few_false_alarms(found: Found, name: str) -> None:
    listed = {(row["order_id"], str(row["line_number"])) for row in found.listed(name)}
    outliers = found.lines("outlier_quantity")
    not_testable = found.findings[name].details["lines not testable"]
    assert len(outliers - listed) <= not_testable
    assert len(listed & outliers) >= 0.5 * len(outliers)
    assert len(listed - outliers) <= 0.001 * (found.findings[name].rows or 0)


def test_no_other_check_finds_anything(found: Found) -> None:
    failed = {name for name, finding in found.findings.items() if not finding.passed}
    # A planted row changes or drops the customer or status of one line, and so of its order.
    assert failed - STATISTICAL == {*FINDS.values(), "fact_orders.order_agrees_with_itself"}


def test_every_family_looked_at_something(found: Found) -> None:
    by_family: dict[str, list[Finding]] = {}
    for finding in found.findings.values():
        by_family.setdefault(finding.check.family, []).append(finding)
    for family, findings in by_family.items():
        assert any(finding.rows or finding.figure is not None for finding in findings), family
