"""Events of the stream's lake as a source: days that are closed, late events, what is not due."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.sources.readers.lake_log import closed_hours, open_table, stored_commits
from analytics_assets_tests.sources.conftest import Source
from analytics_assets_tests.streaming.small_lake import SmallLake, seen

CALENDAR = Calendar(date(2024, 2, 29))
FIRST, SECOND = date(2024, 3, 1), date(2024, 3, 2)
DAYS = Window(FIRST, date(2024, 3, 4))


@pytest.fixture
def lake(tmp_path: Path) -> SmallLake:
    return SmallLake(tmp_path / "lake")


@pytest.fixture
def events(lake: SmallLake) -> SourceConfig:
    return SourceConfig("events", str(lake.folder), format="lake")


def ids(source: Source) -> list[str]:
    return [row[0] for row in source.rows("SELECT event_id FROM raw.raw_events ORDER BY 1")]


def ledger(source: Source) -> dict[date, tuple[int, ...]]:
    rows = source.rows(
        "SELECT window_date, rows_read, rows_accepted, rows_rejected, rows_not_due "
        "FROM raw.source_loads"
    )
    return {row[0]: row[1:] for row in rows}


@pytest.fixture(autouse=True)
def _on_disk(source: Source) -> None:
    source.warehouse.prepare()


def versions(config: SourceConfig, source: Source, window: Window = DAYS) -> dict[Any, str]:
    return source_versions(config, CALENDAR, window, source.warehouse)


def test_a_day_is_due_when_the_watermark_has_closed_its_hours(
    lake: SmallLake, events: SourceConfig, source: Source
) -> None:
    lake.batch(seen("a", 8), seen("b", 23.9))
    result = source.load(events, DAYS, CALENDAR)
    assert (ids(source), ledger(source)) == ([], {})
    assert "2 rows are not due yet" in result.warnings[0]

    lake.batch(seen("c", 24.1))  # the watermark is at 23:56
    source.load(events, DAYS, CALENDAR)
    assert ids(source) == []

    lake.batch(seen("d", 24.5))
    source.load(events, DAYS, CALENDAR)
    assert ids(source) == ["a", "b"]
    assert ledger(source) == {FIRST: (4, 2, 0, 2)}
    assert source.rows(
        "SELECT topic, topic_offset, is_late FROM raw.raw_events ORDER BY 2 LIMIT 1"
    ) == [("customer-events", 0, False)]


def test_a_day_without_an_event_is_loaded_when_it_is_closed(
    lake: SmallLake, events: SourceConfig, source: Source
) -> None:
    lake.batch(seen("a", 8))
    lake.batch(seen("b", 49))
    source.load(events, DAYS, CALENDAR)
    assert ledger(source) == {FIRST: (1, 1, 0, 0), SECOND: (1, 0, 0, 1)}


def test_a_late_event_changes_its_day_and_no_other_when_the_next_hour_closes(
    lake: SmallLake, events: SourceConfig, source: Source
) -> None:
    lake.batch(seen("a", 8))
    lake.batch(seen("b", 30))
    lake.batch(seen("c", 49.5))
    before = versions(events, source)
    assert [*before] == [FIRST, SECOND]
    source.load(events, DAYS, CALENDAR)

    lake.batch(seen("late", 9), seen("d", 49.6))
    assert versions(events, source) == before
    source.load(events, DAYS, CALENDAR)
    assert ids(source) == ["a", "b"]
    assert ledger(source)[SECOND] == (4, 1, 0, 3)

    lake.batch(seen("e", 50.5))
    after = versions(events, source)
    assert after[FIRST] != before[FIRST]
    assert after[SECOND] == before[SECOND]
    source.load(events, Window(FIRST, SECOND), CALENDAR)
    assert ids(source) == ["a", "b", "late"]
    assert source.rows("SELECT event_id FROM raw.raw_events WHERE is_late") == [("late",)]


def test_only_files_of_the_window_are_read(lake: SmallLake, events: SourceConfig) -> None:
    for hours in (8, 30, 60, 80):
        lake.batch(seen(f"e{hours}", hours))
    reader = reader_of(events)
    files = reader.files(Window(SECOND, date(2024, 3, 3)))
    assert files is not None
    assert [file.name.split("/")[2] for file in files] == ["event_date=2024-03-02"]
    assert not reader.reads_whole


def test_an_hour_that_two_days_of_the_shop_share(lake: SmallLake, source: Source) -> None:
    shop = Calendar(date(2024, 2, 29), zone="Asia/Kolkata")  # midnight is 18:30 UTC
    config = SourceConfig(
        "events", str(lake.folder), format="lake", reporting_time_zone="Asia/Kolkata"
    )
    lake.batch(seen("first", 18.4), seen("second", 18.6))
    lake.batch(seen("later", 19.1))
    source.load(config, DAYS, shop)
    assert ids(source) == []
    lake.batch(seen("more", 19.3))
    source.load(config, DAYS, shop)
    assert ids(source) == ["first"]
    assert ledger(source) == {FIRST: (4, 1, 0, 3)}
    one = source_versions(config, shop, DAYS, source.warehouse)
    lake.batch(seen("next", 43.5))
    both = source_versions(config, shop, DAYS, source.warehouse)
    assert [*both] == [FIRST, SECOND]
    assert both[FIRST] == one[FIRST]
    source.load(config, DAYS, shop)
    assert ids(source) == ["first", "later", "more", "second"]


def test_a_lake_that_begins_again_empties_the_days_that_it_has_not_closed(
    lake: SmallLake, events: SourceConfig, source: Source, tmp_path: Path
) -> None:
    lake.batch(seen("a", 8))
    lake.batch(seen("b", 49))
    source.load(events, DAYS, CALENDAR)
    again = SmallLake(tmp_path / "again", query="q2")
    again.batch(seen("a", 8))
    again.batch(seen("x", 26))
    config = SourceConfig("events", str(again.folder), format="lake", max_volume_change=None)
    source.load(config, DAYS, CALENDAR)
    assert ids(source) == ["a"]
    assert [*ledger(source)] == [FIRST]


def test_what_no_stream_has_written_is_an_error(
    lake: SmallLake, events: SourceConfig, source: Source
) -> None:
    with pytest.raises(SourceError, match="is no Delta table"):
        source.load(events, DAYS, CALENDAR)
    lake.batch(seen("a", 8))
    wrong = SourceConfig("user_sessions", str(lake.folder), format="lake")
    with pytest.raises(SourceError, match="format: delta"):
        source.load(wrong, DAYS, CALENDAR)


def test_the_log_is_read_as_far_as_it_is_needed(lake: SmallLake) -> None:
    for number in range(120):
        lake.batch(seen(f"e{number}", 8 + number / 60))
    table = open_table(lake.table("events"), "events")
    closed = closed_hours(table)
    assert closed is not None
    assert closed.end == datetime(2024, 3, 1, 9)  # noqa: DTZ001 (naive UTC)
    first = next(n for n in range(120) if 8 + n / 60 >= 9 + 1 / 6)
    assert closed.version == first
    commits = stored_commits(str(lake.folder))
    assert [commit.record.batch for commit in commits] == [*range(120)]
    assert {commit.rows for commit in commits} == {1}
    assert [c.version for c in stored_commits(str(lake.folder), after=117)] == [118, 119]
    assert commits[-1].at - datetime.now(UTC).replace(tzinfo=None) < timedelta(minutes=5)


def test_events_of_files(source: Source) -> None:
    rows = [
        {"event_id": "a", "event_type": "page_view", "event_time": "2024-03-01T08:00:00Z"},
        {"event_id": "b", "event_type": "purchase", "event_time": "2024-03-01T09:00:00+01:00"},
    ]
    source.write("events.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    config = source.config("events.jsonl", "events", format="jsonl")
    source.load(config, Window(FIRST, SECOND), CALENDAR)
    assert ids(source) == ["a", "b"]
