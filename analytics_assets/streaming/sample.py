"""Events to try the stream with: visits of a shop, with the faults that real producers have.

Belongs here: making them up, with a seed. Does not belong here: the sample of orders
(`sources.sample`).
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from analytics_assets.streaming.contract import PURCHASE, VERSION

PAGES = ("/", "/search", "/cart", *(f"/product/{number}" for number in range(200)))
CATEGORIES = ("books", "garden", "kitchen", "toys")
METHODS = ("card", "invoice", "wallet")
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone)", "ShopApp/3.2 (Android)")


@dataclass(frozen=True)
class Faults:
    """Shares of events with a fault.

    Attributes:
        duplicates: sent twice.
        broken: no JSON, or against the contract.
        late: sent an hour or more after it happened.
        jitter_seconds: how far the others are out of order, as a standard deviation.
    """

    duplicates: float = 0.02
    broken: float = 0.005
    late: float = 0.005
    jitter_seconds: float = 20.0


NO_FAULTS = Faults(0, 0, 0, 0)


def sample_events(
    events: int,
    start: datetime,
    seconds: float,
    customers: int,
    seed: int,
    faults: Faults = Faults(),
) -> Iterator[bytes]:
    """Messages in the order in which they are sent.

    Args:
        events: how many events, before faults.
        start: time of the first.
        seconds: how long they take.
        customers: how many customers the shop has.
        seed: the same gives the same messages.
        faults: what is wrong with some.
    """
    random = Random(seed)
    for number in range(events):
        at = start + timedelta(seconds=seconds * number / max(events, 1))
        event = _event(random, number, seed, at, customers)
        happened = at - timedelta(seconds=abs(random.gauss(0, faults.jitter_seconds)))
        if random.random() < faults.late:
            happened = at - timedelta(hours=random.choice((1, 3, 26)))
        event["event_time"] = happened.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = json.dumps(event).encode()
        if random.random() < faults.broken:
            message = _broken(random, event)
        yield message
        if random.random() < faults.duplicates:
            yield message


def _event(random: Random, number: int, seed: int, at: datetime, customers: int) -> dict[str, Any]:
    # A customer comes back to the same visit for a few minutes.
    visit = int(at.timestamp() // 600) * 7919 + random.randrange(max(customers // 40, 1))
    customer = Random(visit).randrange(customers)
    kind = random.choices(("page_view", "click", "search", PURCHASE), (70, 20, 7, 3))[0]
    event: dict[str, Any] = {
        "event_id": f"{seed}-{number:09d}",
        "event_type": kind,
        "customer_id": f"C{customer:06d}" if customer % 5 else None,
        "session_id": f"S{visit}",
        "page_url": random.choice(PAGES),
        "user_agent": AGENTS[customer % len(AGENTS)],
        "properties": {"position": random.randrange(20)},
        "schema_version": VERSION,
    }
    if kind == PURCHASE:
        event |= {
            "order_total": round(random.lognormvariate(3.5, 0.9), 2),
            "product_category": random.choice(CATEGORIES),
            "payment_method": random.choice(METHODS),
        }
    return event


def _broken(random: Random, event: dict[str, Any]) -> bytes:
    kind = random.randrange(4)
    if kind == 0:
        return json.dumps(event).encode()[:-20]
    if kind == 1:
        return json.dumps({**event, "event_time": "yesterday"}).encode()
    if kind == 2:
        return json.dumps({**event, "event_id": None}).encode()
    return b"\xff\xfe" + json.dumps(event).encode()


def write_files(folder: Path, messages: Iterator[bytes], per_file: int) -> int:
    """Write messages into files of JSON lines, each renamed into place when it is whole.

    The time of change of a file is that of its newest event: the stream takes it for the arrival.

    Returns:
        How many messages there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    total, number, lines = 0, 0, []
    for message in messages:
        lines.append(message)
        total += 1
        if len(lines) == per_file:
            _write_file(folder, number, lines)
            number, lines = number + 1, []
    if lines:
        _write_file(folder, number, lines)
    return total


def _write_file(folder: Path, number: int, lines: list[bytes]) -> None:
    file = folder / f"events-{number:05d}.jsonl"
    part = file.with_suffix(".part")
    part.write_bytes(b"\n".join(lines) + b"\n")
    times = []
    for line in lines:
        try:
            times.append(datetime.fromisoformat(json.loads(line)["event_time"]).timestamp())
        except (ValueError, KeyError):
            continue
    if times:
        os.utime(part, (max(times), max(times)))
    part.replace(file)
