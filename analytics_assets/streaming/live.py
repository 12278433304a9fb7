"""Live numbers: the windows of the stream in Redis, each until it is of no use any more.

Belongs here: writing a window, and reading those that are there. Does not belong here: computing
them (`windows`).

A key is a customer (or a type of event) and a window. A state that is older than what is there
does not replace it, so a batch that comes again changes nothing. A key goes away a while after the
end of its window, not after it was written: an old window that is computed again is not fresh. Each
key is written in one step, so nobody reads half of it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from analytics_assets.streaming.layout import ACTIVITY, PURCHASES, Lake
from analytics_assets.streaming.stored import rows_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

PREFIX = "analytics"
BY = {PURCHASES: "customer_id", ACTIVITY: "event_type"}  # what a key is about
PIPELINED = 1_000  # keys that are sent at once
# KEYS: the key. ARGV: microseconds of the newest event, events, JSON, milliseconds of the end.
WRITE = """
local old = redis.call('HMGET', KEYS[1], 'at', 'count')
if old[1] then
  local at, count = tonumber(old[1]), tonumber(old[2])
  if at > tonumber(ARGV[1]) or (at == tonumber(ARGV[1]) and count >= tonumber(ARGV[2])) then
    return 0
  end
end
redis.call('HSET', KEYS[1], 'at', ARGV[1], 'count', ARGV[2], 'values', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 1
"""


@dataclass(frozen=True)
class LiveNumbers:
    """The windows of one query in Redis.

    Attributes:
        url: address of Redis.
        kind: first word of the keys, such as purchases.
        by: the column that a key is about.
        count: the column that grows with each event of a window.
        keep_seconds: how long a window stays after its end.
    """

    url: str
    kind: str
    by: str
    count: str
    keep_seconds: int

    def __call__(self, rows: "DataFrame") -> None:
        """Write the rows of a batch, from the machines that have them."""
        rows.foreachPartition(self.write)

    def write(self, rows: Iterable[Any]) -> None:
        """Write some rows; each has `window_start`, `window_end` and `last_event_at`."""
        import redis

        client = redis.Redis.from_url(self.url)
        try:
            script = client.register_script(WRITE)
            pipeline = client.pipeline(transaction=False)
            waiting = 0
            for row in rows:
                values = row.asDict()
                key = f"{PREFIX}:{self.kind}:{values[self.by]}:{_text(values['window_start'])}"
                until = _micros(values["window_end"]) // 1000 + self.keep_seconds * 1000
                script(
                    keys=[key],
                    args=[
                        _micros(values["last_event_at"]),
                        values[self.count],
                        json.dumps(values, default=_text),
                        until,
                    ],
                    client=pipeline,
                )
                waiting += 1
                if waiting == PIPELINED:
                    pipeline.execute()
                    waiting = 0
            pipeline.execute()
        finally:
            client.close()


def read_live(url: str, kind: str, of: str = "*") -> Iterator[Mapping[str, Any]]:
    """The windows that are there, the newest first.

    Args:
        url: address of Redis.
        kind: purchases or activity.
        of: a customer or a type of event; all without it.
    """
    import redis

    client = redis.Redis.from_url(url, decode_responses=True)
    try:
        keys = list(client.scan_iter(f"{PREFIX}:{kind}:{of}:*", count=PIPELINED))
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.hget(key, "values")
        found = [json.loads(text) for text in pipeline.execute() if text]
        yield from sorted(found, key=lambda row: row["window_start"], reverse=True)
    finally:
        client.close()


def newest_windows(lake: Lake, kind: str, of: str = "*") -> list[Mapping[str, Any]]:
    """The windows of the lake's table, the newest first, where there is no Redis.

    Args:
        lake: the lake.
        kind: purchases or activity.
        of: a customer or a type of event; all without it.
    """
    by = BY[kind]
    newest = (
        f"SELECT * FROM {kind} QUALIFY row_number() OVER (PARTITION BY {by}, window_start "
        "ORDER BY batch_id DESC) = 1 ORDER BY window_start DESC"
    )
    return [row for row in rows_of(lake, kind, newest) or () if of in ("*", row[by])]


def _micros(at: datetime) -> int:
    # Spark hands times over in the machine's own zone, without naming it.
    return round(at.timestamp() * 1_000_000)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    assert isinstance(value, Decimal), type(value)
    return str(value)
