"""Sessions, purchases and activity: what the stream computes from the events of the lake.

Belongs here: the three queries, each as a frame. Does not belong here: where their rows go
(`tables`, `live`).

They read what the lake has got, in the order of its commits, and leave late events out. As the
watermark of a query follows the same events at the same distance, no other event is too late for
it, and the batch can compute the same rows from the lake.
"""

from typing import TYPE_CHECKING

from analytics_assets.streaming.contract import PURCHASE
from analytics_assets.streaming.layout import (
    ACTIVITY,
    DELAY,
    EVENTS,
    GAP,
    LENGTHS,
    PURCHASES,
    STEPS,
    Lake,
    in_seconds,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

ALL_FILES = 1_000_000  # a commit that is cut in two would make events of its second half late
VISITOR = "coalesce(customer_id, session_id)"
SECONDS = "unix_seconds({}) - unix_seconds({})"

SESSION_COLUMNS = (
    "session_key string, visitor string, customer_id string, day date, started_at timestamp, "
    "last_event_at timestamp, events long, pages long, duration_seconds long, purchases long, "
    "event_types array<string>, engagement long, ended_by string, batch_id long"
)
PURCHASE_COLUMNS = (
    "customer_id string, window_start timestamp, window_end timestamp, purchases long, "
    "total decimal(28,4), mean decimal(28,4), categories array<string>, velocity decimal(28,4), "
    "last_event_at timestamp, batch_id long"
)
ACTIVITY_COLUMNS = (
    "event_type string, window_start timestamp, window_end timestamp, events long, visitors long, "
    "sessions long, last_event_at timestamp, batch_id long"
)


def all_events(spark: "SparkSession", lake: Lake) -> "DataFrame":
    """The events of the lake, late ones too, as a stream in the order of its commits."""
    return (
        spark.readStream.format("delta")
        .option("startingVersion", "0")
        .option("maxFilesPerTrigger", str(ALL_FILES))
        .load(lake.table(EVENTS))
    )


def events(spark: "SparkSession", lake: Lake) -> "DataFrame":
    """The events that came in time, with their watermark."""
    return (
        all_events(spark, lake).where("NOT is_late").withWatermark("event_time", in_seconds(DELAY))
    )


def sessions(of: "DataFrame", zone: str) -> "DataFrame":
    """Sessions that have ended: 30 minutes without an event of the visitor, or the day is over.

    A visitor is a customer, or a session of the site where there is none. No session goes on past
    midnight of the shop, so a program that never pauses does not grow a session for ever; it is
    marked with `ended_by` = day if the next event may have belonged to it.

    `engagement` is from 0 to 100: 4 for each page (10 count), 1 for each minute (30 count), 1 for
    each event (20 count), and 10 for a purchase.

    Args:
        of: the events.
        zone: the shop's time zone.
    """
    from pyspark.sql import functions as fn

    day = f"from_utc_timestamp(event_time, '{zone}')::DATE"
    ended = f"from_utc_timestamp(last_event_at + INTERVAL {in_seconds(GAP)}, '{zone}')::DATE"
    return (
        of.groupBy(
            fn.expr(VISITOR).alias("visitor"),
            fn.expr(day).alias("day"),
            fn.session_window("event_time", in_seconds(GAP)),
        )
        .agg(
            fn.max("customer_id").alias("customer_id"),
            fn.min("event_time").alias("started_at"),
            fn.max("event_time").alias("last_event_at"),
            fn.count(fn.lit(1)).alias("events"),
            # Exact: a session has few pages.
            fn.collect_set("page_url").alias("seen"),
            fn.expr(f"count_if(event_type = '{PURCHASE}')").alias("purchases"),
            fn.collect_list(fn.struct("event_time", "event_id", "event_type")).alias("sequence"),
        )
        .selectExpr(
            "visitor || '-' || unix_micros(started_at)::STRING AS session_key",
            "visitor",
            "customer_id",
            "day",
            "started_at",
            "last_event_at",
            "events",
            "size(seen)::BIGINT AS pages",
            f"{SECONDS.format('last_event_at', 'started_at')} AS duration_seconds",
            "purchases",
            "transform(array_sort(sequence), event -> event.event_type) AS event_types",
            f"CASE WHEN {ended} > day THEN 'day' ELSE 'gap' END AS ended_by",
        )
        .withColumn(
            "engagement",
            fn.expr(
                "least(pages, 10) * 4 + least(duration_seconds, 1800) DIV 60 + least(events, 20) "
                "+ CASE WHEN purchases > 0 THEN 10 ELSE 0 END"
            ),
        )
    )


def _spans(name: str) -> "Column":
    from pyspark.sql import functions as fn

    length, step = in_seconds(LENGTHS[name]), in_seconds(STEPS[name])
    return fn.window("event_time", length, step).alias("span")


def purchases(of: "DataFrame") -> "DataFrame":
    """What each customer bought within an hour; the hours begin every 15 minutes.

    `velocity` is money an hour, from the first purchase of the window to its last, of at least 15
    minutes; null for one purchase.
    """
    from pyspark.sql import functions as fn

    span = f"greatest({SECONDS.format('last_event_at', 'first_event_at')}, 900)"
    return (
        of.where(f"event_type = '{PURCHASE}' AND customer_id IS NOT NULL")
        .groupBy("customer_id", _spans(PURCHASES))
        .agg(
            fn.count(fn.lit(1)).alias("purchases"),
            fn.expr("sum(order_total)::DECIMAL(28,4)").alias("total"),
            fn.array_sort(fn.collect_set("product_category")).alias("categories"),
            fn.min("event_time").alias("first_event_at"),
            fn.max("event_time").alias("last_event_at"),
        )
        .selectExpr(
            "customer_id",
            "span.start AS window_start",
            "span.end AS window_end",
            "purchases",
            "total",
            "(total / purchases)::DECIMAL(28,4) AS mean",
            "categories",
            f"CASE WHEN purchases > 1 THEN (total * 3600 / {span})::DECIMAL(28,4) END AS velocity",
            "last_event_at",
        )
    )


def activity(of: "DataFrame") -> "DataFrame":
    """What happened in five minutes, by the type of event.

    Visitors and sessions are estimates (HyperLogLog++, 2% standard error): exact counts would keep
    every one of them in memory.
    """
    from pyspark.sql import functions as fn

    return (
        of.groupBy("event_type", _spans(ACTIVITY))
        .agg(
            fn.count(fn.lit(1)).alias("events"),
            fn.approx_count_distinct(fn.expr(VISITOR), 0.02).alias("visitors"),
            fn.approx_count_distinct("session_id", 0.02).alias("sessions"),
            fn.max("event_time").alias("last_event_at"),
        )
        .selectExpr(
            "event_type",
            "span.start AS window_start",
            "span.end AS window_end",
            "events",
            "visitors",
            "sessions",
            "last_event_at",
        )
    )
