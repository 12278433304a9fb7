"""Each check of the stream fails for the fault that it is there to see, and for no other."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from dagster import AssetCheckSeverity

from analytics_assets.checks.registry import evaluate
from analytics_assets.checks.stream import checks
from analytics_assets.partitions import Calendar
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.session import Session
from analytics_assets_tests.rows import insert

START = datetime(2024, 3, 1, 8)  # noqa: DTZ001 (naive UTC)
BLOCKING = {"read_is_accounted_for", "the_lake_has_what_was_accepted"}


OPEN = Calendar(date(2024, 1, 1))


def configured(calendar: Calendar = OPEN, form: str = "lake") -> SourcesConfig:
    return SourcesConfig(calendar, {"events": SourceConfig("events", "/lake", format=form)})


def batches() -> list[dict[str, Any]]:
    """Ten batches of two partitions, one a minute, of 100 messages each."""
    return [
        {
            "query": "q",
            "batch_id": number,
            "topic": "t",
            "topic_partition": partition,
            "first_offset": number * 100,
            "last_offset": number * 100 + 99,
            "rows_read": 100,
            "rows_accepted": 97,
            "rows_rejected": 0,
            "rows_duplicate": 2,
            "rows_late": 1,
            "batch_rows": 196,
            "watermark": START + timedelta(minutes=number - 1),
            "next_watermark": START + timedelta(minutes=number),
            "committed_at": START + timedelta(minutes=number + 11),
            "lake_id": "l",
            "lake_version": number,
        }
        for number in range(10)
        for partition in (0, 1)
    ]


def queries() -> list[dict[str, Any]]:
    return [
        {
            "query": name,
            "batch_id": 9,
            "watermark": START + timedelta(minutes=8),
            "state_rows": 1000,
            "state_bytes": 1,
            "read_at": START + timedelta(minutes=30),
        }
        for name in ("sessions", "purchases", "activity")
    ]


def failing(session: Session, sources: SourcesConfig | None = None) -> dict[str, Any]:
    found = evaluate(session, [*checks(sources or configured())], lambda check: None)
    results = {one.check.name: one.result("block") for one in found}
    return {name: result for name, result in results.items() if not result.passed}


ONE, ALL = slice(5, 6), slice(None)
# Of which table, which rows, and what is wrong with them.
FAULTS: dict[str, tuple[str, slice, dict[str, Any]]] = {
    "read_is_accounted_for": ("batches", ONE, {"rows_duplicate": 1}),
    "the_lake_has_what_was_accepted": ("batches", ONE, {"batch_rows": 197}),
    "offsets_have_no_gap": ("batches", ONE, {"first_offset": 250, "last_offset": 349}),
    "dead_letters_are_few": ("batches", ALL, {"rows_rejected": 2, "rows_duplicate": 0}),
    "late_events_are_few": ("batches", ALL, {"rows_late": 7, "rows_accepted": 91}),
    "lag_is_small": ("batches", ALL, {"committed_at": START + timedelta(minutes=45)}),
    "watermark_is_recent": ("queries", ALL, {"read_at": START + timedelta(hours=2)}),
    "queries_keep_up": ("queries", slice(1), {"watermark": START - timedelta(minutes=55)}),
    "state_is_bounded": ("queries", slice(1), {"state_rows": 5_000_000}),
    "stream_says_what_the_batch_computes": ("comparison", ALL, {"differing_rows": 1}),
}


@pytest.mark.parametrize("name", [None, *FAULTS])
def test_a_fault_fails_its_check(warehouse: Warehouse, name: str | None) -> None:
    comparison = {"what": "sessions", "differing_rows": 0, "late_rows": 4, "unsaid_rows": 5}
    rows = {"batches": batches(), "queries": queries(), "comparison": [comparison]}
    if name:
        table, which, wrong = FAULTS[name]
        for row in rows[table][which]:
            row.update(wrong)
    with warehouse.write() as session:
        for table, some in rows.items():
            insert(session.connection, f"stream_{table}", *some)
    with warehouse.read() as session:
        found = failing(session)
    assert {*found} == ({name} if name else set())
    if name:
        severe = AssetCheckSeverity.ERROR if name in BLOCKING else AssetCheckSeverity.WARN
        assert found[name].severity == severe
        assert found[name].metadata["remedy"]


def test_only_the_account_blocks() -> None:
    blocking = {check.name for check in checks(configured()) if check.spec("block").blocking}
    assert blocking == BLOCKING


def test_of_data_that_have_ended_no_age_is_looked_at() -> None:
    ended = configured(Calendar(date(2024, 1, 1), date(2024, 2, 1)))
    gone = {check.name for check in checks(configured())} - {c.name for c in checks(ended)}
    assert gone == {"lag_is_small", "watermark_is_recent"}


def test_events_of_files_have_no_checks_of_a_stream() -> None:
    assert [*checks(configured(form="jsonl"))] == []


def test_a_stream_that_has_just_begun_has_nothing_to_see(warehouse: Warehouse) -> None:
    with warehouse.write() as session:
        for table in ("stream_batches", "stream_queries", "stream_comparison"):
            insert(session.connection, table)
    with warehouse.read() as session:
        assert failing(session) == {}
