"""Live numbers in a real Redis."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from pyspark.sql import Row

from analytics_assets.streaming.application import StreamOptions, run_stream
from analytics_assets.streaming.live import LiveNumbers, read_live
from analytics_assets.streaming.live_now import LiveReader

from .messages import START, TEN_YEARS, event, write

pytestmark = pytest.mark.slow


@pytest.fixture
def live(redis_url: str) -> LiveNumbers:
    redis.Redis.from_url(redis_url).flushall()
    return LiveNumbers(redis_url, "purchases", "customer_id", "purchases", keep_seconds=3600)


def window(start: datetime, last: datetime, purchases: int) -> Row:
    return Row(
        customer_id="C1",
        window_start=start,
        window_end=start + timedelta(hours=1),
        purchases=purchases,
        total=Decimal("10.5000"),
        last_event_at=last,
    )


def now() -> datetime:
    return datetime.now().astimezone().replace(minute=0, second=0, microsecond=0)


def test_an_older_state_does_not_replace_a_newer_one(live: LiveNumbers) -> None:
    start = now()
    newer = window(start, start + timedelta(minutes=20), 3)
    live.write([newer])
    live.write([window(start, start + timedelta(minutes=10), 2)])
    live.write([window(start, start + timedelta(minutes=20), 2)])
    (row,) = read_live(live.url, "purchases")
    assert (row["purchases"], row["total"]) == (3, "10.5000")
    live.write([window(start, start + timedelta(minutes=20), 4)])  # one that came out of order
    (row,) = read_live(live.url, "purchases")
    assert row["purchases"] == 4


def test_a_key_goes_away_after_the_end_of_its_window(live: LiveNumbers) -> None:
    start = now()
    live.write([window(start, start, 1), window(start - timedelta(days=1), start, 1)])
    client = redis.Redis.from_url(live.url)
    (key,) = client.scan_iter("*")  # yesterday's is gone already
    until = client.pexpiretime(key) / 1000
    assert until == (start + timedelta(hours=2)).timestamp()


def test_windows_of_the_stream_are_there_and_a_replay_changes_nothing(
    options: StreamOptions, spark: Any, live: LiveNumbers, redis_url: str
) -> None:
    bought = {"event_type": "purchase", "order_total": 10}
    later = event(3, 75, customer_id="C2", **bought)
    write(Path(options.messages.folder), 0, [event(1, 1, **bought), event(2, 5, **bought), later])  # type: ignore[attr-defined]
    streamed = replace(
        options,
        redis_url=redis_url,
        live_seconds=TEN_YEARS,
        queries=("lake", "purchases", "activity"),
    )
    run_stream(spark, streamed)
    rows = [*read_live(redis_url, "purchases"), *read_live(redis_url, "activity")]
    assert {
        (row["window_start"], row.get("purchases"))
        for row in rows
        if row.get("customer_id") == "C1"
    } == {
        (f"{START + timedelta(minutes=after):%Y-%m-%dT%H:%M:%SZ}", 2)
        for after in (-45, -30, -15, 0)
    }
    # Readers get the hour that does not change any more.
    known = LiveReader(redis_url).read()
    assert known.status == "late"  # 2024 is long ago
    assert known.purchases_to == START + timedelta(minutes=65)
    assert known.purchases == {
        "window_start": "2024-03-01T08:00:00Z",
        "window_end": "2024-03-01T09:00:00Z",
        "purchases": 2,
        "customers": 1,
        "total": "20.0000",
    }
    # The newest batch comes again, as after a crash before its commit.
    commits = Path(streamed.lake.checkpoint("purchases"), "commits")
    newest = max((f for f in commits.iterdir() if f.name.isdigit()), key=lambda f: int(f.name))
    newest.unlink()
    newest.with_name(f".{newest.name}.crc").unlink(missing_ok=True)
    run_stream(spark, streamed)
    assert newest.exists(), "the batch did not come again"
    again = [*read_live(redis_url, "purchases"), *read_live(redis_url, "activity")]
    assert sorted(map(str, again)) == sorted(map(str, rows))
