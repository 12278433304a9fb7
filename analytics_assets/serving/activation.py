"""Activation: what changed about customers goes to the systems that act on it.

Belongs here: which values go out, of whom, and what changed since a destination last took them.
Does not belong here: how a destination takes them (`destinations`).

The ledger has a hash of what each destination has last taken of each customer. Only other values go
out, a batch at a time; a batch is in the ledger once the destination has taken it. After a crash it
may come a second time, as the same batch under the same key.
"""

import hashlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.publish import open_build
from analytics_assets.warehouse.session import Session

CUSTOMERS, PREDICTIONS = TABLES["user_analytics"], TABLES["churn_predictions"]
CHUNK = 20_000
DIGITS = 2  # of a probability: every customer's changes a little each day


class ActivationError(RuntimeError):
    """A destination did not take all rows; the message says what to do."""


@dataclass(frozen=True)
class CustomerRow:
    """What is sent of a customer.

    Attributes:
        customer_id: the customer.
        build: the build that says so.
        segment_on: day of the segments.
        segment: the segment.
        value_segment: the segment by value.
        predicted_on: day of the prediction; None where there is none.
        churn_probability: probability of churn, rounded to two digits.
        risk_band: its band.
    """

    customer_id: str
    build: str
    segment_on: date
    segment: str
    value_segment: str
    predicted_on: date | None
    churn_probability: float | None
    risk_band: str | None

    @property
    def digest(self) -> bytes:
        """A hash of the values that make a row go out again."""
        values = (self.segment, self.value_segment, self.churn_probability, self.risk_band)
        return hashlib.blake2b(repr(values).encode(), digest_size=8).digest()


class Destination(Protocol):
    """A system that takes rows."""

    @property
    def name(self) -> str:
        """Its name in the ledger."""

    @property
    def batch(self) -> int | None:
        """Rows that it takes at once; None for all."""

    def send(self, build: str, rows: Sequence[CustomerRow]) -> None:
        """Send rows; the same rows a second time change nothing.

        Raises:
            ActivationError: they may not have been taken.
        """

    def forget(self, customers: Sequence[str]) -> None:
        """Remove customers who are not to be known any more, where that is possible."""


@dataclass(frozen=True)
class Delivery:
    """What went to a destination: numbers of customers."""

    sent: int
    unchanged: int
    forgotten: int


class Ledger:
    """What each destination has last taken.

    Args:
        path: its file; it is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS taken (destination TEXT, customer_id TEXT, build TEXT, "
            "digest BLOB, PRIMARY KEY (destination, customer_id)) WITHOUT ROWID"
        )
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS deliveries (at TEXT, destination TEXT, build TEXT, "
            "customers INTEGER, event TEXT)"
        )

    def taken(self, destination: str) -> dict[str, bytes]:
        """The hash of each customer that a destination knows."""
        found = self._connection.execute(
            "SELECT customer_id, digest FROM taken WHERE destination = ?", (destination,)
        )
        return dict(found)

    def note(self, destination: str, build: str, rows: Sequence[CustomerRow]) -> None:
        """A destination has taken rows."""
        with self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?)",
                [(destination, row.customer_id, build, row.digest) for row in rows],
            )
            self._say(destination, build, len(rows), "taken")

    def forget(self, destination: str, build: str, customers: Sequence[str]) -> None:
        """A destination does not know customers any more."""
        with self._transaction():
            self._connection.executemany(
                "DELETE FROM taken WHERE destination = ? AND customer_id = ?",
                [(destination, customer) for customer in customers],
            )
            self._say(destination, build, len(customers), "forgotten")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _say(self, destination: str, build: str, customers: int, event: str) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._connection.execute(
            "INSERT INTO deliveries VALUES (?, ?, ?, ?, ?)",
            (at, destination, build, customers, event),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def deliver(
    build: Path, destination: Destination, ledger: Ledger, excluded: Collection[str] = ()
) -> Delivery:
    """Send what changed to a destination.

    Args:
        build: file of the build.
        destination: the destination.
        ledger: what it has taken before.
        excluded: customers of whom nothing is sent.

    Raises:
        ActivationError: it did not take all of it; what it took is in the ledger.
    """
    number, known = build.parent.name, ledger.taken(destination.name)
    gone, changed, unchanged = set(known), [], 0
    with open_build(build) as session:
        for row in _rows(session, number):
            if row.customer_id in excluded:
                continue
            gone.discard(row.customer_id)
            if known.get(row.customer_id) == row.digest:
                unchanged += 1
            else:
                changed.append(row)
    if gone:  # erased, or excluded since
        destination.forget(sorted(gone))
        ledger.forget(destination.name, number, sorted(gone))
    step = destination.batch or max(len(changed), 1)
    for first in range(0, len(changed), step):
        batch = changed[first : first + step]
        destination.send(number, batch)
        ledger.note(destination.name, number, batch)
    return Delivery(len(changed), unchanged, len(gone))


def excluded_customers(file: Path | None) -> frozenset[str]:
    """The customers of a file, one a line."""
    if file is None:
        return frozenset()
    return frozenset(line.strip() for line in file.read_text("utf-8-sig").splitlines())


def _rows(session: Session, build: str) -> Iterator[CustomerRow]:
    scored = "NULL::DATE, NULL::DOUBLE, NULL::VARCHAR"
    joined = ""
    if session.exists(PREDICTIONS):
        newest = f"(SELECT max(snapshot_date) FROM {PREDICTIONS.relation})"
        scored = f"p.snapshot_date, round(p.churn_probability, {DIGITS}), p.risk_band"
        joined = (
            f"LEFT JOIN {PREDICTIONS.relation} AS p "
            f"ON p.customer_id = c.customer_id AND p.snapshot_date = {newest}"
        )
    sql = (
        f"SELECT c.customer_id, c.snapshot_date, c.segment, c.value_segment, {scored} "
        f"FROM {CUSTOMERS.relation} AS c {joined} ORDER BY c.customer_id"
    )
    for chunk in session.chunks(sql, size=CHUNK):
        for customer, day, segment, value_segment, predicted_on, probability, band in chunk:
            yield CustomerRow(
                *(customer, build, day, segment, value_segment, predicted_on, probability, band)
            )
