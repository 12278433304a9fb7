"""Messages of the tests, and what an independent reader makes of them."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2024, 3, 1, 8, tzinfo=UTC)
DELAY = timedelta(minutes=10)
TEN_YEARS = 10 * 365 * 86400  # seconds that the live numbers of 2024 stay
# A session of a test is short: a compiler that takes its time would cost more than it saves.
QUICK = {
    "spark.ui.enabled": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
    "-XX:ReservedCodeCacheSize=256m",  # that compiler's own limit of 48 MB is soon reached
}


def event(number: int, minutes: float, **fields: Any) -> dict[str, Any]:
    """An event some minutes after the start."""
    at = START + timedelta(minutes=minutes)
    return {
        "event_id": f"e{number}",
        "event_type": "page_view",
        "customer_id": "C1",
        "event_time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **fields,
    }


def write(folder: Path, number: int, messages: Iterable[dict[str, Any] | bytes]) -> Path:
    """A file of messages, which arrives after all of them have happened."""
    lines = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
    file = folder / f"{number:03d}.jsonl"
    part = file.with_suffix(".part")
    part.write_bytes(b"\n".join(lines) + b"\n")
    arrived = (START + timedelta(days=2, seconds=number)).timestamp()
    os.utime(part, (arrived, arrived))
    part.rename(file)
    return file


@dataclass
class Expected:
    """What the messages of some files come to, read one after the other."""

    events: dict[str, dict[str, Any]]
    late: set[str]
    duplicates: int
    rejected: list[bytes]
    read: int


def expected(files: Iterable[Path]) -> Expected:
    """Read files with the standard library alone; each file is a batch."""
    result = Expected({}, set(), 0, [], 0)
    newest: datetime | None = None
    for file in files:
        reached = newest
        for line in file.read_bytes().splitlines():
            if not line.strip():
                continue
            result.read += 1
            try:
                read = json.loads(line)
                at = datetime.fromisoformat(read["event_time"])
                assert read["event_id"]
                assert read["event_type"]
            except (ValueError, KeyError, TypeError, AssertionError):
                result.rejected.append(line)
                continue
            if read["event_id"] in result.events:
                result.duplicates += 1
            else:
                result.events[read["event_id"]] = {**read, "at": at}
                if newest is not None and at < newest - DELAY:
                    result.late.add(read["event_id"])
            reached = max(reached, at) if reached else at
        newest = reached
    return result
