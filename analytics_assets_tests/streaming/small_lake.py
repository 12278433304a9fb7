"""A lake as the stream writes it, by deltalake alone: for tests that need no Spark."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
    """

    folder: Path
    query: str = "q1"
    watermark: datetime | None = None
    batches: int = 0
    offset: int = 0
    letters: list[dict[str, Any]] = field(default_factory=list)

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
