"""A real broker: copies, disorder, a restart, new partitions, messages that it has deleted."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from analytics_assets.streaming import broker
from analytics_assets.streaming.accounts import stored_records, totals
from analytics_assets.streaming.application import StreamError, StreamOptions, run_stream
from analytics_assets.streaming.sample import sample_events
from analytics_assets.streaming.sources import KafkaTopics

from .conftest import free_port, running, until
from .messages import START, event

pytestmark = pytest.mark.slow
TOPICS = ("customer-events", "purchase-events")


class Broker:
    """A broker that can be stopped and started again on its data."""

    def __init__(self, data: Path, jars: Path) -> None:
        self.data, self.jars, self.port = data, jars, free_port()
        self.stack = ExitStack()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.stack.enter_context(broker.running(self.data, self.jars, self.port))

    def stop(self) -> None:
        self.stack.close()

    def topic(self, name: str, partitions: int = 2, **config: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.address})
        created = admin.create_topics(
            [NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)]
        )
        for future in created.values():
            future.result(30)

    def send(self, topic: str, *messages: dict[str, Any] | bytes) -> None:
        producer = Producer({"bootstrap.servers": self.address, "enable.idempotence": True})
        for message in messages:
            value = message if isinstance(message, bytes) else json.dumps(message).encode()
            producer.produce(topic, value=value)
            producer.poll(0)
        assert producer.flush(60) == 0


@pytest.fixture
def kafka(tmp_path: Path, broker_jars: Path) -> Iterator[Broker]:
    server = Broker(tmp_path / "broker", broker_jars)
    server.start()
    for name in TOPICS:
        server.topic(name)
    yield server
    server.stop()


@pytest.fixture
def streamed(options: StreamOptions, kafka: Broker) -> StreamOptions:
    return replace(
        options, messages=KafkaTopics(kafka.address, TOPICS, most=1_000), queries=("lake",)
    )


def test_every_message_of_every_partition_once(
    streamed: StreamOptions, kafka: Broker, spark: Any
) -> None:
    messages = list(sample_events(3_000, START, 3600, 100, seed=3))
    kafka.send(TOPICS[0], *messages[:2_000])
    kafka.send(TOPICS[1], *messages[1_900:])  # a hundred that two producers sent
    run_stream(spark, streamed)
    kafka.stop()
    kafka.start()
    admin = AdminClient({"bootstrap.servers": kafka.address})
    for future in admin.create_partitions([NewPartitions(TOPICS[0], 4)]).values():
        future.result(30)
    kafka.send(TOPICS[0], *(event(10_000 + n, 61) for n in range(200)))
    run_stream(spark, streamed)
    account = totals(stored_records(streamed.lake))
    assert sum(part.read for part in account) == len(messages) + 100 + 200
    assert {part.partition for part in account if part.topic == TOPICS[0]} == {0, 1, 2, 3}
    for part in account:
        assert part.read == part.accepted + part.rejected + part.duplicates + part.late
        assert (part.first_offset, part.last_offset) == (0, part.read - 1)
    ids = set()
    for message in messages:
        try:
            read = json.loads(message)
        except ValueError:
            continue
        if read["event_id"] and read["event_time"] != "yesterday":
            ids.add(read["event_id"])
    rows = spark.read.format("delta").load(streamed.lake.table("events"))
    found = [row.event_id for row in rows.select("event_id").collect()]
    assert len(found) == len(set(found))
    assert set(found) == ids | {f"e{10_000 + n}" for n in range(200)}


def test_dead_letters_are_in_their_topic_with_their_reasons(
    streamed: StreamOptions, kafka: Broker, spark: Any
) -> None:
    kafka.send(TOPICS[0], b"{broken", event(1, 0))
    run_stream(spark, streamed)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.address,
            "group.id": "test",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe(["dead-letters"])
    message = consumer.poll(30)
    consumer.close()
    assert message is not None
    assert message.value() == b"{broken"
    assert dict(message.headers()) == {"reasons": b"no JSON object"}


def test_a_broker_that_is_away_is_waited_for(
    streamed: StreamOptions, kafka: Broker, spark: Any
) -> None:
    kafka.send(TOPICS[0], event(1, 0))
    patient = replace(
        streamed,
        until_read=False,
        trigger=1.0,
        messages=replace(
            streamed.messages,
            options=(("request.timeout.ms", "3000"), ("default.api.timeout.ms", "5000")),
        ),
    )

    with running(spark, patient) as said:
        until(lambda: _read(patient) == 1)
        kafka.stop()
        until(lambda: bool(said), 180)
        kafka.start()
        kafka.send(TOPICS[1], event(2, 1))
        until(lambda: _read(patient) == 2, 180)


def test_messages_that_the_broker_has_deleted_are_an_error(
    streamed: StreamOptions, kafka: Broker, spark: Any
) -> None:
    kafka.send(TOPICS[0], event(1, 0))
    run_stream(spark, streamed)
    kafka.send(TOPICS[0], *(event(number, 1) for number in range(2, 50)))
    _delete_all(kafka, TOPICS[0])
    kafka.send(TOPICS[0], event(50, 2))
    with pytest.raises(StreamError, match="has deleted messages that were not read yet"):
        run_stream(spark, streamed)
    lossy = replace(streamed, messages=replace(streamed.messages, skip_lost=True))
    run_stream(spark, lossy)
    assert _read(lossy) == 2


def _delete_all(kafka: Broker, topic: str) -> None:
    from confluent_kafka import TopicPartition

    admin = AdminClient({"bootstrap.servers": kafka.address})
    ends = [TopicPartition(topic, partition, -1) for partition in (0, 1)]
    for future in admin.delete_records(ends).values():
        future.result(30)


def _read(options: StreamOptions) -> int:
    return sum(part.read for part in totals(stored_records(options.lake)))
