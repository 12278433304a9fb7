"""Throughput and memory of the stream, next to the same queries written bare in a PySpark script.

    python benchmarks/stream.py --home /tmp/stream --jars .analytics/jars \\
        --broker-jars .analytics/kafka/jars --repeat 3 --write
    python benchmarks/stream.py ... --hours 24 --repeat 1 --write

A producer with a seed sends `--events` events of `--hours` hours to a real broker. Then the
application and the bare script (`stream_bare.py`) read them in turn, each in a process of its own
on two cores, with all queries, into a new lake and an empty Redis. Events a second are those from
the opening of the session until everything has been read. The memory is that of the process with
its children (Java, Python), each second.

Last, the sessions of the stream are compared with those that DuckDB computes in plain SQL from the
events of the lake, row for row. Late events are in no session: they are counted.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream_kills import TOPICS, free_port, kill, redis_server

from analytics_assets.streaming import broker
from analytics_assets.streaming.accounts import stored_records, totals
from analytics_assets.streaming.layout import EVENTS, SESSIONS, Lake
from analytics_assets.streaming.sample import sample_events
from analytics_assets.streaming.stored import rows_of

RESULTS = Path(__file__).parent / "results"
BARE = Path(__file__).with_name("stream_bare.py")
START = datetime(2024, 3, 1, tzinfo=UTC)
CUSTOMERS = 20_000
LIVE_SECONDS = 10 * 365 * 86400  # that keys of Redis stay
MOST = 100_000  # messages of a batch
NEEDED = {"of the bare script": 0.8, "events a second": 15_000}
SESSIONS_SQL = """
WITH events AS (
    SELECT
        coalesce(customer_id, session_id) AS visitor, customer_id, event_id, event_type, page_url,
        event_time AT TIME ZONE 'UTC' AS happened, (event_time AT TIME ZONE 'UTC')::DATE AS day
    FROM read_parquet(?) WHERE NOT is_late OR ?
),
marked AS (
    SELECT
        *,
        coalesce(happened - lag(happened) OVER visits > INTERVAL 30 MINUTE, true)::INT AS begins
    FROM events WINDOW visits AS (PARTITION BY visitor, day ORDER BY happened)
),
numbered AS (
    SELECT *, sum(begins) OVER (
        PARTITION BY visitor, day ORDER BY happened RANGE UNBOUNDED PRECEDING
    ) AS session
    FROM marked
)
SELECT
    visitor, max(customer_id), day, epoch_us(min(happened)), epoch_us(max(happened)), count(*),
    count(DISTINCT page_url), count_if(event_type = 'purchase'),
    list(event_type ORDER BY happened, event_id)
FROM numbered
GROUP BY visitor, day, session
HAVING max(happened) + INTERVAL 30 MINUTE <= make_timestamp(?)
"""


def produce(address: str, events: int, hours: float, seed: int) -> int:
    """Fill the topics."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": address})
    topics = [NewTopic(name, num_partitions=2, replication_factor=1) for name in TOPICS]
    for future in admin.create_topics(topics).values():
        future.result(60)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20})
    sent = 0
    for message in sample_events(events, START, hours * 3600, CUSTOMERS, seed):
        while True:
            try:
                producer.produce(TOPICS[sent % 3 == 0], value=message, partition=sent % 2)
                break
            except BufferError:
                producer.poll(0.1)
        sent += 1
    if producer.flush(120):
        raise RuntimeError("The broker did not take all messages.")
    return sent


def run() -> None:
    """The application, as the settings say, until it has read everything."""
    from analytics_assets.automation.stream import options_of
    from analytics_assets.settings import load_settings
    from analytics_assets.streaming.application import run_stream
    from analytics_assets.streaming.session import open_session

    settings = load_settings()
    options = options_of(settings, "UTC", once=True)
    options = replace(options, messages=replace(options.messages, most=MOST))  # type: ignore[type-var]
    spark = open_session(settings.spark_master, settings.jars_dir, settings.stream_partitions)
    began = time.monotonic()
    seconds = {}
    for query in options.queries:
        start = time.monotonic()
        run_stream(spark, replace(options, queries=(query,)))
        seconds[query] = round(time.monotonic() - start, 1)
    result = {"seconds": time.monotonic() - began, "of each query": seconds}
    (settings.home / "result.json").write_text(json.dumps(result), encoding="utf-8")
    os._exit(0)


