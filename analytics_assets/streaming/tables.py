"""Sinks of the queries that read the lake: a table of the lake, and what else gets the rows.

Belongs here: writing a batch once. Does not belong here: the queries (`windows`, `anomalies`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analytics_assets.streaming.accounts import as_relation
from analytics_assets.streaming.lake import create_table
from analytics_assets.streaming.layout import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Further = Callable[["DataFrame"], None]


@dataclass(frozen=True)
class TableSink:
    """Appends the rows of a batch to a table, once, and hands them on.

    Where rows are updated, the table has each state of a row; the one of the newest batch counts.

    Attributes:
        spark: the session.
        place: the table.
        listed: its columns, with `batch_id`.
        query: identity of the query.
        further: gets the rows before they are in the table, possibly twice.
    """

    spark: "SparkSession"
    place: str
    listed: str
    query: str
    further: Further | None = None

    def __call__(self, rows: "DataFrame", batch: int) -> None:
        """Write a batch; one that has been written before is left out."""
        names = [part.split()[0] for part in self.listed.split(", ")]
        kept = rows.selectExpr("*", f"{batch}L AS batch_id").select(*names).persist()
        try:
            if kept.isEmpty():
                return
            if self.further:
                self.further(kept)
            (
                kept.coalesce(1)
                .write.format("delta")
                .mode("append")
                .option("txnAppId", self.query)
                .option("txnVersion", batch)
                .save(self.place)
            )
        finally:
            kept.unpersist()


def prepare_table(spark: "SparkSession", lake: Lake, name: str, listed: str, is_new: bool) -> None:
    """Create the table of a query; a query without a checkpoint computes all of it again.

    Args:
        spark: the session.
        lake: the lake.
        name: the table.
        listed: its columns.
        is_new: whether the query has no checkpoint.
    """
    place = lake.table(name)
    create_table(spark, place, listed)
    if is_new:
        spark.sql(f"DELETE FROM {as_relation(place)}")
