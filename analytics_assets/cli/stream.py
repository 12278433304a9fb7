"""Commands of the stream: run it, try it, and look after its dead letters."""

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analytics_assets.cli.common import (
    clear_errors,
    project_errors,
    read_settings,
    read_sources,
)
from analytics_assets.compat.interpreter import exit_at_once
from analytics_assets.settings import Settings, SettingsError

if TYPE_CHECKING:
    from analytics_assets.streaming.layout import Lake

PACKAGES = ("pyspark", "deltalake", "redis", "confluent_kafka")


def _require_extra() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"{', '.join(missing)} is not installed: install the extra streaming "
            "(pip install 'analytics_assets[streaming]'). It also needs Java 17."
        )


def _lake(settings: Settings) -> "Lake":
    from analytics_assets.streaming.layout import Lake

    return Lake(settings.lake_place)


@click.command()
@click.option("--once", is_flag=True, help="Stop when all that is there has been read.")
@click.option(
    "--skip-lost", is_flag=True, help="Go on where the broker has deleted what was not read."
)
def stream(once: bool, skip_lost: bool) -> None:
    """Read events from Kafka or a folder into the lake, until stopped.

    Set ANALYTICS_KAFKA_SERVERS or ANALYTICS_STREAM_FOLDER.
    """
    _require_extra()
    settings = read_settings()
    with project_errors(), clear_errors(*_stream_errors()):
        from analytics_assets.automation.stream import options_of
        from analytics_assets.streaming.application import run_stream
        from analytics_assets.streaming.session import open_session

        zone = read_sources(settings).calendar.zone
        options = options_of(settings, zone, once=once, skip_lost=skip_lost)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: options.stopped.set())
        spark = open_session(settings.spark_master, settings.jars_dir, settings.stream_partitions)
        click.echo(f"Reading {options.messages} into {options.lake.place}.")
        try:
            run_stream(spark, options, lambda line: click.echo(line, err=True))
        finally:
            spark.stop()
    _print_accounts(settings)
    # Threads with which Spark calls Python do not end by themselves.
    sys.stdout.flush()
    exit_at_once(0)


def _stream_errors() -> tuple[type[Exception], ...]:
    from analytics_assets.streaming.application import StreamError
    from analytics_assets.streaming.dead_letters import DeadLetterError
    from analytics_assets.streaming.session import JarsError

    return StreamError, DeadLetterError, JarsError, SettingsError


@click.command("stream-jars")
def stream_jars() -> None:
    """Get the jars of Delta and Kafka with Maven, once."""
    settings = read_settings()
    from analytics_assets.streaming.session import DECLARED

    _copy_jars(DECLARED, settings.jars_dir)
    click.echo(f"{len(list(settings.jars_dir.glob('*.jar')))} jars in {settings.jars_dir}")


def _copy_jars(declared: Path, folder: Path) -> None:
    """Let Maven copy the jars of a project file into a folder."""
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(declared)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        raise click.ClickException(
            "Maven is not installed (mvn). Install it, or copy the jars that "
            f"{declared} names into {folder}."
        ) from None
    except subprocess.CalledProcessError as error:
        raise click.ClickException(
            f"Maven ended with {error.returncode}; its own lines above say why. Try again."
        ) from error


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=9092, show_default=True)
def kafka(port: int) -> None:
    """Start a Kafka broker of one node on the loopback, to try the stream with, until stopped."""
    settings = read_settings()
    from analytics_assets.streaming import broker

    folder = settings.home / "kafka"
    jars = folder / "jars"
    if not any(jars.glob("kafka_2.13-*.jar")):
        _copy_jars(broker.DECLARED, jars)
    with broker.running(folder / "data", jars, port) as process:
        click.echo(
            f"Kafka listens on 127.0.0.1:{port}; its log is {folder / 'data' / 'broker.log'}."
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: process.terminate())
        process.wait()


@click.command("stream-sample")
@click.option("--events", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--minutes", type=click.IntRange(1), default=90, show_default=True)
@click.option(
    "--from",
    "start",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]),
    default="2024-03-01T08:00:00",
    show_default=True,
    help="Time of the first event, UTC.",
)
def stream_sample(events: int, minutes: int, start: datetime) -> None:
    """Write sample events into ANALYTICS_STREAM_FOLDER, or send them to Kafka."""
    _require_extra()
    settings = read_settings()
    from analytics_assets.streaming.sample import sample_events, write_files

    messages = sample_events(
        events, start.replace(tzinfo=UTC), minutes * 60.0, 2_000, settings.seed
    )
    if settings.kafka_servers:
        from analytics_assets.automation.stream import producer_of

        producer = producer_of(settings)
        total = 0
        for message in messages:
            producer.produce(settings.kafka_topics[0], value=message)
            producer.poll(0)
            total += 1
        if producer.flush(60):
            raise click.ClickException("The broker did not take all events within a minute.")
        click.echo(f"{total:,} messages sent to {settings.kafka_topics[0]}.")
        return
    folder = _folder(settings)
    if any(folder.glob("*.jsonl")):
        click.echo(f"{folder} has events already.")
        return
    click.echo(f"{write_files(folder, messages, 5_000):,} messages in {folder}.")


