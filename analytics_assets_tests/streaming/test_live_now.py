"""Live numbers as readers get them, from a real Redis: whole windows only, and their age."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from analytics_assets.streaming.layout import ACTIVITY
from analytics_assets.streaming.live_now import LiveAwayError, LiveReader, Mark

from .conftest import RedisServer
from .live_rows import KEEP_SECONDS, bought, marks, note, quarter, write_live

pytestmark = pytest.mark.slow
MINUTE = timedelta(minutes=1)


@pytest.fixture
def url(redis_url: str) -> str:
    redis.Redis.from_url(redis_url).flushall()
    return redis_url


def in_a(while_: timedelta, url: str) -> LiveReader:
    return LiveReader(url, lambda: datetime.now(UTC) + while_)


def test_without_a_stream_that_is_said(url: str) -> None:
    assert LiveReader(None).read().status == "none"
    empty = LiveReader(url).read()
    assert (empty.status, empty.purchases, empty.activity) == ("waiting", None, ())
    marks(url)  # it has started, and no batch has ended
    assert LiveReader(url).read().status == "waiting"


def test_windows_that_still_change_are_left_out(url: str) -> None:
    end = write_live(url)
    found = LiveReader(url).read()
    assert found.status == "running"
    assert found.purchases == {
        "window_start": f"{end - 60 * MINUTE:%Y-%m-%dT%H:%M:%SZ}",
        "window_end": f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "purchases": 3,
        "customers": 2,
        "total": "30.7500",
    }
    rows = [(row["event_type"], row["events"]) for row in found.activity]
    assert rows == [("page_view", 4), ("purchase", 3)]
    assert found.activity_from == end - 60 * MINUTE
    assert found.activity_to == found.purchases_to == end + MINUTE


@pytest.mark.parametrize(("after", "is_there"), [(10 * MINUTE, True), (timedelta(days=2), False)])
def test_a_stream_that_is_silent_is_late_and_old_windows_are_not_zero(
    after: timedelta, is_there: bool, url: str
) -> None:
    end = write_live(url)
    found = in_a(after, url).read()
    assert found.status == "late"
    assert "last seen" in found.detail
    assert (found.purchases is not None, bool(found.activity)) == (is_there, is_there)
    assert found.purchases_to == end + MINUTE


def test_a_stream_that_is_behind_is_late(url: str) -> None:
    behind = quarter(datetime.now(UTC)) - 45 * MINUTE
    note(marks(url), 0, behind)
    found = LiveReader(url).read()
    assert found.status == "late"
    assert "catches up" in found.detail
    # The hour is whole, and nobody bought anything in it.
    assert found.purchases
    assert (found.purchases["purchases"], found.purchases["total"]) == (0, "0.0000")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_redis_that_was_lost_gives_no_part_of_a_window(server: RedisServer) -> None:
    end = write_live(server.url)
    found = LiveReader(server.url)
    assert found.read().purchases
    running = marks(server.url, is_new=False)
    server.stop()
    note(running, 5, end)  # no error: the query itself says that Redis is away
    with pytest.raises(LiveAwayError, match="See whether it is up"):
        LiveReader(server.url).read()
    server.start()
    note(running, 5, end)
    bought(server.url, end, "C1", 1, "10.5000")  # C:2 does not change any more
    note(running, 6, end + MINUTE)
    assert LiveReader(server.url).read().status == "waiting"
    note(running, 7, end + MINUTE)
    known = LiveReader(server.url).read()
    assert (known.status, known.purchases, known.activity) == ("running", None, ())
    # Whole again: what begins after all that the lost Redis may have had.
    after = end + 90 * MINUTE
    bought(server.url, after, "C1", 4, "1.0000")
    note(running, 8, after)
    later = in_a(95 * MINUTE, server.url).read()
    assert later.purchases
    assert (later.purchases["purchases"], later.purchases["window_start"]) == (
        4,
        f"{end + 30 * MINUTE:%Y-%m-%dT%H:%M:%SZ}",
    )


def test_a_stream_that_starts_again_keeps_what_was_whole(url: str) -> None:
    end = write_live(url)
    marks(url, is_new=False)
    found = LiveReader(url).read()
    assert found.purchases
    assert found.purchases_to == end + MINUTE


def test_an_answer_is_kept_for_some_seconds(url: str) -> None:
    write_live(url)
    reader = LiveReader(url)
    first = reader.read()
    redis.Redis.from_url(url).flushall()
    assert reader.read() is first


def test_a_mark_of_one_query_alone_is_not_enough(url: str) -> None:
    mark = Mark(url, ACTIVITY, KEEP_SECONDS, is_new=True)
    mark.note(-1, datetime.now(UTC))
    assert LiveReader(url).read().status == "waiting"
