"""The first query: every message once, into the lake or to the dead letters.

Belongs here: what becomes of a message, and the account of each batch. Does not belong here: what
is computed from events (`windows`, `anomalies`), or how dead letters are read again.

A batch that is repeated after a crash writes nothing twice: each table knows the last batch that it
has got (Delta's transaction ids), and the account of the batch is in the same commit as its rows.
Of a batch, first the dead letters are written and then the events, so the offsets of a batch are in
the account only when both are there.

The lake keeps late events: those that are older than the watermark, which follows the newest event
of the batches before at ten minutes' distance. They are marked, and what is computed from the
stream leaves them out; the daily assets take them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from analytics_assets.streaming.accounts import Account, BatchRecord, as_relation, last_record
from analytics_assets.streaming.contract import (
    UNKNOWN,
    columns,
    parse_schema,
    reasons,
    unknown_fields,
)
from analytics_assets.streaming.layout import DEAD_LETTERS, DELAY, EVENTS, Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DELAY_MICROS = DELAY // timedelta(microseconds=1)
FILES = 2  # that a batch writes for each hour, at most
AHEAD = timedelta(minutes=10)  # an event may be so much later than its arrival: clocks differ
EVENT_COLUMNS = (
    "event_id string, event_type string, event_time timestamp, customer_id string, "
    "session_id string, page_url string, user_agent string, properties string, "
    "order_total decimal(18,4), product_category string, payment_method string, "
    "schema_version string, unknown_fields string, is_late boolean, topic string, partition int, "
    "offset long, received_at timestamp, batch_id long, event_date date, event_hour int"
)
DEAD_LETTER_COLUMNS = (
    "topic string, partition int, offset long, received_at timestamp, reasons string, "
    "value binary, batch_id long, received_date date"
)


def create_tables(spark: "SparkSession", lake: Lake) -> None:
    """Create the tables of this query where they are missing: readers need not wait for a batch."""
    for name, listed, by in (
        (EVENTS, EVENT_COLUMNS, ("event_date", "event_hour")),
        (DEAD_LETTERS, DEAD_LETTER_COLUMNS, ("received_date",)),
    ):
        create_table(spark, lake.table(name), listed, by)


def create_table(spark: "SparkSession", place: str, listed: str, by: Iterable[str] = ()) -> None:
    """Create a table of the lake, unless it is there."""
    parts = f"PARTITIONED BY ({', '.join(by)})" if by else ""
    spark.sql(f"CREATE TABLE IF NOT EXISTS {as_relation(place)} ({listed}) USING delta {parts}")


class LakeSink:
    """Writes the batches of the first query.

    Args:
        spark: the session.
        lake: where to.
        query: identity of the query; it stays the same as long as its checkpoint does.
        publish: gets the dead letters of a batch before it is written, possibly twice.
    """

    def __init__(
        self,
        spark: "SparkSession",
        lake: Lake,
        query: str,
        publish: "Callable[[DataFrame], None] | None" = None,
    ) -> None:
        self.spark = spark
        self.lake = lake
        self.query = query
        self.publish = publish
        self.last = last_record(spark, lake)

    def __call__(self, messages: "DataFrame", batch: int) -> None:
        """Write a batch; one that has been written before is left out.

        Args:
            messages: the columns of `sources.MESSAGE`.
            batch: number of the batch.
        """
        last = self.last
        if last and last.query == self.query and last.batch >= batch:
            return
        watermark = last.next_watermark if last else None
        read = _read(messages, watermark).persist()
        try:
            counts = _count(read)
            marked = self._marked(read, counts).persist()
            try:
                record = self._record(batch, watermark, counts, marked)
                if any(part.rejected for part in record.parts):
                    self._bury(read, batch)
                self._append(EVENTS, _events(marked, batch), batch, record.text())
            finally:
                marked.unpersist()
        finally:
            read.unpersist()
        self.last = record

    def _marked(self, read: "DataFrame", counts: Sequence["_Count"]) -> "DataFrame":
        """The events of a batch, and whether the lake or the batch has each before."""
        from pyspark.sql import functions as fn

        events = read.where("reasons = ''")
        place = fn.struct("topic", "partition", "offset")
        in_batch = fn.coalesce(fn.col("first") != place, fn.lit(False))
        in_lake = fn.coalesce("is_known", fn.lit(False))
        first = (
            events.groupBy("event_id")
            .agg(fn.min(place).alias("first"), fn.count(fn.lit(1)).alias("copies"))
            .where("copies > 1")
            .select("event_id", "first")
        )
        known = (
            self._ids_around(counts)
            .join(events.select("event_id"), "event_id", "left_semi")
            .distinct()
            .withColumn("is_known", fn.lit(True))
        )
        return (
            events.join(fn.broadcast(first), "event_id", "left")
            .join(fn.broadcast(known), "event_id", "left")
            .withColumn("is_duplicate", in_batch | in_lake)
            .drop("first", "is_known")
        )

    def _ids_around(self, counts: Sequence["_Count"]) -> "DataFrame":
        """Events of the lake that a batch may repeat: all copies of an event have one time."""
        from pyspark.sql import functions as fn

        ids = self.spark.read.format("delta").load(self.lake.table(EVENTS))
        due = [count for count in counts if count.oldest is not None and count.newest is not None]
        hours = sorted({hour for count in counts for hour in count.late_hours})
        wanted = ["false"]
        if due:
            low, high = min(c.oldest or 0 for c in due), max(c.newest or 0 for c in due)
            # The hours leave out whole partitions, the times files within them.
            wanted.append(
                f"{_in_hours(low, high)} AND event_time BETWEEN {_at(low)} AND {_at(high)}"
            )
        wanted += [_in_hours(hour, hour) for hour in hours]
        return ids.where(fn.expr(" OR ".join(f"({part})" for part in wanted))).select("event_id")

    def _record(
        self, batch: int, watermark: int | None, counts: Sequence["_Count"], marked: "DataFrame"
    ) -> BatchRecord:
        from pyspark.sql import functions as fn

        became = {
            (row.topic, row.partition): row
            for row in marked.groupBy("topic", "partition")
            .agg(
                fn.expr("count_if(NOT is_duplicate AND NOT is_late)").alias("accepted"),
                fn.expr("count_if(NOT is_duplicate AND is_late)").alias("late"),
                fn.expr("count_if(is_duplicate)").alias("duplicates"),
            )
            .collect()
        }
        parts = []
        for count in counts:
            row = became.get((count.topic, count.partition))
            parts.append(
                Account(
                    *(count.topic, count.partition, count.first_offset, count.last_offset),
                    read=count.read,
                    accepted=row.accepted if row else 0,
                    rejected=count.rejected,
                    duplicates=row.duplicates if row else 0,
                    late=row.late if row else 0,
                )
            )
        reached = [count.newest - DELAY_MICROS for count in counts if count.newest is not None]
        after = max([*reached, *([] if watermark is None else [watermark])], default=None)
        return BatchRecord(self.query, batch, watermark, after, tuple(parts))

    def _bury(self, read: "DataFrame", batch: int) -> None:
        """Write the dead letters of a batch, unless an earlier query has read them already."""
        from pyspark.sql import functions as fn

        known = self.spark.read.format("delta").load(self.lake.table(DEAD_LETTERS))
        same = " AND ".join(
            f"letter.{name} <=> known.{name}" for name in ("topic", "partition", "offset", "value")
        )
        letters = (
            _dead_letters(read, batch)
            .alias("letter")
            .join(known.alias("known"), fn.expr(same), "left_anti")
            .persist()
        )
        try:
            if self.publish:
                self.publish(letters)
            self._append(DEAD_LETTERS, letters, batch)
        finally:
            letters.unpersist()

    def _append(self, table: str, rows: "DataFrame", batch: int, note: str = "") -> None:
        writer = (
            rows.coalesce(FILES)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", f"{table}-{self.query}")
            .option("txnVersion", batch)
        )
        if note:
            writer = writer.option("userMetadata", note)
        writer.save(self.lake.table(table))


@dataclass(frozen=True)
class _Count:
    """What a batch has of a topic's partition; times in microseconds since 1970."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    read: int
    rejected: int
    oldest: int | None
    newest: int | None
    late_hours: list[int]


