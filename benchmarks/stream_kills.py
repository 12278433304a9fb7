"""Kills the stream at random moments: afterwards all is as in a run that nobody disturbed.

    python benchmarks/stream_kills.py --home /tmp/stream-kills --jars .analytics/jars \\
        --broker-jars .analytics/kafka/jars --kills 50 --write

A producer with a seed fills two topics of a real broker: copies, disorder, late events and broken
messages; the broker is restarted while it sends, so it sends some again; one topic gets more
partitions. Then the application reads them into a lake and into Redis, in batches of a given size,
so each run plans the same batches. Again and again its processes are killed at once (SIGKILL), at a
moment that is drawn: up to `--within` seconds after its session has opened, or, every other time,
after it has finished a batch, so that a busy machine comes further, too. The last run reads the
rest.

Another lake and another Redis come from a run that is not disturbed. Then both have the same rows:
events, dead letters and accounts with their batches; sessions, alerts, and the newest state of each
window; every key of Redis with its time to live. The account of each partition closes, and its
offsets are those of the broker. Ctrl-C (SIGINT) ends the killing early, and compares.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analytics_assets.streaming import broker
from analytics_assets.streaming.accounts import BatchRecord, stored_records, totals
from analytics_assets.streaming.layout import (
    ACTIVITY,
    ALERTS,
    DEAD_LETTERS,
    EVENTS,
    PURCHASES,
    SESSIONS,
    Lake,
)
from analytics_assets.streaming.live import BY, PREFIX
from analytics_assets.streaming.sample import sample_events
from analytics_assets.streaming.stored import rows_of

RESULT = Path(__file__).parent / "results" / "stream_kills.json"
TOPICS = ("customer-events", "purchase-events")
START = datetime(2024, 3, 1, 20, tzinfo=UTC)
SECONDS = 4 * 3600.0  # past midnight, so sessions end with the day, too
TEN_YEARS = 10 * 365 * 86400  # that keys of Redis stay
LONGEST_LIFE = 60.0  # seconds that a run has for a batch; there may be none left
PATIENCE = 1800.0  # a run that takes longer waits for something that never comes
TABLES = (EVENTS, DEAD_LETTERS, SESSIONS, PURCHASES, ACTIVITY, ALERTS)


@dataclass(frozen=True)
class Place:
    """A lake and its live numbers, with what a run needs to fill them."""

    home: Path
    servers: str
    redis: str
    jars: Path
    most: int

    @property
    def lake(self) -> Lake:
        """Where the tables are."""
        return Lake(str(self.home / "lake"))

    def commits(self) -> int:
        """How many batches the first query has finished."""
        folder = Path(self.lake.checkpoint("lake"), "commits")
        return sum(file.name.isdigit() for file in folder.glob("*"))

    def start(self, *, once: bool) -> "subprocess.Popen[str]":
        """A run of the application, in a process group of its own."""
        self.home.mkdir(parents=True, exist_ok=True)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ANALYTICS_")},
            "ANALYTICS_HOME": str(self.home),
            "ANALYTICS_KAFKA_SERVERS": self.servers,
            "ANALYTICS_KAFKA_TOPICS": ",".join(TOPICS),
            "ANALYTICS_REDIS_URL": self.redis,
            "ANALYTICS_LIVE_SECONDS": str(TEN_YEARS),
            "ANALYTICS_LARGE_ORDER": "60",
            "ANALYTICS_SPARK_JARS": str(self.jars),
            "ANALYTICS_SPARK_MASTER": "local[2]",
            "ANALYTICS_STREAM_SECONDS": "1",
            "ANALYTICS_STREAM_PARTITIONS": "2",
        }
        command = [sys.executable, __file__, "--run", str(self.most), *(["--once"] * once)]
        with (self.home / "run.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )


def run(most: int, once: bool) -> None:
    """What a run is: the application of the settings, with batches of a given size."""
    from analytics_assets.automation.stream import options_of
    from analytics_assets.settings import load_settings
    from analytics_assets.streaming.application import run_stream
    from analytics_assets.streaming.session import open_session

    settings = load_settings()
    options = options_of(settings, "UTC", once=once)
    options = replace(options, messages=replace(options.messages, most=most))  # type: ignore[type-var]
    spark = open_session(
        settings.spark_master,
        settings.jars_dir,
        settings.stream_partitions,
        # A short life has no use for a compiler that takes its time.
        {
            "spark.ui.enabled": "false",
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
            "-XX:ReservedCodeCacheSize=256m",
        },
    )
    print("open", flush=True)
    run_stream(spark, options)
    print("read", flush=True)
    os._exit(0)


def kill(process: "subprocess.Popen[str]") -> None:
    """End the group of a run at once."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def to_the_end(process: "subprocess.Popen[str]", home: Path) -> None:
    """Wait until a run has read everything."""
    try:
        said, _ = process.communicate(timeout=PATIENCE)
    finally:
        kill(process)
    if process.returncode or "read" not in said.split():
        raise RuntimeError(f"A run ended with {process.returncode}; {home / 'run.log'} says why.")


