"""Events of a stream through the graph: facts, sessions, ledgers, and the stream compared."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable

from analytics_assets.automation.jobs import CHECK_TABLES
from analytics_assets.partitions import Window
from analytics_assets_tests.conftest import (
    make_settings,
    open_project,
    share_manifest,
)
from analytics_assets_tests.sources.conftest import csv_of
from analytics_assets_tests.streaming.small_lake import SmallLake, seen
from analytics_assets_tests.streaming.streamed import Streamed

pytestmark = pytest.mark.slow

FIRST, SECOND, THIRD = date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 3)
DAYS = Window(FIRST, date(2024, 3, 4))
WORDS = ("sessions", "purchases", "activity")


@dataclass(kw_only=True)
class OfSmallLake(Streamed):
    """A project whose events are those of a small lake."""

    lake: SmallLake


def visits(lake: SmallLake, hours: float, until: float, seed: int) -> None:
    """Batches of random visits, some of them purchases, in order."""
    rng, number = random.Random(seed), 0
    while hours < until:
        events = []
        for _ in range(40):
            hours += rng.expovariate(60)
            visitor = rng.randrange(25)
            kind = rng.choice(("page_view", "page_view", "click", "purchase"))
            fields: dict[str, Any] = {"event_type": kind, "page_url": f"/{rng.randrange(5)}"}
            if kind == "purchase":
                fields |= {
                    "order_total": Decimal(rng.randrange(1, 99_999)) / 100,
                    "product_category": rng.choice(("toys", "books", None)),
                }
            known = visitor % 4 > 0
            fields["session_id"] = f"S{visitor}"
            customer = f"C{visitor}" if known else None
            events.append(seen(f"{seed}-{number}", hours, customer, **fields))
            number += 1
        lake.batch(*events, rejected=rng.random() < 0.1, duplicates=rng.randrange(3))


@pytest.fixture(scope="module")
def streamed(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfSmallLake]:
    folder = tmp_path_factory.mktemp("streamed")
    lake = SmallLake(folder / "lake")
    visits(lake, 1, 49.5, seed=1)  # two days, and a little of the third
    lake.say()
    (folder / "orders.csv").write_text(
        csv_of(*({"order_id": f"O{n}", "ordered_at": f"2024-03-0{n} 10:00:00"} for n in (1, 2, 3)))
    )
    given = {
        "calendar": {"start": FIRST, "end": DAYS.end},
        "orders": {"path": "orders.csv"},
        "events": {"format": "lake", "path": "lake"},
    }
    (folder / "sources.yaml").write_text(yaml.safe_dump(given))
    settings = make_settings(folder / "home", ANALYTICS_SOURCES=str(folder / "sources.yaml"))
    with open_project(share_manifest(manifest, settings)) as project:
        found = OfSmallLake(project, lake=lake)
        found.first = found.load(DAYS)
        assert found.first.failures == []
        yield found


def test_events_and_sessions_of_closed_days_are_loaded(streamed: OfSmallLake) -> None:
    query = streamed.project.query
    of_days = [e for e in streamed.lake.in_time if e["event_time"].date() < THIRD]
    assert query("SELECT count(*) FROM core.fact_events") == [(len(of_days),)]
    assert query("SELECT DISTINCT event_date FROM core.fact_events ORDER BY 1") == [
        (FIRST,),
        (SECOND,),
    ]
    ((sessions, customers),) = query(
        "SELECT count(*), count(DISTINCT customer_id) FROM core.fact_user_sessions"
    )
    assert sessions == query("SELECT count(*) FROM core.event_sessions")[0][0] > 100
    assert customers == len({e["customer_id"] for e in of_days})  # the unknown one among them
    assert query("SELECT count(*) FROM core.session_corrections") == [(0,)]
    read, accepted, not_due = query(
        "SELECT sum(rows_read), sum(rows_accepted), sum(rows_not_due) FROM raw.source_loads "
        "WHERE source = 'events'"
    )[0]
    assert accepted == len(of_days)
    assert read == accepted + not_due == len(streamed.lake.in_time)


def test_the_stream_says_what_the_batch_computes(streamed: OfSmallLake) -> None:
    found = streamed.comparison()
    assert {*found} == {(day, what) for day in (FIRST, SECOND) for what in WORDS}
    for stream, batch, equal, late, unsaid, differing, late_events in found.values():
        assert (stream, batch) == (equal, equal)
        assert equal > 20
        assert (late, unsaid, differing, late_events) == (0, 0, 0, 0)


def test_the_ledger_has_the_account_of_each_batch(streamed: OfSmallLake) -> None:
    query, lake = streamed.project.query, streamed.lake
    assert query(
        "SELECT count(*), sum(rows_read), sum(batch_rows) FROM quality.stream_batches"
    ) == [(lake.batches, lake.offset, len(lake.in_time))]
    assert query("SELECT count(*) FROM quality.dead_letters") == query(
        "SELECT sum(rows_rejected) FROM quality.stream_batches"
    )
    assert query("SELECT query, batch_id FROM quality.stream_queries ORDER BY 1") == [
        (name, 10) for name in sorted(WORDS)
    ]


def test_no_check_of_the_stream_fails(streamed: OfSmallLake) -> None:
    of_stream = ("stream_batches", "stream_queries", "stream_comparison", "dead_letters")
    for name in (*of_stream, "stg_events", "fact_events", "event_sessions"):
        asset = streamed.first.assets[name]
        assert asset.passed
        assert (name, asset.failed, asset.warned) == (name, 0, 0)
    job = streamed.project.definitions().resolve_job_def(CHECK_TABLES).asset_layer
    keys = {key.path[-1] for key in job.executable_asset_keys}
    assert keys == {"stream_batches", "stream_queries", "dead_letters"}  # the hour has news


def test_a_late_event_asks_for_its_day_again_and_is_counted(streamed: OfSmallLake) -> None:
    lake = streamed.lake
    assert streamed.asked_for() == []
    # It joins two sessions of a visitor, and begins one of another.
    before = streamed.project.query(
        "SELECT session_date, visitor, started_at, last_event_at FROM core.event_sessions "
        f"WHERE session_date = DATE '{FIRST}' ORDER BY visitor, started_at"
    )
    lake.batch(seen("late", 9.5, "CX"), seen("x", 49.6))
    assert streamed.asked_for() == []  # its hour has not closed
    lake.batch(seen("y", 50.6))
    assert streamed.asked_for() == [FIRST]

    before_second = streamed.project.query(
        f"SELECT * FROM core.fact_user_sessions WHERE session_date = DATE '{SECOND}' ORDER BY ALL"
    )
    assert streamed.load(Window(FIRST, SECOND)).failures == []
    assert streamed.asked_for() == []
    after = streamed.project.query(
        "SELECT session_date, visitor, started_at, last_event_at FROM core.event_sessions "
        f"WHERE session_date = DATE '{FIRST}' ORDER BY visitor, started_at"
    )
    assert len(after) == len(before) + 1
    assert before_second == streamed.project.query(
        f"SELECT * FROM core.fact_user_sessions WHERE session_date = DATE '{SECOND}' ORDER BY ALL"
    )
    for what in WORDS:
        *_, late, unsaid, differing, late_events = streamed.comparison()[FIRST, what]
        assert (unsaid, differing, late_events) == (0, 0, 1)
        assert late == (0 if what == "purchases" else 1)
    # Features of the next day did not know it.
    assert streamed.project.query(
        "SELECT known_from, known_to, weight, customer_id FROM core.session_corrections"
    ) == [(SECOND, date(2024, 3, 4), -1, "CX")]


def test_a_row_that_the_stream_says_wrong_is_found(streamed: OfSmallLake) -> None:
    table = DeltaTable(streamed.lake.table("sessions"))
    (one,) = streamed.project.query(
        f"SELECT min(session_id) FROM core.event_sessions WHERE session_date = DATE '{SECOND}'"
    )
    table.update(updates={"events": "events + 1"}, predicate=f"session_key = '{one[0]}'")
    outcome = streamed.load(Window(SECOND, THIRD))
    assert outcome.failures == []
    assert outcome.assets["stream_comparison"].warned == 1
    stream, batch, equal, _, _, differing, _ = streamed.comparison()[SECOND, "sessions"]
    assert (stream, equal, differing) == (batch, batch - 1, 1)
