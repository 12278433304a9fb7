"""Where the events come from: topics of Kafka, or a folder with files of JSON lines.

Belongs here: reading messages as they are, each with its place (topic, partition, offset). Does not
belong here: what is in a message (`contract`).

A file is a topic of its own with one partition; the offset is the number of the line, from 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analytics_assets.streaming.contract import DEAD_LETTER_TOPIC, TOPICS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MESSAGE = "topic string, partition int, offset long, received_at timestamp, value binary"


@dataclass(frozen=True)
class KafkaTopics:
    """Topics of Kafka.

    Attributes:
        servers: addresses of brokers, separated by commas.
        topics: their names.
        dead_letters: topic of the dead letters.
        most: messages of a batch, at most.
        options: further options of Kafka's client, such as those of its security.
        skip_lost: go on where messages were deleted before they were read.
    """

    servers: str
    topics: tuple[str, ...] = TOPICS
    dead_letters: str = DEAD_LETTER_TOPIC
    most: int = 200_000
    options: tuple[tuple[str, str], ...] = ()
    skip_lost: bool = False

    def messages(self, spark: "SparkSession") -> "DataFrame":
        """The messages, as a stream with the columns of `MESSAGE`."""
        reader = (
            spark.readStream.format("kafka")
            .option("subscribe", ",".join(self.topics))
            # What was sent before the first start counts, too.
            .option("startingOffsets", "earliest")
            # Messages that the broker has deleted before they were read are an error.
            .option("failOnDataLoss", str(not self.skip_lost).lower())
            .option("maxOffsetsPerTrigger", str(self.most))
        )
        for name, value in self._client():
            reader = reader.option(name, value)
        return reader.load().selectExpr(
            "topic", "partition", "offset", "timestamp AS received_at", "value"
        )

    def publish_dead_letters(self, letters: "DataFrame") -> None:
        """Send dead letters to their topic; by its key a reader knows one that it has."""
        writer = letters.selectExpr(
            "concat_ws('-', topic, partition, offset) AS key",
            "value",
            "array(struct('reasons' AS key, encode(reasons, 'UTF-8') AS value)) AS headers",
        ).write.format("kafka")
        for name, value in self._client():
            writer = writer.option(name, value)
        writer.option("topic", self.dead_letters).option("includeHeaders", "true").save()

    def _client(self) -> Iterator[tuple[str, str]]:
        yield "kafka.bootstrap.servers", self.servers
        for name, value in self.options:
            yield f"kafka.{name}", value


@dataclass(frozen=True)
class FolderOfFiles:
    """A folder in which files of JSON lines arrive, whole (renamed into it).

    Attributes:
        folder: its path or address.
        most: files of a batch, at most.
    """

    folder: str
    most: int = 20

    def messages(self, spark: "SparkSession") -> "DataFrame":
        """The lines of the files, as a stream with the columns of `MESSAGE`."""
        # Latin-1 has a character for each byte, so lines that are no UTF-8 come out as they were.
        return (
            spark.readStream.format("binaryFile")
            .schema("path string, modificationTime timestamp, length long, content binary")
            .option("pathGlobFilter", "*.jsonl")
            .option("maxFilesPerTrigger", str(self.most))
            .load(self.folder)
            .selectExpr(
                "element_at(split(path, '/'), -1) AS topic",
                "modificationTime AS received_at",
                r"posexplode(split(decode(content, 'ISO-8859-1'), '\\r?\\n')) AS (line, text)",
            )
            .where("length(trim(text)) > 0")
            .selectExpr(
                "topic",
                "0 AS partition",
                "line::BIGINT AS offset",
                "received_at",
                "encode(text, 'ISO-8859-1') AS value",
            )
        )
