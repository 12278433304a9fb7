"""Purchases that a person should look at: a score with its reasons, and one alert for each.

Belongs here: the rules, and that an alert goes out once. Does not belong here: how it reaches
people (`automation.notifications`).

The history of a customer is that of the published build, so a stream needs no history of its own.
A purchase is written to the table of alerts once, whatever comes again; what has been sent is noted
next to the home, before it is sent, so a crash may lose an alert to people but never repeats one.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics_assets.streaming.contract import PURCHASE
from analytics_assets.streaming.layout import EVENTS, Lake

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

ALERT_COLUMNS = (
    "event_id string, customer_id string, event_time timestamp, order_total decimal(18,4), "
    "score int, reasons string, batch_id long"
)
HISTORY = "customer_id string, sale_orders long, average_order_value decimal(18,4)"
ALERT_FROM = 50  # of 100
USUAL_ORDERS = 3  # orders that a customer needs for a usual amount
MANY_AT_ONCE = 3  # purchases within an hour


@dataclass(frozen=True)
class Suspicion:
    """A rule of the score: what it adds, when, and how it is said."""

    points: int
    when: str
    reason: str


def suspicions(large: float, zone: str) -> tuple[Suspicion, ...]:
    """The rules.

    Args:
        large: money from which any order is large.
        zone: the shop's time zone.
    """
    local = f"from_utc_timestamp(event_time, '{zone}')"
    usual = f"sale_orders >= {USUAL_ORDERS} AND order_total >= 5 * average_order_value"
    return (
        Suspicion(50, f"order_total >= {large}", "a large order"),
        Suspicion(30, usual, "over five times the customer's usual order"),
        Suspicion(
            30, f"within_hour >= {MANY_AT_ONCE}", f"{MANY_AT_ONCE} or more purchases in an hour"
        ),
        # 22:00 to 06:00 goes past midnight.
        Suspicion(20, f"hour({local}) >= 22 OR hour({local}) < 6", "late at night"),
        Suspicion(10, f"dayofweek({local}) IN (1, 7)", "on a weekend"),
    )


def scored(
    purchases: "DataFrame", history: "DataFrame", recent: "DataFrame", rules: Sequence[Suspicion]
) -> "DataFrame":
    """The purchases with an alarming score, and its reasons.

    Args:
        purchases: events of the lake.
        history: a row for each customer, with the columns of `HISTORY`.
        recent: purchases of the lake, at least of the hour before each of the others.
        rules: the rules.
    """
    from pyspark.sql import functions as fn

    bought = purchases.where(f"event_type = '{PURCHASE}'").alias("bought")
    near = recent.where(f"event_type = '{PURCHASE}'").alias("near")
    within = (
        bought.join(
            near,
            fn.expr(
                "bought.customer_id = near.customer_id AND near.event_time <= bought.event_time "
                "AND near.event_time > bought.event_time - INTERVAL 1 HOUR "
                # What the lake had when it got the purchase, however far it has come since.
                "AND near.batch_id <= bought.batch_id"
            ),
        )
        .groupBy("bought.event_id")
        .agg(fn.count(fn.lit(1)).alias("within_hour"))
    )
    points = " + ".join(f"CASE WHEN {rule.when} THEN {rule.points} ELSE 0 END" for rule in rules)
    said = ", ".join(f"CASE WHEN {rule.when} THEN '{_quoted(rule.reason)}' END" for rule in rules)
    return (
        purchases.where(f"event_type = '{PURCHASE}'")
        .join(fn.broadcast(within), "event_id", "left")
        .join(history, "customer_id", "left")
        .selectExpr(
            "*", f"least({points}, 100)::INT AS score", f"concat_ws('; ', {said}) AS reasons"
        )
        .where(f"score >= {ALERT_FROM}")
        .select("event_id", "customer_id", "event_time", "order_total", "score", "reasons")
    )


def _quoted(text: str) -> str:
    return text.replace("'", "\\'")


class Anomalies:
    """Finds the alarming purchases of a batch of the lake's events.

    Args:
        spark: the session.
        lake: the lake.
        rules: the rules of the score.
        read_history: the history of customers as Arrow, and what names its build; it is read again
            when the build is another one. None where nothing is published.
    """

    def __init__(
        self,
        spark: "SparkSession",
        lake: Lake,
        rules: Sequence[Suspicion],
        read_history: "Callable[[str | None], tuple[str, pa.Table] | None]",
    ) -> None:
        self.spark = spark
        self.lake = lake
        self.rules = rules
        self._read_history = read_history
        self._build: str | None = None
        self._history = spark.createDataFrame([], HISTORY)

    def of_batch(self, events: "DataFrame") -> "DataFrame":
        """The alarming purchases among some events, late ones too."""
        from pyspark.sql import functions as fn

        newer = self._read_history(self._build)
        if newer:
            self._build, table = newer
            self._history = self.spark.createDataFrame(table).to(
                self.spark.createDataFrame([], HISTORY).schema
            )
        span: Any = (
            events.where(f"event_type = '{PURCHASE}'")
            .agg(fn.expr("unix_micros(min(event_time))"), fn.expr("unix_micros(max(event_time))"))
            .first()
        )
        if span[0] is None:
            return self.spark.createDataFrame([], ALERT_COLUMNS).drop("batch_id")
        hour = 3_600_000_000
        recent = (
            self.spark.read.format("delta")
            .load(self.lake.table(EVENTS))
            .where(
                f"event_date >= timestamp_micros({span[0] - hour})::DATE AND event_time BETWEEN "
                f"timestamp_micros({span[0] - hour}) AND timestamp_micros({span[1]})"
            )
        )
        return scored(events, self._history, recent, self.rules)


class AlertsToSend:
    """Alerts and whether they have been sent, in a file.

    Args:
        file: the file, next to what the home keeps.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS alerts (event_id TEXT PRIMARY KEY, line TEXT, "
                "waits INTEGER)"
            )

    def add(self, lines: Mapping[str, str]) -> None:
        """Note what is to be sent of each event; one that is known stays as it is."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executemany(
                "INSERT INTO alerts VALUES (?, ?, 1) ON CONFLICT DO NOTHING", lines.items()
            )

    def take(self) -> dict[str, str]:
        """The lines that wait, by event, oldest first; from now on they count as sent."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            waiting = connection.execute(
                "SELECT event_id, line FROM alerts WHERE waits ORDER BY rowid"
            ).fetchall()
            connection.execute("UPDATE alerts SET waits = 0")
        return dict(waiting)

    def give_back(self, event_ids: Iterable[str]) -> None:
        """They were refused, so they cannot have arrived: they wait again."""
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.executemany(
                "UPDATE alerts SET waits = 1 WHERE event_id = ?", [(one,) for one in event_ids]
            )
