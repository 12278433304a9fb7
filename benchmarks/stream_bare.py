"""The queries of the stream written bare, as `stream.py` measures them: one PySpark script.

No account, no reasons of dead letters, no replay: each query reads the topics, parses, and writes.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as fn

SCHEMA = (
    "event_id string, event_type string, event_time timestamp, customer_id string, "
    "session_id string, page_url string, user_agent string, properties string, "
    "order_total decimal(18,4), product_category string, payment_method string, "
    "schema_version string"
)
VISITOR = "coalesce(customer_id, session_id)"
HOME = Path(os.environ["ANALYTICS_HOME"])
REDIS = os.environ["ANALYTICS_REDIS_URL"]


def open_session() -> SparkSession:
    """Spark with Delta and Kafka, and the settings that any script has."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    jars = sorted(str(jar) for jar in Path(os.environ["ANALYTICS_SPARK_JARS"]).glob("*.jar"))
    return (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", ",".join(jars))
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config(
            "spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        )
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "4")
        .config(
            "spark.sql.streaming.stateStore.providerClass",
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
        )
        .getOrCreate()
    )


def messages(spark: SparkSession) -> DataFrame:
    """The topics, parsed."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", os.environ["ANALYTICS_KAFKA_SERVERS"])
        .option("subscribe", os.environ["ANALYTICS_KAFKA_TOPICS"])
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", os.environ["BENCHMARK_MOST"])
        .load()
        .withColumn("event", fn.from_json(fn.expr("value::STRING"), SCHEMA))
    )


def events(spark: SparkSession) -> DataFrame:
    """What can be read, with its watermark."""
    return (
        messages(spark)
        .where("event.event_id IS NOT NULL AND event.event_time IS NOT NULL")
        .select("event.*")
        .withWatermark("event_time", "10 minutes")
    )


def to_redis(name: str, by: str) -> Any:
    """Writes the windows of a batch to a table and to Redis."""

    def write(rows: Any) -> None:
        import redis

        pipeline = redis.Redis.from_url(REDIS).pipeline(transaction=False)
        for row in rows:
            pipeline.set(
                f"{name}:{row[by]}:{row.span.start}", json.dumps(row.asDict(), default=str)
            )
        pipeline.execute()

    def sink(rows: DataFrame, batch: int) -> None:
        rows.persist()
        rows.foreachPartition(write)
        rows.write.format("delta").mode("append").save(str(HOME / "lake" / name))
        rows.unpersist()

    return sink


def main() -> None:
    """All queries at once, until everything has been read."""
    spark = open_session()
    spark.sparkContext.setLogLevel("ERROR")
    began = time.monotonic()

    def start(name: str, frame: DataFrame, mode: str, sink: Any = None, *by: str) -> Any:
        writer = (
            frame.writeStream.queryName(name)
            .outputMode(mode)
            .option("checkpointLocation", str(HOME / "checkpoints" / name))
            .trigger(availableNow=True)
        )
        if sink:
            return writer.foreachBatch(sink).start()
        return writer.format("delta").partitionBy(*by).start(str(HOME / "lake" / name))

    lake = (
        events(spark)
        .dropDuplicatesWithinWatermark(["event_id"])
        .selectExpr("*", "event_time::DATE AS event_date", "hour(event_time) AS event_hour")
    )
    dead = messages(spark).where("event.event_id IS NULL OR event.event_time IS NULL")
    sessions = (
        events(spark)
        .groupBy(fn.expr(VISITOR).alias("visitor"), fn.session_window("event_time", "30 minutes"))
        .agg(
            fn.count(fn.lit(1)).alias("events"),
            fn.size(fn.collect_set("page_url")).alias("pages"),
            fn.collect_list(fn.struct("event_time", "event_type")).alias("sequence"),
        )
    )
    purchases = (
        events(spark)
        .where("event_type = 'purchase' AND customer_id IS NOT NULL")
        .groupBy("customer_id", fn.window("event_time", "1 hour", "15 minutes").alias("span"))
        .agg(
            fn.count(fn.lit(1)).alias("purchases"),
            fn.sum("order_total").alias("total"),
            fn.collect_set("product_category").alias("categories"),
        )
    )
    activity = (
        events(spark)
        .groupBy("event_type", fn.window("event_time", "5 minutes").alias("span"))
        .agg(
            fn.count(fn.lit(1)).alias("events"),
            fn.approx_count_distinct(fn.expr(VISITOR), 0.02).alias("visitors"),
            fn.approx_count_distinct("session_id", 0.02).alias("sessions"),
        )
    )
    alerts = events(spark).where(
        "event_type = 'purchase' AND (order_total >= 1000 OR hour(event_time) >= 22 "
        "OR hour(event_time) < 6) AND order_total >= 500"
    )
    queries = [
        start("events", lake, "append", None, "event_date", "event_hour"),
        start("dead_letters", dead.select("topic", "partition", "offset", "value"), "append"),
        start("sessions", sessions, "append"),
        start("purchases", purchases, "update", to_redis("purchases", "customer_id")),
        start("activity", activity, "update", to_redis("activity", "event_type")),
        start("alerts", alerts, "append"),
    ]
    for query in queries:
        query.awaitTermination()
    result = {"seconds": time.monotonic() - began}
    (HOME / "result.json").write_text(json.dumps(result), encoding="utf-8")
    os._exit(0)


if __name__ == "__main__":
    main()