def memory(group: int) -> int:
    """Bytes in memory of a process group and its children in groups of their own."""
    parents: dict[int, tuple[int, int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:  # it has ended
                continue
            parents[int(folder.name)] = int(fields[1]), int(fields[21])
    family, more = {group}, True
    while more:
        children = {pid for pid, (parent, _) in parents.items() if parent in family} - family
        family |= children
        more = bool(children)
    return sum(parents[pid][1] for pid in family if pid in parents) * os.sysconf("SC_PAGE_SIZE")


def measured(command: list[str], home: Path, environment: dict[str, str]) -> dict[str, Any]:
    """A run in a process group of its own: its result, and its memory each second."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    began, series = time.monotonic(), []
    with (home / "run.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**environment, "ANALYTICS_HOME": str(home)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                series.append((round(time.monotonic() - began, 1), memory(process.pid) >> 20))
                time.sleep(1)
        finally:
            kill(process)
    if process.returncode:
        raise RuntimeError(f"A run ended with {process.returncode}; {home / 'run.log'} says why.")
    return {**json.loads((home / "result.json").read_text()), "memory": series}


def compared(lake: Lake) -> dict[str, Any]:
    """The sessions of the stream against those of plain SQL over the lake's events."""
    import duckdb
    from deltalake import DeltaTable

    files = DeltaTable(lake.table(EVENTS)).file_uris()
    reached = stored_records(lake)[-1].next_watermark
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        wanted, with_late = (
            set(map(str, connection.execute(SESSIONS_SQL, [files, late, reached]).fetchall()))
            for late in (False, True)
        )
    stored = rows_of(lake, SESSIONS, f"SELECT * FROM {SESSIONS}") or []
    micros = lambda at: int(at.timestamp()) * 1_000_000 + at.microsecond  # noqa: E731
    found = [
        str(
            (
                *(row["visitor"], row["customer_id"], row["day"], micros(row["started_at"])),
                *(micros(row["last_event_at"]), row["events"], row["pages"], row["purchases"]),
                row["event_types"],
            )
        )
        for row in stored
    ]
    accounts = totals(stored_records(lake))
    return {
        "sessions of the stream": len(found),
        "sessions of the batch": len(wanted),
        "twice": len(found) - len(set(found)),
        "in one only": len(set(found) ^ wanted),
        "sessions that late events would change": len(wanted - with_late),
        "messages": {
            name: sum(getattr(part, name) for part in accounts)
            for name in ("read", "accepted", "late", "duplicates", "rejected")
        },
    }


def plot(runs: dict[str, list[dict[str, Any]]], hours: float, events: int, file: Path) -> None:
    """The memory of each run."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4))
    for (name, of), colour in zip(runs.items(), ("tab:blue", "tab:grey"), strict=True):
        for number, one in enumerate(of):
            at, megabytes = zip(*one["memory"], strict=True)
            axes.plot(at, megabytes, color=colour, label=name if number == 0 else None)
    axes.set_xlabel("seconds since the start of the process")
    axes.set_ylabel("memory, MB")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{events:,} events of {hours:g} h, all queries, two cores")
    axes.legend()
    figure.savefig(file, dpi=120, bbox_inches="tight")


def summary(of: list[dict[str, Any]], sent: int) -> dict[str, Any]:
    """What the runs of a kind have in common."""
    speeds = [sent / one["seconds"] for one in of]
    halves = [[mb for _, mb in one["memory"]][len(one["memory"]) // 2 :] for one in of]
    return {
        "events a second": [round(speed) for speed in speeds],
        "median": round(statistics.median(speeds)),
        "most memory, MB": max(mb for one in of for _, mb in one["memory"]),
        "growth in the second half, MB": [half[-2] - half[0] for half in halves],
        "seconds of each query": [one.get("of each query") for one in of],
    }


def main() -> None:
    """Measure, compare, and write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help="a new folder for everything")
    parser.add_argument("--jars", type=Path, help="of Spark")
    parser.add_argument("--broker-jars", type=Path, help="of the broker")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="write the result and the plot")
    given = parser.parse_args()
    if given.run:
        run()
    home = given.home.resolve()
    shutil.rmtree(home, ignore_errors=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    runs: dict[str, list[dict[str, Any]]] = {"the application": [], "the bare script": []}
    commands = {
        "the application": [sys.executable, __file__, "--run"],
        "the bare script": [sys.executable, str(BARE)],
    }
    with ExitStack() as servers:
        servers.enter_context(broker.running(home / "broker", given.broker_jars.resolve(), port))
        redis_url = servers.enter_context(redis_server(home / "redis"))
        sent = produce(address, given.events, given.hours, given.seed)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ANALYTICS_")},
            "ANALYTICS_KAFKA_SERVERS": address,
            "ANALYTICS_KAFKA_TOPICS": ",".join(TOPICS),
            "ANALYTICS_LIVE_SECONDS": str(LIVE_SECONDS),
            "ANALYTICS_SPARK_JARS": str(given.jars.resolve()),
            "ANALYTICS_SPARK_MASTER": "local[2]",
            "BENCHMARK_MOST": str(MOST),
        }
        for number in range(given.repeat):
            for at, (name, command) in enumerate(commands.items()):
                url = f"{redis_url}/{2 * number + at}"
                one = measured(command, home / f"{at}", {**environment, "ANALYTICS_REDIS_URL": url})
                runs[name].append(one)
                print(f"{name}: {sent / one['seconds']:,.0f} events a second", flush=True)
    ours, bare = (summary(of, sent) for of in runs.values())
    result = {
        "events": sent,
        "hours": given.hours,
        "load of the machine at the end": os.getloadavg()[0],
        "the application": ours,
        "the bare script": bare,
        "of the bare script": round(ours["median"] / bare["median"], 2),
        "needed": NEEDED,
        "stream against batch": compared(Lake(str(home / "0" / "lake"))),
    }
    if given.write:
        name = f"stream_{given.hours:g}h"
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        plot(runs, given.hours, sent, RESULTS / f"{name}.png")
    print(json.dumps(result, indent=1))
    against = result["stream against batch"]
    sys.exit(bool(against["twice"] or against["in one only"]))


if __name__ == "__main__":
    main()
