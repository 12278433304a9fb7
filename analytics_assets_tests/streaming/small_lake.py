"""A lake as the stream writes it, by deltalake alone: for tests that need no Spark."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from analytics_assets.sources.readers.lake_log import Account, BatchRecord

DELAY = timedelta(minutes=10)
START = datetime(2024, 3, 1, 8, tzinfo=UTC)
TOPIC = "customer-events"
EVENT_TYPES = {
    "event_id": pa.string(),
    "event_type": pa.string(),
    "event_time": pa.timestamp("us", "UTC"),
    "customer_id": pa.string(),
    "session_id": pa.string(),
    "page_url": pa.string(),
    "user_agent": pa.string(),
    "properties": pa.string(),
    "order_total": pa.decimal128(18, 4),
    "product_category": pa.string(),
    "payment_method": pa.string(),
    "schema_version": pa.string(),
    "unknown_fields": pa.string(),
    "is_late": pa.bool_(),
    "topic": pa.string(),
    "partition": pa.int32(),
    "offset": pa.int64(),
    "received_at": pa.timestamp("us", "UTC"),
    "batch_id": pa.int64(),
    "event_date": pa.date32(),
    "event_hour": pa.int32(),
}
LETTER_TYPES = {
    "topic": pa.string(),
    "partition": pa.int32(),
    "offset": pa.int64(),
    "received_at": pa.timestamp("us", "UTC"),
    "reasons": pa.string(),
    "value": pa.binary(),
    "batch_id": pa.int64(),
    "received_date": pa.date32(),
}
SESSION_TYPES = {
    "session_key": pa.string(),
    "visitor": pa.string(),
    "customer_id": pa.string(),
    "day": pa.date32(),
    "started_at": pa.timestamp("us", "UTC"),
    "last_event_at": pa.timestamp("us", "UTC"),
    "events": pa.int64(),
    "pages": pa.int64(),
    "duration_seconds": pa.int64(),
    "purchases": pa.int64(),
    "event_types": pa.list_(pa.string()),
    "engagement": pa.int64(),
    "ended_by": pa.string(),
    "batch_id": pa.int64(),
}
PURCHASE_TYPES = {
    "customer_id": pa.string(),
    "window_start": pa.timestamp("us", "UTC"),
    "window_end": pa.timestamp("us", "UTC"),
    "purchases": pa.int64(),
    "total": pa.decimal128(28, 4),
    "mean": pa.decimal128(28, 4),
    "categories": pa.list_(pa.string()),
    "velocity": pa.decimal128(28, 4),
    "last_event_at": pa.timestamp("us", "UTC"),
    "batch_id": pa.int64(),
}
ACTIVITY_TYPES = {
    "event_type": pa.string(),
    "window_start": pa.timestamp("us", "UTC"),
    "window_end": pa.timestamp("us", "UTC"),
    "events": pa.int64(),
    "visitors": pa.int64(),
    "sessions": pa.int64(),
    "last_event_at": pa.timestamp("us", "UTC"),
    "batch_id": pa.int64(),
}
GAP = timedelta(minutes=30)


def at(hours: float) -> datetime:
    """A time some hours after midnight of the first day."""
    return START.replace(hour=0) + timedelta(hours=hours)


def seen(name: str, hours: float, customer: str | None = "C1", **fields: Any) -> dict[str, Any]:
    """An event."""
    event = {"event_id": name, "event_type": "page_view", "event_time": at(hours)}
    return {**event, "customer_id": customer, "page_url": "/", **fields}


def micros(time: datetime) -> int:
    return int(time.timestamp()) * 1_000_000 + time.microsecond


@dataclass
class SmallLake:
    """A lake in a folder, and how far its stream is.

    Attributes:
        folder: of the lake.
        query: identity of the stream's query.
        watermark: of the next batch.
        batches: how many there are.
        offset: of the next message.
        in_time: the events that were not late.
    """

    folder: Path
    query: str = "q1"
    watermark: datetime | None = None
    batches: int = 0
    offset: int = 0
    in_time: list[dict[str, Any]] = field(default_factory=list)

    def table(self, name: str) -> str:
        return str(self.folder / name)

    def batch(self, *events: dict[str, Any], rejected: int = 0, duplicates: int = 0) -> BatchRecord:
        """Write a batch of events, and of messages that became none; returns its account."""
        first, rows = self.offset, []
        newest = max((event["event_time"] for event in events), default=None)
        for event in events:
            time = event["event_time"]
            late = self.watermark is not None and time < self.watermark
            received = event.get("received_at", max(time, self.watermark or time))
            rows.append(
                {
                    "is_late": late,
                    "topic": TOPIC,
                    "partition": 0,
                    "offset": self.offset,
                    "batch_id": self.batches,
                    "event_date": time.date(),
                    "event_hour": time.hour,
                    **event,
                    "received_at": received,
                }
            )
            self.offset += 1
        self.in_time += [row for row in rows if not row["is_late"]]
        letters = [
            {
                "topic": TOPIC,
                "partition": 0,
                "offset": self.offset + number,
                "received_at": newest or self.watermark,
                "reasons": "event_id: is missing",
                "value": b'{"secret": 1}',
                "batch_id": self.batches,
                "received_date": (newest or self.watermark or START).date(),
            }
            for number in range(rejected)
        ]
        self.append("dead_letters", letters, LETTER_TYPES)
        self.offset += rejected + duplicates
        lates = sum(row["is_late"] for row in rows)
        account = Account(
            *(TOPIC, 0, first, self.offset - 1, self.offset - first),
            *(len(rows) - lates, rejected, duplicates, lates),
        )
        after = max(filter(None, [self.watermark, newest and newest - DELAY]), default=None)
        record = BatchRecord(
            self.query,
            self.batches,
            self.watermark and micros(self.watermark),
            after and micros(after),
            (account,) if account.read else (),
        )
        self.append("events", rows, EVENT_TYPES, ["event_date", "event_hour"], record.text())
        self.watermark, self.batches = after, self.batches + 1
        return record

    def append(
        self,
        name: str,
        rows: Sequence[dict[str, Any]],
        types: dict[str, Any],
        by: Sequence[str] = (),
        note: str = "",
    ) -> None:
        """Append rows to a table."""
        filled = [{column: row.get(column) for column in types} for row in rows]
        write_deltalake(
            self.table(name),
            pa.Table.from_pylist(filled, pa.schema(types)),
            mode="append",
            partition_by=[*by] or None,
            commit_properties=CommitProperties({"userMetadata": note} if note else None),
        )

    def say(self, queries: Sequence[str] = ("sessions", "purchases", "activity")) -> None:
        """Write what the stream says of the events so far, and how far its queries are."""
        assert self.watermark is not None
        said = {
            "sessions": ([*_sessions(self.in_time, self.watermark)], SESSION_TYPES),
            "purchases": ([*_purchases(self.in_time)], PURCHASE_TYPES),
            "activity": ([*_activity(self.in_time)], ACTIVITY_TYPES),
        }
        for name in queries:
            rows, types = said[name]
            if name != "sessions":  # an earlier state, which does not count
                early = [{**row, "last_event_at": row["window_start"]} for row in rows]
                self.append(name, [{**row, "batch_id": 0} for row in early], types)
            self.append(name, [{**row, "batch_id": 1} for row in rows], types)
            checkpoint = self.folder / "_checkpoints" / name
            (checkpoint / "commits").mkdir(parents=True, exist_ok=True)
            (checkpoint / "offsets").mkdir(exist_ok=True)
            about = {"batchWatermarkMs": micros(self.watermark) // 1000}
            for number in (9, 10):
                (checkpoint / "offsets" / str(number)).write_text(f"v1\n{json.dumps(about)}\n{{}}")
                (checkpoint / "commits" / str(number)).write_text("v1\n{}")
            (checkpoint / "offsets" / "11").write_text('v1\n{"batchWatermarkMs": 1}\n{}')


def _sessions(events: Sequence[dict[str, Any]], end: datetime) -> Iterator[dict[str, Any]]:
    by_visitor: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        visitor = event.get("customer_id") or event["session_id"]
        by_visitor[visitor, event["event_time"].date()].append(event)
    for (visitor, day), of_day in by_visitor.items():
        found: list[list[dict[str, Any]]] = []
        for event in sorted(of_day, key=lambda row: (row["event_time"], row["event_id"])):
            if not found or event["event_time"] - found[-1][-1]["event_time"] > GAP:
                found.append([])
            found[-1].append(event)
        for session in found:
            first, last = session[0]["event_time"], session[-1]["event_time"]
            if last + GAP > end:
                continue
            pages = {event["page_url"] for event in session} - {None}
            types = [event["event_type"] for event in session]
            seconds = int(last.timestamp()) - int(first.timestamp())
            bought = types.count("purchase")
            yield {
                "session_key": f"{visitor}-{micros(first)}",
                "visitor": visitor,
                "customer_id": session[0].get("customer_id"),
                "day": day,
                "started_at": first,
                "last_event_at": last,
                "events": len(session),
                "pages": len(pages),
                "duration_seconds": seconds,
                "purchases": bought,
                "event_types": types,
                "engagement": min(len(pages), 10) * 4
                + min(seconds, 1800) // 60
                + min(len(session), 20)
                + (10 if bought else 0),
                "ended_by": "day" if (last + GAP).date() > day else "gap",
            }


def _floor(time: datetime, minutes: int) -> datetime:
    return time - (time - at(0)) % timedelta(minutes=minutes)


def _purchases(events: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    windows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["event_type"] == "purchase" and event.get("customer_id"):
            for step in range(4):
                start = _floor(event["event_time"], 15) - step * timedelta(minutes=15)
                windows[event["customer_id"], start].append(event)
    for (customer, start), rows in windows.items():
        total = sum((row["order_total"] for row in rows), Decimal())
        times = [row["event_time"] for row in rows]
        span = max(int(max(times).timestamp()) - int(min(times).timestamp()), 900)
        velocity = (total * 3600 / span).quantize(Decimal("0.0001")) if len(rows) > 1 else None
        yield {
            "customer_id": customer,
            "window_start": start,
            "window_end": start + timedelta(hours=1),
            "purchases": len(rows),
            "total": total,
            "mean": (total / len(rows)).quantize(Decimal("0.0001")),
            "categories": sorted({r["product_category"] for r in rows if r["product_category"]}),
            "velocity": velocity,
            "last_event_at": max(times),
        }


def _activity(events: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    windows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        windows[event["event_type"], _floor(event["event_time"], 5)].append(event)
    for (kind, start), rows in windows.items():
        yield {
            "event_type": kind,
            "window_start": start,
            "window_end": start + timedelta(minutes=5),
            "events": len(rows),
            "visitors": len({row.get("customer_id") or row["session_id"] for row in rows}),
            "sessions": len({row.get("session_id") for row in rows} - {None}),
            "last_event_at": max(row["event_time"] for row in rows),
        }
