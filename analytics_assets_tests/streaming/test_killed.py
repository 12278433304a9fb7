"""SIGKILL at chosen moments: afterwards all is as in a run that was not disturbed.

`benchmarks/stream_kills.py` does the same at random moments, with a broker.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.streaming.accounts import stored_records, totals
from analytics_assets.streaming.application import StreamOptions, run_stream
from analytics_assets.streaming.layout import DEAD_LETTERS, EVENTS, QUERIES, Lake
from analytics_assets.streaming.live import BY, PREFIX
from analytics_assets.streaming.sample import Faults, sample_events, write_files
from analytics_assets.streaming.stored import rows_of

from .killed import LATER, MOMENTS, stream_of_files
from .messages import START

pytestmark = pytest.mark.slow
FAULTS = Faults(duplicates=0.05, broken=0.02, late=0.02)


def commits(lake: Lake, query: str) -> list[Path]:
    folder = Path(lake.checkpoint(query), "commits")
    found = [file for file in folder.glob("*") if file.name.isdigit()]
    return sorted(found, key=lambda file: int(file.name))


def batches(lake: Lake, table: str) -> list[int]:
    rows = rows_of(lake, table, f"SELECT DISTINCT batch_id FROM {table}")
    return sorted(row["batch_id"] for row in rows or ())


def client_of(stream: StreamOptions, **options: Any) -> Any:
    import redis  # of the extra streaming, which the fast tests do without

    return redis.Redis.from_url(stream.redis_url or "", **options)


def left_by(stream: StreamOptions) -> dict[str, Counter[str]]:
    """Everything that a stream leaves, row for row."""
    found: dict[str, Counter[str]] = {}
    for name in (EVENTS, DEAD_LETTERS, *QUERIES[1:]):
        select = f"SELECT * FROM {name}"
        if name in BY:  # each state of a window is there; the newest counts
            select += (
                f" QUALIFY row_number() OVER (PARTITION BY {BY[name]}, window_start "
                "ORDER BY batch_id DESC) = 1"
            )
        # What follows the lake has batches of its own: it takes what is there when it looks.
        leave = () if name in (EVENTS, DEAD_LETTERS) else ("batch_id",)
        found[name] = Counter(
            str([(key, value) for key, value in row.items() if key not in leave])
            for row in rows_of(stream.lake, name, select) or ()
        )
    found["accounts"] = Counter(
        str((record.batch, record.watermark, record.next_watermark, record.parts))
        for record in stored_records(stream.lake)
    )
    client = client_of(stream, decode_responses=True)
    found["live numbers"] = Counter()
    for key in client.scan_iter("*"):
        if key.startswith(f"{PREFIX}:stream:"):
            continue  # how far the queries are, and when they were seen
        state: Any = client.hgetall(key)
        values = {k: v for k, v in json.loads(state.pop("values")).items() if k != "batch_id"}
        found["live numbers"][str((key, state, values, client.pexpiretime(key)))] += 1
    client.close()
    return found


def test_killed_at_each_moment_it_leaves_what_an_undisturbed_run_does(
    tmp_path: Path, spark: Any, jars: Path, redis_url: str
) -> None:
    calm, disturbed = (
        stream_of_files(tmp_path / name, redis_url.replace("/0", f"/{number}"))
        for number, name in ((1, "calm"), (2, "disturbed"))
    )
    messages = sample_events(2_500, START.replace(hour=22), 4 * 3600, 60, seed=9, faults=FAULTS)
    write_files(tmp_path / "calm" / "in", messages, 650)
    shutil.copytree(tmp_path / "calm" / "in", tmp_path / "disturbed" / "in")
    for stream in (calm, disturbed):
        client_of(stream).flushdb()

    lake = disturbed.lake
    for moment in MOMENTS:
        command = [sys.executable, "-m", "analytics_assets_tests.streaming.killed", moment]
        done = subprocess.run(
            [*command, str(tmp_path / "disturbed"), disturbed.redis_url or "", str(jars)],
            capture_output=True,
            text=True,
            start_new_session=True,
        )
        assert done.returncode == -signal.SIGKILL, f"{moment}: {done.stderr[-2000:]}"
        has = batches(lake, DEAD_LETTERS), batches(lake, EVENTS), len(commits(lake, "lake"))
        if moment == "before the sink":
            assert has == ([0], [0], LATER)
        elif moment == "between two sinks":
            assert has == ([0, LATER], [0], LATER)
        elif moment == "between sink and commit":
            assert has == ([0, LATER], [0, LATER], LATER)
        else:
            assert not batches(lake, "purchases")
            assert client_of(disturbed).dbsize()
    run_stream(spark, disturbed)
    for query in QUERIES:
        newest = commits(lake, query)[-1]
        newest.unlink()
        newest.with_name(f".{newest.name}.crc").unlink(missing_ok=True)
    run_stream(spark, disturbed)

    run_stream(spark, calm)
    ours, wanted = left_by(disturbed), left_by(calm)
    for name, rows in wanted.items():
        assert rows, f"{name}: there is nothing to compare"
        assert (ours[name] - rows, rows - ours[name]) == (Counter(), Counter()), name
    account = totals(stored_records(lake))
    assert all(
        part.read == part.accepted + part.rejected + part.duplicates + part.late for part in account
    )
    for name in ("accepted", "rejected", "duplicates", "late"):
        assert sum(getattr(part, name) for part in account), f"the sample has no {name}"
