"""Dead letters: which there are, as a file to correct, and back into the stream.

Belongs here: reading their table without Spark, and sending them again. Does not belong here: why
a message becomes one (`contract`).
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analytics_assets.streaming.layout import DEAD_LETTERS, Lake
from analytics_assets.streaming.stored import rows_of


class DeadLetterError(RuntimeError):
    """Dead letters cannot be read or sent; the message says what to do."""


@dataclass(frozen=True)
class Reason:
    """Dead letters with the same reasons."""

    reasons: str
    topic: str
    letters: int
    newest: Any


def _read(lake: Lake, select: str) -> list[dict[str, Any]]:
    rows = rows_of(lake, DEAD_LETTERS, select)
    if rows is None:
        raise DeadLetterError(
            f"{lake.place} has no dead letters: no stream has run there. Check ANALYTICS_LAKE, or "
            "start `analytics-assets stream`."
        )
    return rows


def by_reason(lake: Lake) -> list[Reason]:
    """The dead letters by reasons and topic, the most frequent first.

    Raises:
        DeadLetterError: no stream has written a lake there.
    """
    rows = _read(
        lake,
        "SELECT reasons, topic, count(*) AS letters, max(received_at) AS newest "
        f"FROM {DEAD_LETTERS} GROUP BY reasons, topic ORDER BY letters DESC, reasons, topic",
    )
    return [Reason(**row) for row in rows]


def export(lake: Lake, file: Path, containing: str = "") -> int:
    """Write dead letters into a file of JSON lines, to be corrected there.

    A message that is no UTF-8 is in `value_base64`, any other in `value`.

    Args:
        lake: the lake.
        file: the file; it must not exist.
        containing: only those whose reasons contain this.

    Returns:
        How many there are.

    Raises:
        DeadLetterError: no stream has written a lake there.
    """
    rows = _read(lake, f"SELECT * FROM {DEAD_LETTERS} ORDER BY topic, partition, offset")
    written = 0
    with file.open("x", encoding="utf-8") as stream:
        for row in rows:
            if containing not in row["reasons"]:
                continue
            line = {name: row[name] for name in ("topic", "partition", "offset", "reasons")}
            value = row["value"]
            try:
                line["value"] = None if value is None else value.decode()
            except UnicodeDecodeError:
                line["value_base64"] = base64.b64encode(value).decode()
            stream.write(json.dumps(line) + "\n")
            written += 1
    return written


def messages_of(file: Path) -> Iterator[tuple[str, bytes]]:
    """Topic and message of each line of such a file.

    Raises:
        DeadLetterError: a line cannot be read.
    """
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                row = json.loads(line)
                if "value_base64" in row:
                    yield row["topic"], base64.b64decode(row["value_base64"], validate=True)
                else:
                    yield row["topic"], row["value"].encode()
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise DeadLetterError(
                    f"{file}, line {number}: not a line of `dead-letters export` "
                    f"({type(error).__name__}). Correct it; nothing was sent."
                ) from error


def replay_to_kafka(file: Path, producer: Any) -> int:
    """Send the messages of a file to their topics; those that the lake has are duplicates there.

    Args:
        file: of `export`, corrected.
        producer: a producer of confluent_kafka.

    Raises:
        DeadLetterError: a line cannot be read, or the broker did not take a message.
    """
    messages = list(messages_of(file))
    failed: list[str] = []

    def delivered(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(str(error))

    for topic, value in messages:
        producer.produce(topic, value=value, on_delivery=delivered)
        producer.poll(0)
    waiting = producer.flush(60)
    if waiting or failed:
        why = failed[0] if failed else "it did not answer within a minute"
        raise DeadLetterError(
            f"The broker did not take {waiting + len(failed):,} of {len(messages):,} messages: "
            f"{why}. Replay the file again; what has arrived becomes a duplicate."
        )
    return len(messages)


def replay_to_folder(file: Path, folder: Path) -> int:
    """Write the messages of a file into the folder that the stream reads, as a new file."""
    # A new line of JSON is space between its words; in a file it would end the message.
    values = [value.replace(b"\n", b" ") for _, value in messages_of(file)]
    target = folder / f"replay-{file.stem}.jsonl"
    if target.exists():
        raise DeadLetterError(f"{target} exists: rename {file.name}, as it was replayed before.")
    part = target.with_suffix(".part")
    part.write_bytes(b"\n".join(values) + b"\n")
    part.replace(target)
    return len(values)
