"""Redis gone, the disk of the lake full: the stream says so, waits, and loses nothing.

The broker that is gone is in `test_kafka`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from analytics_assets.streaming.accounts import stored_records, totals
from analytics_assets.streaming.application import StreamOptions
from analytics_assets.streaming.layout import Lake
from analytics_assets.streaming.live import newest_windows, read_live
from analytics_assets.streaming.stored import rows_of
from analytics_assets_tests.faults.small_disk import can_mount, filled, small_disk

from .conftest import RedisServer, running, until
from .messages import TEN_YEARS, event, write

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_mount(), reason="this user may not mount a small disk"),
]
BOUGHT = {"event_type": "purchase", "order_total": 10}


def large(number: int) -> list[dict[str, Any]]:
    """Events that take more than a megabyte, in Parquet too."""
    random = Random(number)
    return [
        event(1000 * number + n, 3, customer_id="C2", page_url=random.randbytes(2_000).hex())
        for n in range(600)
    ]


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(200) as folder:
        yield folder


def test_it_waits_and_loses_nothing(
    options: StreamOptions, spark: Any, disk: Path, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    folder = tmp_path / "in"
    stream = replace(
        options,
        lake=Lake(str(disk / "lake")),
        queries=("lake", "purchases"),
        redis_url=server.url,
        live_seconds=TEN_YEARS,
        trigger=0.5,
        until_read=False,
    )

    def accepted() -> int:
        return sum(part.accepted for part in totals(stored_records(stream.lake)))

    def live() -> list[int]:
        """Purchases of the customer in each window, in Redis."""
        return [row["purchases"] for row in read_live(server.url, "purchases")]

    def stored() -> list[int]:
        """The same in the lake."""
        return [row["purchases"] for row in newest_windows(stream.lake, "purchases")]

    try:
        with running(spark, stream) as said:
            write(folder, 0, [event(1, 1, **BOUGHT)])
            until(lambda: live() == [1] * 4)

            server.stop()
            write(folder, 1, [event(2, 2, **BOUGHT), b"{broken 2"])
            until(lambda: any("purchases failed" in line for line in said))
            until(lambda: accepted() == 2)  # the lake does not need Redis
            server.start()  # it has lost all; the windows that change come again
            until(lambda: live() == [2] * 4)
            until(lambda: stored() == [2] * 4)

            # No room for the plan of a batch, then none for its rows.
            for number, left in ((3, 0), (4, 300_000)):
                before = accepted()
                with filled(disk, left):
                    said.clear()
                    broken = b"{broken %d" % number
                    write(folder, number, [event(number, 3, **BOUGHT), broken, *large(number)])
                    until(lambda: any("lake failed" in line for line in said))
                    assert any("No space left on device" in line for line in said), said
                    assert accepted() == before
                until(lambda: stored() == [number] * 4)  # noqa: B023
                assert live() == [number] * 4
    finally:
        server.stop()
    wanted = {f"e{number}" for number in range(1, 5)}
    wanted |= {row["event_id"] for number in (3, 4) for row in large(number)}
    rows = rows_of(stream.lake, "events", "SELECT event_id FROM events") or []
    assert sorted(row["event_id"] for row in rows) == sorted(wanted)
    letters = rows_of(stream.lake, "dead_letters", "SELECT value FROM dead_letters ORDER BY 1")
    assert letters == [{"value": b"{broken %d" % number} for number in (2, 3, 4)]
