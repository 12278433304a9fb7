"""The accounts of the batches, read from the log of the lake with Spark.

Belongs here: reading them. Does not belong here: what they have (`sources.readers.lake_log`), or
counting (`lake`).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analytics_assets.sources.readers.lake_log import Account, BatchRecord, stored_commits, totals
from analytics_assets.streaming.layout import EVENTS, Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = [  # the account is the stream's, too
    "Account",
    "BatchRecord",
    "as_relation",
    "last_record",
    "records",
    "stored_records",
    "totals",
]


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
    return [commit.record for commit in stored_commits(lake.place)]
