"""The session of Spark that the stream runs in.

Belongs here: the settings without which the queries would be wrong or slow. Does not belong here:
the queries.
"""

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Delta and Kafka in the versions that have been seen to work with pyspark 4.2.0 (jars.xml).
DECLARED = Path(__file__).with_name("jars.xml")
NEEDED_JARS = ("delta-spark", "spark-sql-kafka", "kafka-clients")
ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"
KEEP_LOG = "interval 3650 days"  # the log of the lake is the ledger of its batches


class JarsError(RuntimeError):
    """Jars are missing; the message says how to get them."""


def jars_of(folder: Path) -> list[Path]:
    """The jars of a folder.

    Raises:
        JarsError: there is no folder, or one that is needed is not in it.
    """
    jars = sorted(folder.glob("*.jar"))
    missing = [name for name in NEEDED_JARS if not any(jar.name.startswith(name) for jar in jars)]
    if missing:
        raise JarsError(
            f"{folder} has no {', '.join(missing)}. Run `analytics-assets stream-jars` once, which "
            "gets them with Maven; or set ANALYTICS_SPARK_JARS to a folder that has them."
        )
    return jars


def open_session(
    master: str, jars: Path | None, partitions: int, further: Mapping[str, str] | None = None
) -> "SparkSession":
    """Start Spark, or connect to a cluster.

    Args:
        master: such as local[*] or spark://host:7077.
        jars: folder of Delta's and Kafka's jars; None where the cluster has them.
        partitions: how many parts the state of a query has. It cannot change later.
        further: further settings of Spark.

    Raises:
        JarsError: a jar is missing.
    """
    from pyspark.sql import SparkSession

    if master.startswith("local"):
        # Otherwise its workers are the python3 of PATH, which may lack what this one has.
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(master).appName("analytics_assets stream")
    settings = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Times are UTC, whatever the zone of the machine.
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(partitions),
        "spark.sql.streaming.stateStore.providerClass": ROCKSDB,
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        # The queries share the cores; otherwise one with much to do would stop the others.
        "spark.scheduler.mode": "FAIR",
        "spark.databricks.delta.properties.defaults.logRetentionDuration": KEEP_LOG,
        # A batch has few rows: one job more to look at its files costs more than it saves.
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",
        "spark.ui.showConsoleProgress": "false",
        **(further or {}),
    }
    if jars is not None:
        settings["spark.jars"] = ",".join(str(jar) for jar in jars_of(jars))
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    logging.getLogger("py4j").setLevel(logging.WARNING)
    return session
