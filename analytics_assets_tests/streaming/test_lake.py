"""Every message once: in the lake, among the dead letters, or counted as a copy."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.streaming.accounts import stored_records, totals
from analytics_assets.streaming.application import StreamOptions
from analytics_assets.streaming.sample import sample_events, write_files

from .messages import START, event, expected, write

pytestmark = pytest.mark.slow
Run = Callable[[StreamOptions], None]
Rows = Callable[[StreamOptions, str], list[Any]]


@pytest.fixture
def lake_only(options: StreamOptions) -> StreamOptions:
    return replace(options, queries=("lake",))


def folder_of(options: StreamOptions) -> Path:
    return Path(options.messages.folder)  # type: ignore[attr-defined]


def commits(options: StreamOptions) -> list[Path]:
    found = Path(options.lake.checkpoint("lake"), "commits").iterdir()
    return sorted((file for file in found if file.name.isdigit()), key=lambda f: int(f.name))


def contents(rows: list[Any]) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in rows)


def test_an_independent_reader_finds_the_same(
    lake_only: StreamOptions, run: Run, table: Rows
) -> None:
    folder = folder_of(lake_only)
    write_files(folder, sample_events(3_000, START, 7200, 200, seed=5), 700)
    run(lake_only)
    wanted = expected(sorted(folder.iterdir()))
    rows = {row.event_id: row for row in table(lake_only, "events")}
    assert rows.keys() == wanted.events.keys()
    assert {name for name, row in rows.items() if row.is_late} == wanted.late
    assert wanted.late
    assert wanted.duplicates
    assert sorted(bytes(row.value) for row in table(lake_only, "dead_letters")) == sorted(
        wanted.rejected
    )
    for name, row in rows.items():
        read = wanted.events[name]
        assert row.event_time.timestamp() == read["at"].timestamp()
        assert row.customer_id == read.get("customer_id")
        if "order_total" in read:
            assert float(row.order_total) == read["order_total"]
    account = totals(stored_records(lake_only.lake))
    assert sum(part.read for part in account) == wanted.read
    assert sum(part.duplicates for part in account) == wanted.duplicates
    assert sum(part.late for part in account) == len(wanted.late)
    for part in account:
        assert part.read == part.accepted + part.rejected + part.duplicates + part.late
        assert part.last_offset - part.first_offset + 1 == part.read


def test_a_batch_that_comes_again_writes_nothing(
    lake_only: StreamOptions, run: Run, table: Rows
) -> None:
    """As Spark does after a crash between the sink and the commit."""
    folder = folder_of(lake_only)
    write(folder, 0, [event(1, 0), event(2, 1), b"{broken"])
    run(lake_only)
    before = contents(table(lake_only, "events")), contents(table(lake_only, "dead_letters"))
    newest = commits(lake_only)[-1]
    newest.unlink()
    newest.with_name(f".{newest.name}.crc").unlink(missing_ok=True)
    run(lake_only)
    assert commits(lake_only)[-1].name == newest.name, "the batch did not come again"
    after = contents(table(lake_only, "events")), contents(table(lake_only, "dead_letters"))
    assert after == before
    write(folder, 1, [event(2, 1), event(3, 2)])
    run(lake_only)
    assert sorted(row.event_id for row in table(lake_only, "events")) == ["e1", "e2", "e3"]


def test_a_lost_checkpoint_writes_nothing_twice(
    lake_only: StreamOptions, run: Run, table: Rows
) -> None:
    folder = folder_of(lake_only)
    write(folder, 0, [event(1, 0), event(2, 30), b"{broken"])
    write(folder, 1, [event(3, 60), event(4, 5)])
    run(lake_only)
    before = contents(table(lake_only, "events")), contents(table(lake_only, "dead_letters"))
    shutil.rmtree(lake_only.lake.checkpoint("lake"))
    run(lake_only)
    assert (contents(table(lake_only, "events")), contents(table(lake_only, "dead_letters"))) == (
        before
    )
    account = totals(stored_records(lake_only.lake))
    assert sum(part.duplicates for part in account) == 4


def test_a_late_event_and_its_late_copy(lake_only: StreamOptions, run: Run, table: Rows) -> None:
    folder = folder_of(lake_only)
    write(folder, 0, [event(1, 180)])
    write(folder, 1, [event(2, 0), event(3, 169.9), event(4, 170.1)])
    write(folder, 2, [event(2, 0), event(3, 169.9)])
    run(lake_only)
    rows = {row.event_id: row.is_late for row in table(lake_only, "events")}
    assert rows == {"e1": False, "e2": True, "e3": True, "e4": False}
    assert sum(part.duplicates for part in totals(stored_records(lake_only.lake))) == 2


def test_an_event_of_the_future_does_not_make_the_others_late(
    lake_only: StreamOptions, run: Run, table: Rows
) -> None:
    """The clock of one phone that is a year ahead."""
    folder = folder_of(lake_only)
    write(folder, 0, [event(1, 0), event(2, 60 * 24 * 365)])
    write(folder, 1, [event(3, 1)])
    run(lake_only)
    assert {row.event_id: row.is_late for row in table(lake_only, "events")} == {
        "e1": False,
        "e3": False,
    }
    (letter,) = table(lake_only, "dead_letters")
    assert letter.reasons == "event_time: is later than the arrival"


def test_fields_that_are_not_declared_and_newer_versions_are_kept(
    lake_only: StreamOptions, run: Run, table: Rows
) -> None:
    write(
        folder_of(lake_only),
        0,
        [
            event(1, 0, schema_version="1.7", loyalty={"level": 3}, campaign="spring"),
            event(2, 0, schema_version="2.0"),
        ],
    )
    run(lake_only)
    (row,) = table(lake_only, "events")
    assert row.event_id == "e1"
    assert row.unknown_fields == '{"loyalty":"{\\"level\\":3}","campaign":"spring"}'
    (letter,) = table(lake_only, "dead_letters")
    assert letter.reasons == "schema_version: only versions 1.x are read"


def test_a_message_that_is_no_utf8_is_kept_byte_for_byte(
    lake_only: StreamOptions, run: Run, table: Rows
) -> None:
    write(folder_of(lake_only), 0, [b"\xff\xfe\x00caf\xe9", event(1, 0, page_url="/café")])
    run(lake_only)
    (letter,) = table(lake_only, "dead_letters")
    assert (bytes(letter.value), letter.reasons) == (b"\xff\xfe\x00caf\xe9", "not UTF-8")
    (row,) = table(lake_only, "events")
    assert row.page_url == "/café"