def _count(read: "DataFrame") -> list[_Count]:
    from pyspark.sql import functions as fn

    on_time = "CASE WHEN reasons = '' AND NOT is_late THEN unix_micros(event_time) END"
    hour = "unix_micros(date_trunc('HOUR', event_time))"
    rows = (
        read.groupBy("topic", "partition")
        .agg(
            fn.min("offset"),
            fn.max("offset"),
            fn.count(fn.lit(1)),
            fn.expr("count_if(reasons <> '')"),
            fn.expr(f"min({on_time})"),
            fn.expr(f"max({on_time})"),
            fn.expr(f"collect_set(CASE WHEN is_late THEN {hour} END)"),
        )
        .collect()
    )
    return [_Count(*row) for row in sorted(rows, key=lambda row: (row.topic, row.partition))]


def _read(messages: "DataFrame", watermark: int | None) -> "DataFrame":
    """The messages with their typed fields, why they are rejected, and whether they are late."""
    from pyspark.sql import functions as fn

    ahead = f"event_time > received_at + INTERVAL {AHEAD // timedelta(minutes=1)} MINUTES"
    late = f"event_time < {_at(watermark)}" if watermark is not None else "false"
    return (
        messages.withColumn(
            "text", fn.expr("CASE WHEN is_valid_utf8(value::STRING) THEN value::STRING END")
        )
        .withColumn("event", fn.from_json("text", parse_schema()))
        .select(
            *("topic", "partition", "offset", "received_at", "value"),
            *columns("event").values(),
            unknown_fields("text").alias(UNKNOWN),
            reasons("value", "text", "event").alias("reasons"),
        )
        .withColumn(
            "reasons",
            fn.expr(
                f"CASE WHEN reasons = '' AND {ahead} THEN "
                "'event_time: is later than the arrival' ELSE reasons END"
            ),
        )
        .withColumn("is_late", fn.expr(f"reasons = '' AND {late}"))
    )


