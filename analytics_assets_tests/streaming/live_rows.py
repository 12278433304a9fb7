"""Windows of a stream in Redis, written as the stream writes them, for tests of readers."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from analytics_assets.streaming.layout import ACTIVITY, PURCHASES
from analytics_assets.streaming.live import BY, LiveNumbers
from analytics_assets.streaming.live_now import EPOCH, Mark

KEEP_SECONDS = 3 * 3600


@dataclass
class Window:
    """A row of a window."""

    window_start: datetime
    window_end: datetime
    last_event_at: datetime

    def asDict(self) -> dict[str, Any]:  # noqa: N802 (as rows of Spark have it)
        return asdict(self)


@dataclass
class Bought(Window):
    customer_id: str
    purchases: int
    total: Decimal


@dataclass
class Happened(Window):
    event_type: str
    events: int
    visitors: int = 1
    sessions: int = 1


def quarter(at: datetime) -> datetime:
    """The last quarter of an hour, at which windows of both kinds end."""
    return EPOCH + (at - EPOCH) // timedelta(minutes=15) * timedelta(minutes=15)


def bought(url: str, end: datetime, customer: str, purchases: int, total: str) -> None:
    """Purchases of a customer in the hour before a time."""
    start = end - timedelta(hours=1)
    numbers = LiveNumbers(url, PURCHASES, BY[PURCHASES], "purchases", KEEP_SECONDS)
    numbers.write([Bought(start, end, start, customer, purchases, Decimal(total))])


def happened(url: str, end: datetime, kind: str, events: int) -> None:
    """Events of a type in the five minutes before a time."""
    start = end - timedelta(minutes=5)
    numbers = LiveNumbers(url, ACTIVITY, BY[ACTIVITY], "events", KEEP_SECONDS)
    numbers.write([Happened(start, end, start, kind, events)])


def marks(url: str, *, is_new: bool = True) -> list[Mark]:
    """The marks of both queries, as the application has them when it starts."""
    found = [Mark(url, kind, KEEP_SECONDS, is_new) for kind in (PURCHASES, ACTIVITY)]
    note(found, -1, EPOCH)
    return found


def note(found: list[Mark], batch: int, watermark: datetime) -> None:
    """Both queries are at a batch."""
    for mark in found:
        mark.note(batch, watermark)


def write_live(url: str) -> datetime:
    """A stream that runs: 3 purchases of 2 customers for 30.75, and 7 events.

    Returns:
        The time up to which it is whole.
    """
    end = quarter(datetime.now(UTC))
    found = marks(url)
    for customer, purchases, total in (("C1", 1, "10.5000"), ("C:2", 2, "20.2500")):
        bought(url, end, customer, purchases, total)
        bought(url, end + timedelta(minutes=15), customer, 9, "99.0000")  # it still changes
    happened(url, end, "page_view", 4)
    happened(url, end - timedelta(minutes=5), "purchase", 3)
    happened(url, end + timedelta(minutes=5), "purchase", 99)
    note(found, 0, end + timedelta(minutes=1))
    return end
