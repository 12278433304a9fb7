"""The settings of the stream, which are a part of all settings.

Belongs here: where events come from and go to. Does not belong here: how a setting is read
(`settings`), or its rules (`setting_rules`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from analytics_assets.setting_rules import (
    A_FILE,
    FOLDER,
    LAKE,
    NAMES,
    REDIS,
    SERVERS,
    TEXT,
    Setting,
    number,
    whole,
)


@dataclass(frozen=True)
class StreamSettings:
    """Settings of the stream."""

    lake: Annotated[
        str | None,
        Setting(
            None, "folder or address of the lake of the stream", LAKE, shown="lake in the home"
        ),
    ]
    stream_folder: Annotated[
        Path | None,
        Setting(None, "folder with files of events, where they do not come from Kafka", FOLDER),
    ]
    kafka_servers: Annotated[
        str | None, Setting(None, "Kafka's brokers, as host:port, separated by commas", SERVERS)
    ]
    kafka_topics: Annotated[
        tuple[str, ...],
        Setting(
            "customer-events,purchase-events,session-events",
            "topics of the events, separated by commas",
            NAMES,
        ),
    ]
    kafka_options: Annotated[
        Path | None,
        Setting(None, "file with further properties of Kafka's client, such as its login", A_FILE),
    ]
    redis_url: Annotated[
        str | None,
        Setting(None, "Redis for live numbers, as redis://host:6379/0", REDIS, secret=True),
    ] = field(repr=False)
    live_seconds: Annotated[
        int, Setting("3600", "seconds that a live number stays after its window", whole(1))
    ]
    spark_master: Annotated[
        str, Setting("local[*]", "master that the stream is submitted to, as Spark names it", TEXT)
    ]
    spark_jars: Annotated[
        Path | None,
        Setting(None, "folder with the jars of Delta and Kafka", FOLDER, shown="jars in the home"),
    ]
    stream_seconds: Annotated[
        int, Setting("5", "seconds from one batch of the stream to the next", whole(1))
    ]
    stream_partitions: Annotated[
        int,
        Setting(
            "4", "parts of the stream's state; it cannot change without a new checkpoint", whole(1)
        ),
    ]
    large_order: Annotated[
        float, Setting("1000", "money of one purchase from which there is an alert", number())
    ]
