"""The account of each batch: what became of its messages, in the log of the lake.

Belongs here: the account, and reading it with Spark. Does not belong here: counting (`lake`).
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from analytics_assets.streaming.layout import EVENTS, Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Account:
    """What became of the messages of a topic's partition in a batch.

    read = accepted + rejected + duplicates + late.

    Attributes:
        topic: the topic; the name of the file where there is no broker.
        partition: of the topic.
        first_offset: the first message of the batch.
        last_offset: its last one, included.
        read: messages.
        accepted: events that went into the lake in time.
        rejected: messages that became dead letters.
        duplicates: events that the lake has already, or that are twice in the batch.
        late: events older than the watermark that went into the lake.
    """

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    read: int
    accepted: int
    rejected: int
    duplicates: int
    late: int

    def plus(self, other: "Account") -> "Account":
        """Both accounts as one."""
        return Account(
            self.topic,
            self.partition,
            min(self.first_offset, other.first_offset),
            max(self.last_offset, other.last_offset),
            self.read + other.read,
            self.accepted + other.accepted,
            self.rejected + other.rejected,
            self.duplicates + other.duplicates,
            self.late + other.late,
        )


@dataclass(frozen=True)
class BatchRecord:
    """The account of a batch, as it is in the lake's log.

    Attributes:
        query: identity of the query; another one begins with the batch 0 again.
        batch: number of the batch.
        watermark: events before it were late in this batch, in microseconds since 1970; None in
            the first.
        next_watermark: the same for the next batch.
        parts: an account for each partition of a topic.
    """

    query: str
    batch: int
    watermark: int | None
    next_watermark: int | None
    parts: tuple[Account, ...]

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str | None) -> "BatchRecord | None":
        """From JSON; None for a commit that is none of ours."""
        if not text or not text.startswith('{"query"'):
            return None
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, "parts": tuple(Account(**part) for part in values["parts"])})


def totals(records: Iterable[BatchRecord]) -> list[Account]:
    """The sums of some accounts, by topic and partition."""
    sums: dict[tuple[str, int], Account] = {}
    for part in (part for record in records for part in record.parts):
        old = sums.get((part.topic, part.partition))
        sums[part.topic, part.partition] = part if old is None else old.plus(part)
    return [sums[place] for place in sorted(sums)]


def as_relation(place: str) -> str:
    """A table of the lake in SQL."""
    return f"delta.`{place.replace('`', '``')}`"


def records(spark: "SparkSession", lake: Lake, newest: int | None = None) -> Iterator[BatchRecord]:
    """The accounts of the batches, the newest first.

    Args:
        spark: the session.
        lake: the lake.
        newest: how many commits to look at; all without it.
    """
    limit = f" LIMIT {newest}" if newest else ""
    history = spark.sql(f"DESCRIBE HISTORY {as_relation(lake.table(EVENTS))}{limit}")
    for row in history.orderBy("version", ascending=False).select("userMetadata").toLocalIterator():
        record = BatchRecord.read(row.userMetadata)
        if record:
            yield record


def last_record(spark: "SparkSession", lake: Lake) -> BatchRecord | None:
    """The account of the last batch; None before the first."""
    few = next(records(spark, lake, newest=20), None)
    return few or next(records(spark, lake), None)


def stored_records(lake: Lake) -> list[BatchRecord]:
    """The accounts of all batches, in order, without Spark; none where no stream has run."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        history = DeltaTable(lake.table(EVENTS)).history()
    except TableNotFoundError:
        return []
    found = (BatchRecord.read(entry.get("userMetadata")) for entry in reversed(history))
    return [record for record in found if record]