def _folder(settings: Settings) -> Path:
    if settings.stream_folder is None:
        raise click.ClickException(
            "Neither ANALYTICS_KAFKA_SERVERS nor ANALYTICS_STREAM_FOLDER is set. Set one of them."
        )
    return settings.stream_folder


@click.command("stream-status")
def stream_status() -> None:
    """What was read, kept, rejected and late, by topic and partition."""
    _require_extra()
    _print_accounts(read_settings())


def _print_accounts(settings: Settings) -> None:
    from analytics_assets.streaming.accounts import stored_records, totals

    records = stored_records(_lake(settings))
    if not records:
        click.echo(f"No batch has been written to {settings.lake_place}.")
        return
    rows = [
        (
            f"{part.topic} {part.partition}",
            *(f"{number:,}" for number in (part.read, part.accepted, part.late)),
            *(f"{number:,}" for number in (part.duplicates, part.rejected)),
        )
        for part in totals(records)
    ]
    click.echo(_table(("topic, partition", "read", "in time", "late", "twice", "rejected"), rows))
    after = records[-1].next_watermark
    if after is not None:
        seen = datetime.fromtimestamp(after / 1e6, UTC)
        click.echo(f"{len(records):,} batches; complete up to {seen:%Y-%m-%d %H:%M:%S} UTC.")


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [heads, *rows]
    ]
    return "\n".join(lines)


@click.command()
@click.argument("kind", type=click.Choice(["activity", "purchases"]), default="activity")
@click.option("--of", default="*", help="A customer, or a type of event.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
def live(kind: str, of: str, limit: int) -> None:
    """Show the live numbers, the newest window first: from Redis, or from the lake without it."""
    _require_extra()
    settings = read_settings()
    from analytics_assets.streaming.live import newest_windows, read_live

    with clear_errors(*_stream_errors()):
        found = (
            list(read_live(settings.redis_url, kind, of))
            if settings.redis_url
            else newest_windows(_lake(settings), kind, of)
        )
    if not found:
        click.echo("There are no live numbers.")
        return
    shown = [name for name in found[0] if name not in ("batch_id", "window_end")]
    rows = [tuple(_cell(row[name]) for name in shown) for row in found[:limit]]
    click.echo(_table(tuple(shown), rows))


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)


@click.group("dead-letters")
def dead_letters() -> None:
    """Messages that could not be read or break the contract."""
    _require_extra()


@dead_letters.command("list")
def list_letters() -> None:
    """Count them by reason."""
    from analytics_assets.streaming.dead_letters import by_reason

    with clear_errors(*_stream_errors()):
        found = by_reason(_lake(read_settings()))
    if not found:
        click.echo("There are no dead letters.")
        return
    rows = [(reason.reasons, reason.topic, f"{reason.letters:,}") for reason in found]
    click.echo(_table(("reasons", "topic", "messages"), rows))


@dead_letters.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--containing", default="", help="Only those whose reasons contain this.")
def export_letters(file: Path, containing: str) -> None:
    """Write them into a new file of JSON lines, to be corrected and replayed."""
    from analytics_assets.streaming.dead_letters import export

    if file.exists():
        raise click.ClickException(f"{file} exists: name a new file.")
    with clear_errors(*_stream_errors(), OSError):
        click.echo(f"{export(_lake(read_settings()), file, containing):,} messages in {file}.")


@dead_letters.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def replay_letters(file: Path) -> None:
    """Send the messages of such a file again: to their topics, or into ANALYTICS_STREAM_FOLDER."""
    settings = read_settings()
    from analytics_assets.streaming import dead_letters as letters

    send: Callable[[], int]
    if settings.kafka_servers:
        from analytics_assets.automation.stream import producer_of

        send = lambda: letters.replay_to_kafka(file, producer_of(settings))  # noqa: E731
    else:
        send = lambda: letters.replay_to_folder(file, _folder(settings))  # noqa: E731
    with clear_errors(*_stream_errors()):
        click.echo(f"{send():,} messages sent again.")
