"""The log of a stream's lake, without Spark: the account of each batch, and which hours are closed.

Belongs here: the account, and reading it from the log of the table `events`. Does not belong here:
writing it (`streaming.lake`), or rows of the lake (`readers.lake`).

The watermark is a time that the stream does not wait behind any longer: an event before it that
still comes is late. An hour is closed when the watermark is past its end.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from analytics_assets.sources.readers.base import SourceError

if TYPE_CHECKING:
    from deltalake import DeltaTable

EVENTS = "events"
HOUR = 3_600_000_000  # microseconds
LOOKS = (50, 1_000, 20_000, None)  # commits that are looked at, the newest first


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


@dataclass(frozen=True)
class Commit:
    """A commit of the table of events that has the account of a batch.

    Attributes:
        version: of the table.
        at: when it was written.
        rows: rows that it wrote; None where the log does not say.
        record: the account.
    """

    version: int
    at: datetime
    rows: int | None
    record: BatchRecord


def open_table(place: str, source: str, version: int | None = None) -> "DeltaTable":
    """A Delta table in a folder of this machine.

    Args:
        place: the folder.
        source: the source that is read, for errors.
        version: of the table; the newest without it.

    Raises:
        SourceError: it is none, or cannot be read.
    """
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError
    except ImportError as error:
        raise SourceError(
            f"{source}: Delta tables need the package deltalake: install analytics_assets[delta]."
        ) from error
    try:
        return DeltaTable(place, version=version)
    except TableNotFoundError as error:
        raise SourceError(
            f"{source}: {place} is no Delta table. Check `path` in the source configuration; for "
            "a table of the stream, start the stream once."
        ) from error
    except DeltaError as error:
        raise SourceError(
            f"{source}: the log of {place} cannot be read ({str(error).splitlines()[0][:200]}). "
            "Correct the table; nothing was loaded."
        ) from error


def commits(table: "DeltaTable", after: int = -1) -> Iterator[Commit]:
    """The commits with an account, the newest first.

    Args:
        table: the table of events.
        after: only those of later versions.

    The log has a commit for each batch, and most readers want the newest few.
    """
    seen = table.version() + 1
    for limit in LOOKS:
        entries = table.history(limit)
        for entry in entries:
            version = int(entry["version"])
            if version >= seen:
                continue
            seen = version
            if version <= after:
                return
            if record := BatchRecord.read(entry.get("userMetadata")):
                at = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC).replace(tzinfo=None)
                yield Commit(version, at, _rows(entry), record)
        if limit and len(entries) < limit:
            return


def _rows(entry: dict[str, Any]) -> int | None:
    """Rows that a commit has written, as Spark says it, or deltalake."""
    metrics = entry.get("operationMetrics") or {}
    rows = metrics.get("numOutputRows", metrics.get("num_added_rows"))
    return None if rows is None else int(rows)


def stored_commits(lake: str, after: int = -1) -> list[Commit]:
    """The commits with an account, in order; none where no stream has run.

    Args:
        lake: folder of the lake.
        after: only those of later versions.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        table = DeltaTable(f"{lake.rstrip('/')}/{EVENTS}")
    except TableNotFoundError:
        return []
    return [*commits(table, after)][::-1]


@dataclass(frozen=True)
class Closed:
    """How far the hours of a stream are closed.

    Attributes:
        end: exclusive end of the newest closed hour, in UTC.
        version: of the table of events when that hour closed.
    """

    end: datetime
    version: int


def closed_hours(table: "DeltaTable") -> Closed | None:
    """How far the hours are closed; None before the first.

    Events that came after the newest hour closed are not due before the next one does: what is read
    stays the same for an hour, and late events ask for their days once an hour and not one by one.
    """
    end = version = None
    for commit in commits(table):
        watermark = commit.record.next_watermark
        if watermark is None:
            break
        end = end or watermark // HOUR * HOUR
        if watermark < end:
            break
        version = commit.version
    if end is None or version is None:
        return None
    return Closed(datetime.fromtimestamp(end / 1e6, UTC).replace(tzinfo=None), version)
