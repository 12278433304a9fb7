"""Live numbers for readers: windows that are whole, and how old they are.

Belongs here: how far the stream is, as it notes it in Redis, and reading the windows that it will
not change any more. Does not belong here: writing windows, or looking at those that still change
(`live`).

A window is whole once the watermark of its query has passed its end. Only those are given: a reader
never sees one that a batch has half written. A Redis that was lost has only a part of the windows
of that time; the mark says from where on they are all there.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from analytics_assets.streaming.layout import ACTIVITY, DELAY, LENGTHS, PURCHASES, STEPS
from analytics_assets.streaming.live import PREFIX

SILENT = timedelta(seconds=60)  # a stream that runs notes it every second
BEHIND = timedelta(minutes=30)  # whole windows are ten minutes old at the least
SHOWN = timedelta(hours=1)  # of activity
FRESH_SECONDS = 5.0  # an answer is kept so long: it reads the names of all keys
SCANNED = 10_000  # keys at once
TIMEOUT_SECONDS = 2.0
MARGIN = timedelta(minutes=1)  # a window that is about to go away is not read any more
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_STREAM = (
    "There is no stream: ANALYTICS_REDIS_URL is not set. Set it for the stream and here, and "
    "start `analytics-assets stream`."
)
NOTHING_YET = (
    "Redis has no live numbers yet: no stream has written there since Redis was last empty. Start "
    "`analytics-assets stream` with ANALYTICS_REDIS_URL; a stream that runs needs two batches."
)


class LiveAwayError(RuntimeError):
    """Redis does not answer; the message says what to do."""


@dataclass
class Mark:
    """How far a query is, for readers.

    Attributes:
        url: address of Redis.
        kind: purchases or activity.
        keep_seconds: how long a window stays after its end.
        is_new: whether the query has had no batch yet: then Redis gets all of its windows.
    """

    url: str
    kind: str
    keep_seconds: int
    is_new: bool
    _client: Any = field(default=None, init=False)
    _lost_at: int | None = field(default=None, init=False)

    def note(self, batch: int, watermark: datetime) -> None:
        """Note that the query lives, and how far it is; Redis may be away.

        Args:
            batch: its last batch; -1 if there was none.
            watermark: of that batch: windows that end before it do not change any more.
        """
        import redis

        # The query says itself that Redis is away.
        with suppress(redis.RedisError):
            self._client = self._client or _client(self.url)
            key = f"{PREFIX}:stream:{self.kind}"
            whole_from = self._client.hget(key, "whole_from")
            if whole_from is None:
                start = self._whole_from(batch, watermark)
                if start is None:
                    return
                whole_from = _text(start)
            self._lost_at, self.is_new = None, False
            values = {"whole_from": whole_from, "keep_seconds": str(self.keep_seconds)}
            values["seen_at"] = _text(datetime.now(UTC))
            if watermark > EPOCH:  # before the first batch, what was whole stays so
                values["complete_to"] = _text(watermark)
            self._client.hset(key, mapping=values)

    def _whole_from(self, batch: int, watermark: datetime) -> datetime | None:
        """From where on a Redis without a mark has all windows; None while that is not known.

        The batch after the last one may have written to the Redis that is lost. The watermark of
        the one after that knows all events before it, and what comes later is written here.
        """
        if self.is_new and batch < 0:
            return EPOCH
        if self._lost_at is None:
            self._lost_at = batch
        if batch < self._lost_at + 2:
            return None
        return watermark + DELAY + timedelta(microseconds=1)


@dataclass(frozen=True)
class Live:
    """What is known now.

    Attributes:
        status: none (no stream is set up), waiting (it has written nothing), late or running.
        detail: the same as a sentence; what to do where there is something to do.
        seen_at: when the stream was last seen at work.
        activity: events by type in whole windows of five minutes, the newest first.
        activity_from: start of the oldest of these windows; one without events has no rows.
        activity_to: up to when activity is whole.
        purchases: the newest whole hour: how many, of how many customers, for how much money.
        purchases_to: up to when purchases are whole.
    """

    status: str
    detail: str
    seen_at: datetime | None = None
    activity: tuple[Mapping[str, Any], ...] = ()
    activity_from: datetime | None = None
    activity_to: datetime | None = None
    purchases: Mapping[str, Any] | None = None
    purchases_to: datetime | None = None


class LiveReader:
    """Reads what is known now; several readers share an answer for some seconds.

    Args:
        url: address of Redis; None where no stream is set up.
        now: the time.
    """

    def __init__(
        self, url: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._url, self._now = url, now
        self._lock = threading.Lock()
        self._kept: tuple[float, Live] | None = None

    def read(self) -> Live:
        """What is known now.

        Raises:
            LiveAwayError: Redis does not answer.
        """
        if self._url is None:
            return Live("none", NO_STREAM)
        import redis

        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > FRESH_SECONDS:
                self._kept = None
                try:
                    client = _client(self._url)
                    try:
                        found = _read(client, self._now())
                    finally:
                        client.close()
                except redis.RedisError as error:
                    raise LiveAwayError(
                        "Redis does not answer, so there are no live numbers. See whether it is "
                        "up, and whether ANALYTICS_REDIS_URL and its password are right."
                    ) from error
                self._kept = (time.monotonic(), found)
            return self._kept[1]


def _read(client: Any, now: datetime) -> Live:
    marks = {kind: client.hgetall(f"{PREFIX}:stream:{kind}") for kind in LENGTHS}
    if not all("complete_to" in mark for mark in marks.values()):
        return Live("waiting", NOTHING_YET)
    seen_at = min(datetime.fromisoformat(mark["seen_at"]) for mark in marks.values())
    to = {kind: datetime.fromisoformat(mark["complete_to"]) for kind, mark in marks.items()}
    starts = [*_whole(ACTIVITY, marks[ACTIVITY], now)]
    status, detail = _status(now, seen_at, min(to.values()))
    return Live(
        status,
        detail,
        seen_at,
        tuple(_activity(client, starts)),
        starts[-1] if starts else None,
        to[ACTIVITY],
        _purchases(client, next(_whole(PURCHASES, marks[PURCHASES], now), None)),
        to[PURCHASES],
    )


def _status(now: datetime, seen_at: datetime, complete_to: datetime) -> tuple[str, str]:
    if now - seen_at > SILENT:
        return "late", (
            f"The stream was last seen at {_text(seen_at)}: it has stopped, or cannot reach Redis. "
            "Start `analytics-assets stream`; what it prints says why it ended."
        )
    if now - complete_to > BEHIND:
        return "late", (
            f"The stream runs, and is only at {_text(complete_to)}: it catches up, or no events "
            "arrive. See whether the producers and the broker are up."
        )
    return "running", f"Whole up to {_text(complete_to)}; later events are still counted."


def _whole(kind: str, mark: Mapping[str, str], now: datetime) -> Iterator[datetime]:
    """Starts of the windows that are whole and still there, the newest first."""
    length, step = LENGTHS[kind], STEPS[kind]
    complete_to = datetime.fromisoformat(mark["complete_to"])
    whole_from = datetime.fromisoformat(mark["whole_from"])
    kept = timedelta(seconds=int(mark["keep_seconds"])) - MARGIN
    end = EPOCH + (complete_to - EPOCH) // step * step
    oldest = max(now - kept, complete_to - SHOWN if kind == ACTIVITY else EPOCH + length)
    while end > oldest and end - length >= whole_from:
        yield end - length
        end -= step


def _activity(client: Any, starts: list[datetime]) -> Iterator[Mapping[str, Any]]:
    whole = {_text(start) for start in starts}
    if not whole:
        return
    keys = client.scan_iter(f"{PREFIX}:{ACTIVITY}:*", count=SCANNED)
    found = _values(client, [key for key in keys if key[-len("2024-01-01T00:00:00Z") :] in whole])
    shown = ("window_start", "window_end", "event_type", "events", "visitors", "sessions")
    for row in sorted(found, key=lambda row: (row["window_start"], row["event_type"]))[::-1]:
        yield {name: row[name] for name in shown}


def _purchases(client: Any, start: datetime | None) -> Mapping[str, Any] | None:
    """All purchases of the newest hour; None where no whole hour is there any more."""
    if start is None:
        return None
    keys = list(client.scan_iter(f"{PREFIX}:{PURCHASES}:*:{_text(start)}", count=SCANNED))
    found = _values(client, keys)
    return {
        "window_start": _text(start),
        "window_end": _text(start + LENGTHS[PURCHASES]),
        "purchases": sum(row["purchases"] for row in found),
        "customers": len(found),
        "total": str(sum((Decimal(row["total"]) for row in found), Decimal("0.0000"))),
    }


def _values(client: Any, keys: list[str]) -> list[Mapping[str, Any]]:
    once = [*dict.fromkeys(keys)]  # Redis may name a key twice
    found: list[Mapping[str, Any]] = []
    for first in range(0, len(once), SCANNED):
        pipeline = client.pipeline(transaction=False)
        for key in once[first : first + SCANNED]:
            pipeline.hget(key, "values")
        found += [json.loads(text) for text in pipeline.execute() if text]
    return found


def _client(url: str) -> Any:
    import redis

    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
    )


def _text(at: datetime) -> str:
    shown = at.astimezone(UTC).isoformat(timespec="microseconds" if at.microsecond else "seconds")
    return shown.replace("+00:00", "Z")