def free_port() -> int:
    """A port that nobody listens on, and the next one neither."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with suppress(OSError):
                next_one.bind(("127.0.0.1", port + 1))
                return port


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """A Redis of its own; its address, without a database."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def produce(address: str, restart: Any, events: int, seed: int) -> dict[str, int]:
    """Fill the topics; a topic grows near the beginning, the broker is restarted after a third.

    Returns:
        What the producer sent, and how often it had to try again.
    """
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

    admin = AdminClient({"bootstrap.servers": address})
    topics = [NewTopic(name, num_partitions=2, replication_factor=1) for name in TOPICS]
    for future in admin.create_topics(topics).values():
        future.result(60)
    seen = {"sent": 0, "refused": 0, "retries": 0}

    def statistics(text: str) -> None:
        brokers = json.loads(text)["brokers"].values()
        seen["retries"] = max(seen["retries"], sum(one.get("txretries", 0) for one in brokers))

    def delivered(error: Any, _: Any) -> None:
        seen["refused" if error else "sent"] += 1

    settings = {
        "bootstrap.servers": address,
        "enable.idempotence": True,
        "statistics.interval.ms": 200,
        "stats_cb": statistics,
        "log_level": 0,
        "sticky.partitioning.linger.ms": 0,  # otherwise one partition gets minutes at once
    }
    producer = Producer(settings)
    draw = random.Random(seed)
    for number, message in enumerate(sample_events(events, START, SECONDS, 400, seed)):
        if number == events // 3:
            restart()
        if number == events // 50:  # later ones would make most events of the others late
            for future in admin.create_partitions([NewPartitions(TOPICS[0], 4)]).values():
                future.result(60)
            producer.flush(60)
            producer = Producer(settings)  # one that knows the new partitions
        topic = TOPICS[draw.random() < 0.3]
        producer.produce(topic, value=message, on_delivery=delivered)
        producer.poll(0)
    if producer.flush(120) or seen["refused"]:
        raise RuntimeError(f"The broker did not take all messages: {seen}")
    return seen