def _events(marked: "DataFrame", batch: int) -> "DataFrame":
    return (
        marked.where("NOT is_duplicate")
        .selectExpr(
            "*",
            f"{batch}L AS batch_id",
            "event_time::DATE AS event_date",
            "hour(event_time) AS event_hour",
        )
        .select(*_names(EVENT_COLUMNS))
    )


def _dead_letters(read: "DataFrame", batch: int) -> "DataFrame":
    return (
        read.where("reasons <> ''")
        .selectExpr("*", f"{batch}L AS batch_id", "received_at::DATE AS received_date")
        .select(*_names(DEAD_LETTER_COLUMNS))
    )


def _names(listed: str) -> list[str]:
    return [part.split()[0] for part in listed.split(", ")]


def _at(micros: int) -> str:
    return f"timestamp_micros({micros})"


def _in_hours(low: int, high: int) -> str:
    """Condition on the partitions of the lake from one time to another."""
    first, last = (datetime.fromtimestamp(at / 1e6, UTC) for at in (low, high))
    place = "event_date::STRING || lpad(event_hour, 2, '0')"
    return (
        f"event_date BETWEEN '{first:%Y-%m-%d}' AND '{last:%Y-%m-%d}' "
        f"AND {place} BETWEEN '{first:%Y-%m-%d%H}' AND '{last:%Y-%m-%d%H}'"
    )
