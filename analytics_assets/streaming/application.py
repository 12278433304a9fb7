"""The application: starts the queries, watches over them, and stops them.

Belongs here: which queries there are and how they run. Does not belong here: what each computes.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from analytics_assets.streaming.anomalies import ALERT_COLUMNS, Anomalies
from analytics_assets.streaming.lake import LakeSink, create_tables
from analytics_assets.streaming.layout import (
    ACTIVITY,
    ALERTS,
    PURCHASES,
    QUERIES,
    SESSIONS,
    Lake,
)
from analytics_assets.streaming.live import BY, LiveNumbers
from analytics_assets.streaming.live_now import EPOCH, Mark
from analytics_assets.streaming.tables import Further, TableSink, prepare_table
from analytics_assets.streaming.windows import (
    ACTIVITY_COLUMNS,
    PURCHASE_COLUMNS,
    SESSION_COLUMNS,
    activity,
    all_events,
    events,
    purchases,
    sessions,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

COLUMNS = {
    SESSIONS: SESSION_COLUMNS,
    PURCHASES: PURCHASE_COLUMNS,
    ACTIVITY: ACTIVITY_COLUMNS,
    ALERTS: ALERT_COLUMNS,
}
PATIENCE_SECONDS = 600.0  # a query that fails for so long ends the application
# What passes by itself: the broker, Redis or the disk.
PASSING = (
    "TimeoutException",
    "DisconnectException",
    "ConnectException",
    "redis.exceptions",
    "No space left on device",
    "IOException",
    "UnknownHost",
    "LEADER_NOT_AVAILABLE",
    "NotLeaderOrFollower",
    "UnknownTopicOrPartition",
)
# What does not, though its words may look like the former.
LOST = ("data loss", "DataLoss", "OffsetOutOfRange", "some data may have been lost")

# The line of a cause, of Java or of Python.
CAUSE = re.compile(r"(?:Caused by: |: )?((?:\w+\.)+\w*(?:Error|Exception)\b: .*)")


class StreamError(RuntimeError):
    """The stream ended with an error; the message says which query and what to do."""


class Messages(Protocol):
    """Where the messages come from."""

    def messages(self, spark: "SparkSession") -> "DataFrame": ...  # noqa: D102


@dataclass(frozen=True)
class StreamOptions:
    """What the application is started with.

    Attributes:
        messages: where the messages come from.
        lake: where they go.
        home: folder for the progress of the queries.
        zone: the shop's time zone.
        rules: the rules of the alerts.
        read_history: the history of customers, see `Anomalies`.
        send_alerts: gets the rows of alerts that may be new.
        redis_url: address of Redis; None for no live numbers.
        live_seconds: how long a window stays in Redis after its end.
        trigger: seconds from one batch to the next.
        queries: the queries that run.
        until_read: stop when all that is there has been read.
        patience: seconds that a query may fail, one try after the other, until the stream ends.
        stopped: set it to stop the stream.
    """

    messages: Messages
    lake: Lake
    home: Path
    zone: str = "UTC"
    rules: tuple[Any, ...] = ()
    read_history: Callable[[str | None], Any] = lambda build: None
    send_alerts: Callable[["DataFrame"], None] | None = None
    redis_url: str | None = None
    live_seconds: int = 3600
    trigger: float = 5.0
    queries: tuple[str, ...] = QUERIES
    until_read: bool = False
    patience: float = PATIENCE_SECONDS
    stopped: threading.Event = field(default_factory=threading.Event)


def run_stream(
    spark: "SparkSession", options: StreamOptions, say: Callable[[str], None] = print
) -> None:
    """Run the queries until they are stopped, or all has been read.

    A query that fails because of what passes by itself (a broker, Redis, a disk) is started again,
    with pauses that grow to a minute; it goes on where its last whole batch ended.

    Raises:
        StreamError: a query failed for good, or for longer than the patience.
    """
    try:
        create_tables(spark, options.lake)
    except _errors_of_spark() as error:
        raise StreamError(_in_words(options.queries[0], str(error))) from error
    if options.until_read:
        # Those that read the lake follow the one that writes it.
        for name in options.queries:
            if not options.stopped.is_set():
                _Runner(spark, name, options, say).to_the_end()
        return
    runners = [_Runner(spark, name, options, say) for name in options.queries]
    try:
        while True:
            for runner in runners:
                runner.look()
            if options.stopped.wait(1.0):
                break
    finally:
        for runner in runners:
            runner.stop()


@dataclass
class _Runner:
    """One query, and its faults."""

    spark: "SparkSession"
    name: str
    options: StreamOptions
    say: Callable[[str], None]
    query: "StreamingQuery | None" = None
    failing_since: float | None = None
    tries: int = 0
    start_at: float = 0.0
    last_batch: int = -1
    mark: Mark | None = None

    def start(self) -> None:
        """Start it, from where its checkpoint is."""
        self.spark.sparkContext.setLocalProperty("spark.scheduler.pool", self.name)
        trigger: dict[str, Any] = (
            {"availableNow": True}
            if self.options.until_read
            else {"processingTime": f"{self.options.trigger} seconds"}
        )
        checkpoint = self.options.lake.checkpoint(self.name)
        if self.mark is None and self.options.redis_url and self.name in BY:
            is_new = _identity(self.spark, checkpoint) is None
            url, keep = self.options.redis_url, self.options.live_seconds
            self.mark = Mark(url, self.name, keep, is_new)
            self.mark.note(-1, EPOCH)
        frame, sink, mode = _query(self.spark, self.name, self.options, checkpoint)
        self.query = (
            frame.writeStream.queryName(self.name)
            .outputMode(mode)
            .option("checkpointLocation", checkpoint)
            .trigger(**trigger)
            .foreachBatch(sink)
            .start()
        )

    def to_the_end(self) -> None:
        """Run it until all that is there has been read.

        Raises:
            StreamError: it failed.
        """
        try:
            self.start()
            assert self.query is not None
            while not self.query.awaitTermination(1) and not self.options.stopped.is_set():
                pass
        except _errors_of_spark() as error:
            raise StreamError(_in_words(self.name, str(error))) from error
        self.stop()
        self._write_progress()

    def look(self) -> None:
        """Start it, and again if it has failed; note how far it is.

        Raises:
            StreamError: it failed for good, or for too long.
        """
        if self.query is None:
            if time.monotonic() >= self.start_at:
                try:
                    self.start()
                except _errors_of_spark() as error:  # the lake or the broker does not answer
                    self._failed(str(error))
            return
        if failure := self.query.exception():
            self._failed(str(failure))
        elif not self.query.isActive:
            self._failed("It ended without an error; what Spark has logged says why.")
        else:
            self._write_progress()

    def _failed(self, text: str) -> None:
        now = time.monotonic()
        passing = any(word in text for word in PASSING) and not any(word in text for word in LOST)
        self.failing_since = self.failing_since if self.failing_since is not None else now
        if not passing or now - self.failing_since > self.options.patience:
            raise StreamError(_in_words(self.name, text))
        self.tries += 1
        pause = min(2.0**self.tries, 60.0)
        self.say(f"{self.name} failed and is started again in {pause:.0f} s: {_cause(text)}")
        self.query = None
        self.start_at = now + pause

    def stop(self) -> None:
        """Stop it; a batch that has begun is finished or repeated later."""
        if self.query is not None:
            self.query.stop()

    def _write_progress(self) -> None:
        assert self.query is not None
        progress = self.query.lastProgress
        if progress is None:
            if self.mark:
                self.mark.note(-1, EPOCH)
            return
        told = json.loads(progress.json)
        batch = told["batchId"]
        if self.mark:
            watermark = told.get("eventTime", {}).get("watermark", EPOCH.isoformat())
            self.mark.note(batch, datetime.fromisoformat(watermark))
        if batch == self.last_batch:
            return
        if self.last_batch >= 0:
            self.tries, self.failing_since = 0, None
        self.last_batch = batch
        self.options.home.mkdir(parents=True, exist_ok=True)
        file = self.options.home / f"{self.name}.json"
        part = file.with_suffix(".part")
        part.write_text(progress.json, encoding="utf-8")
        part.replace(file)


def _query(
    spark: "SparkSession", name: str, options: StreamOptions, checkpoint: str
) -> tuple["DataFrame", Callable[["DataFrame", int], None], str]:
    """The frame, the sink and the output mode of a query."""
    lake = options.lake
    identity = lambda: _identity(spark, checkpoint) or ""  # noqa: E731
    if name == "lake":
        return (
            options.messages.messages(spark),
            _from_first_batch(
                lambda: LakeSink(
                    spark,
                    lake,
                    identity(),
                    getattr(options.messages, "publish_dead_letters", None),
                )
            ),
            "append",
        )
    listed = COLUMNS[name]
    prepare_table(spark, lake, name, listed, is_new=_identity(spark, checkpoint) is None)

    def sink(further: Further | None) -> Callable[["DataFrame", int], None]:
        return _from_first_batch(
            lambda: TableSink(spark, lake.table(name), listed, identity(), further)
        )

    if name == ALERTS:
        anomalies = Anomalies(spark, lake, options.rules, options.read_history)
        to_table = sink(options.send_alerts)
        return (
            all_events(spark, lake),
            lambda rows, batch: to_table(anomalies.of_batch(rows), batch),
            "append",
        )
    of = events(spark, lake)
    if name == SESSIONS:
        # A session is known when it has ended; the others are wanted while they go on.
        return sessions(of, options.zone), sink(None), "append"
    count = {PURCHASES: "purchases", ACTIVITY: "events"}[name]
    live = (
        LiveNumbers(options.redis_url, name, BY[name], count, options.live_seconds)
        if options.redis_url
        else None
    )
    return (purchases if name == PURCHASES else activity)(of), sink(live), "update"


def _from_first_batch(
    make: Callable[[], Callable[["DataFrame", int], None]],
) -> Callable[["DataFrame", int], None]:
    """A sink that is made at its first batch: before it, a new query has no identity.

    Spark looks for its own interruptions in the text of an error, with a pattern that overflows the
    stack on a long one; then the query has ended without an error. So the text is made short.
    """
    from py4j.protocol import Py4JError

    made: list[Callable[[DataFrame, int], None]] = []

    def sink(rows: "DataFrame", batch: int) -> None:
        try:
            if not made:
                made.append(make())
            made[0](rows, batch)
        except Py4JError as error:
            raise RuntimeError(_without_frames(str(error))) from None

    return sink


def _identity(spark: "SparkSession", checkpoint: str) -> str | None:
    """The identity of a query, as its checkpoint has it; None without one."""
    from pyspark.errors import AnalysisException

    try:
        first = spark.read.text(f"{checkpoint}/metadata").first()
    except AnalysisException:  # there is no such path
        return None
    return json.loads(first[0])["id"] if first else None


def _errors_of_spark() -> tuple[type[Exception], ...]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return PySparkException, Py4JError  # the latter for what Spark itself does not know


def _without_frames(text: str) -> str:
    """What an error of Java says, and its causes."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("at ", "..."))]
    return "\n".join(line[:500] for line in lines[:50])


def _cause(text: str) -> str:
    """What an error says first, or the last of its causes."""
    lines = [line.strip() for line in text.strip().splitlines()]
    causes = [match[1] for line in lines if (match := CAUSE.match(line))]
    return (causes or lines)[-1 if causes else 0][:300]


def _in_words(name: str, text: str) -> str:
    """Why a query ended, and what to do."""
    if any(word in text for word in LOST):
        remedy = (
            "The broker has deleted messages that were not read yet. Lengthen its retention. To "
            "go on without them, start once with --skip-lost; the gap shows in the offsets of the "
            "accounts."
        )
    else:
        remedy = "Remove the cause and start the stream again: it goes on where it was."
    return f"The query {name} ended: {_cause(text)} {remedy}"
