"""The stream as the settings describe it.

Belongs here: from settings to the options of the application. Does not belong here: the application
itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from analytics_assets.automation.notifications import Channel, Message, channels, send
from analytics_assets.settings import Settings, SettingsError
from analytics_assets.streaming.anomalies import AlertsToSend, suspicions
from analytics_assets.streaming.application import StreamOptions
from analytics_assets.streaming.layout import PROGRESS, Lake
from analytics_assets.streaming.sources import FolderOfFiles, KafkaTopics
from analytics_assets.warehouse.connection import WarehouseError
from analytics_assets.warehouse.publish import current_build, open_build

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ALERTS_SHOWN = 20  # in one message
BATCH_ROWS = 100_000


def options_of(
    settings: Settings, zone: str, *, once: bool = False, skip_lost: bool = False
) -> StreamOptions:
    """The options of the application.

    Args:
        settings: the settings.
        zone: the shop's time zone.
        once: stop when all that is there has been read.
        skip_lost: go on where the broker has deleted messages that were not read.

    Raises:
        SettingsError: there is no place that events come from, or there are two.
    """
    if bool(settings.kafka_servers) == bool(settings.stream_folder):
        raise SettingsError(
            "Events come either from Kafka or from a folder: set one of ANALYTICS_KAFKA_SERVERS "
            "and ANALYTICS_STREAM_FOLDER, and not both."
        )
    messages: KafkaTopics | FolderOfFiles
    if settings.kafka_servers:
        messages = KafkaTopics(
            settings.kafka_servers,
            settings.kafka_topics,
            options=tuple(kafka_properties(settings.kafka_options).items()),
            skip_lost=skip_lost,
        )
    else:
        messages = FolderOfFiles(str(settings.stream_folder))
    found = channels(settings)
    progress = settings.home / PROGRESS
    return StreamOptions(
        messages,
        Lake(settings.lake_place),
        progress,
        zone=zone,
        rules=suspicions(settings.large_order, zone),
        read_history=lambda build: customer_history(settings.published_dir, build),
        send_alerts=AlertSender(found, AlertsToSend(progress / "alerts.sqlite")) if found else None,
        redis_url=settings.redis_url,
        live_seconds=settings.live_seconds,
        trigger=settings.stream_seconds,
        until_read=once,
    )


def kafka_properties(file: Path | None) -> dict[str, str]:
    """The properties of a file, `name=value` a line.

    Raises:
        SettingsError: a line has no `=`.
    """
    properties: dict[str, str] = {}
    for number, line in enumerate(file.read_text("utf-8").splitlines() if file else (), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, value = line.partition("=")
            if not equals:
                raise SettingsError(f"{file}, line {number}: write name=value.")
            properties[name.strip()] = value.strip()
    return properties


def producer_of(settings: Settings) -> Any:
    """A producer that sends each message once, as far as the broker can tell."""
    from confluent_kafka import Producer

    return Producer(
        {
            "bootstrap.servers": settings.kafka_servers or "",
            "enable.idempotence": True,
            "linger.ms": 50,
            **kafka_properties(settings.kafka_options),
        }
    )


def customer_history(published: Path, known: str | None) -> "tuple[str, pa.Table] | None":
    """What customers usually buy, from the newest published build.

    Args:
        published: the folder of the builds.
        known: the build that the caller has already.

    Returns:
        The build's name and its rows; None where there is none, or no newer one.
    """
    try:
        path = current_build(published)
    except WarehouseError:
        return None
    build = path.parent.name
    if build == known:
        return None
    with open_build(path) as session:
        batches = session.batches(
            "SELECT customer_id, sale_orders, average_order_value "
            "FROM marts.customer_analytics_daily WHERE snapshot_date = "
            "(SELECT max(snapshot_date) FROM marts.customer_analytics_daily)",
            BATCH_ROWS,
        )
        rows = pa.Table.from_batches(list(batches))
    return build, rows


class AlertSender:
    """Tells people of alarming purchases, each once.

    Args:
        to: the channels.
        alerts: what is to be sent.
    """

    def __init__(self, to: Sequence[Channel], alerts: AlertsToSend) -> None:
        self.to = to
        self.alerts = alerts

    def __call__(self, rows: "DataFrame") -> None:
        """Send new alerts; those that every channel refused are sent again with the next ones."""
        self.alerts.add(
            {
                row.event_id: f"{row.customer_id or 'anonymous'}, {row.order_total:,.2f}, "
                f"score {row.score}: {row.reasons}"
                for row in rows.collect()
            }
        )
        waiting = self.alerts.take()
        if not waiting:
            return
        lines = [*waiting.values()][:ALERTS_SHOWN]
        if len(waiting) > ALERTS_SHOWN:
            more = len(waiting) - ALERTS_SHOWN
            lines.append(f"and {more:,} more, in the table alerts of the lake")
        what = "purchase" if len(waiting) == 1 else "purchases"
        message = Message(
            f"{len(waiting):,} {what} to look at", tuple(lines), f"alert-{next(iter(waiting))}"
        )
        results = send(message, self.to)
        if all(problem and not problem.may_have_arrived for problem in results.values()):
            self.alerts.give_back(waiting)