def offsets(address: str) -> dict[str, int]:
    """How many messages each partition has, as the broker says."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "count"})
    try:
        return {
            f"{topic} {partition}": consumer.get_watermark_offsets(
                TopicPartition(topic, partition), 60
            )[1]
            for topic in TOPICS
            for partition in consumer.list_topics(topic, 60).topics[topic].partitions
        }
    finally:
        consumer.close()


def contents(place: Place) -> dict[str, Counter[str]]:
    """Everything that a run leaves, row for row."""
    import redis

    found: dict[str, Counter[str]] = {}
    for name in TABLES:
        select = f"SELECT * FROM {name}"
        if name in BY:  # each state of a window is there; the newest counts
            select += (
                f" QUALIFY row_number() OVER (PARTITION BY {BY[name]}, window_start "
                "ORDER BY batch_id DESC) = 1"
            )
        rows = rows_of(place.lake, name, select) or []
        # The batches of the queries that follow depend on when they looked at the lake.
        left = () if name in (EVENTS, DEAD_LETTERS) else ("batch_id",)
        found[name] = Counter(
            str([(k, v) for k, v in row.items() if k not in left]) for row in rows
        )
    found["accounts"] = Counter(
        str((record.batch, record.watermark, record.next_watermark, record.parts))
        for record in stored_records(place.lake)
    )
    client = redis.Redis.from_url(place.redis, decode_responses=True)
    live: Counter[str] = Counter()
    for key in client.scan_iter("*"):
        if key.startswith(f"{PREFIX}:stream:"):
            continue  # how far the queries are, and when they were seen
        state: dict[str, Any] = client.hgetall(key)  # type: ignore[assignment]
        values = json.loads(state.pop("values"))
        values.pop("batch_id")
        live[
            str((key, sorted(state.items()), sorted(values.items()), client.pexpiretime(key)))
        ] += 1
    client.close()
    found["live numbers"] = live
    return found


def faults_of(records: list[BatchRecord], there: dict[str, int]) -> list[str]:
    """Where the account of a partition does not close."""
    faults = []
    parts = {f"{part.topic} {part.partition}": part for part in totals(records)}
    for name, count in there.items():
        part = parts.get(name)
        if part is None:
            faults += [f"{name}: {count} messages have no account"] if count else []
        elif part.read != part.accepted + part.rejected + part.duplicates + part.late:
            faults.append(f"{name}: the account does not close: {asdict(part)}")
        elif (part.first_offset, part.last_offset + 1, part.read) != (0, count, count):
            faults.append(f"{name}: the broker has {count}: {asdict(part)}")
    return faults


def compared(disturbed: Place, calm: Place, there: dict[str, int]) -> dict[str, Any]:
    """The rows of both runs, and how they differ."""
    ours, wanted = contents(disturbed), contents(calm)
    faults = []
    for place, name in ((disturbed, "killed"), (calm, "undisturbed")):
        faults += [f"{name}: {fault}" for fault in faults_of(stored_records(place.lake), there)]
    for name, rows in wanted.items():
        if not rows:
            faults.append(f"{name}: there is nothing to compare")
        for sign, difference in (("more", ours[name] - rows), ("missing", rows - ours[name])):
            if difference:
                example = next(iter(difference))[:600]
                faults.append(f"{name}: {difference.total()} {sign}, such as {example}")
    accounts = totals(stored_records(disturbed.lake))
    return {
        "rows compared": {name: rows.total() for name, rows in wanted.items()},
        "messages": {
            name: sum(getattr(part, name) for part in accounts)
            for name in ("read", "accepted", "late", "duplicates", "rejected")
        },
        "messages of each partition": there,
        "batches": len(stored_records(disturbed.lake)),
        "faults": faults,
    }


def killed(place: Place, kills: int, within: float, seed: int) -> list[dict[str, Any]]:
    """Start the application and kill it, so many times."""
    draw = random.Random(seed)
    done: list[dict[str, Any]] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup would ignore it
    with suppress(KeyboardInterrupt):
        while len(done) < kills:
            process = place.start(once=False)
            try:
                assert process.stdout is not None
                if process.stdout.readline().strip() != "open":
                    raise RuntimeError(f"A run did not start; see {place.home / 'run.log'}.")
                opened, before = time.monotonic(), place.commits()
                while (
                    len(done) % 2
                    and place.commits() == before
                    and process.poll() is None
                    and time.monotonic() - opened < LONGEST_LIFE
                ):
                    time.sleep(0.1)
                time.sleep(draw.uniform(0, within))
                ended, after = process.poll(), round(time.monotonic() - opened, 2)
            finally:
                kill(process)
            if ended is not None:
                raise RuntimeError(f"A run ended by itself; see {place.home / 'run.log'}.")
            done.append({"after": after, "batches": place.commits()})
            print(f"kill {len(done)}: {done[-1]}", flush=True)
    return done


def main() -> None:
    """Kill as often as asked, compare, and write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help="a new folder for everything")
    parser.add_argument("--jars", type=Path, help="of Spark")
    parser.add_argument("--broker-jars", type=Path, help="of the broker")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--within", type=float, default=20.0, help="seconds")
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--most", type=int, default=1_000, help="messages of a batch")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true", help=f"write the result to {RESULT.name}")
    given = parser.parse_args()
    if given.run:
        run(given.run, given.once)
    home = given.home.resolve()
    shutil.rmtree(home, ignore_errors=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    with ExitStack() as servers:
        brokers = servers.enter_context(ExitStack())

        def start_broker() -> None:
            running = broker.running(home / "broker", given.broker_jars.resolve(), port)
            brokers.enter_context(running)

        def restart() -> None:
            brokers.close()
            start_broker()

        start_broker()
        redis_url = servers.enter_context(redis_server(home / "redis"))
        produced = produce(address, restart, given.events, given.seed)
        there = offsets(address)
        print(f"{sum(there.values()):,} messages in {there}", flush=True)
        disturbed, calm = (
            Place(home / name, address, f"{redis_url}/{n}", given.jars.resolve(), given.most)
            for n, name in enumerate(("killed", "undisturbed"))
        )
        reference = calm.start(once=True)
        try:
            kills = killed(disturbed, given.kills, given.within, given.seed)
            to_the_end(disturbed.start(once=True), disturbed.home)
            to_the_end(reference, calm.home)
        finally:
            kill(reference)
        result = {
            "seed": given.seed,
            "kills": len(kills),
            "batches after each kill": [one["batches"] for one in kills],
            "seconds of life": [one["after"] for one in kills],
            "producer": produced,
            **compared(disturbed, calm, there),
        }
    if given.write:
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    sys.exit(bool(result["faults"]))


if __name__ == "__main__":
    main()
