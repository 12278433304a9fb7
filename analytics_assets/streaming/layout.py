"""Where the stream keeps what it writes, and the times that it counts by.

Belongs here: names, places and times, without Spark. Does not belong here: what is in the tables
(`lake`, `windows`, `anomalies`).
"""

from dataclasses import dataclass
from datetime import timedelta

EVENTS = "events"
DEAD_LETTERS = "dead_letters"
SESSIONS = "sessions"
PURCHASES = "purchases"
ACTIVITY = "activity"
ALERTS = "alerts"
# The queries of the application; each has a checkpoint of its own. The others read what the first
# has written.
PROGRESS = "stream"  # folder in the home: how far the queries are, and which alerts were sent
QUERIES = ("lake", SESSIONS, PURCHASES, ACTIVITY, ALERTS)
DELAY = timedelta(minutes=10)  # that the watermark is behind the newest event
GAP = timedelta(minutes=30)  # without an event, after which a session has ended
# Windows: how long one is, and how much later the next one begins.
LENGTHS = {ACTIVITY: timedelta(minutes=5), PURCHASES: timedelta(hours=1)}
STEPS = {ACTIVITY: timedelta(minutes=5), PURCHASES: timedelta(minutes=15)}


def in_seconds(span: timedelta) -> str:
    """A time as Spark and SQL write it."""
    return f"{span // timedelta(seconds=1)} seconds"


@dataclass(frozen=True)
class Lake:
    """A folder of Delta tables, on this machine or in an object store.

    Attributes:
        place: its path or address.
    """

    place: str

    def table(self, name: str) -> str:
        """The place of a table."""
        return f"{self.place.rstrip('/')}/{name}"

    def checkpoint(self, query: str) -> str:
        """The place of a query's checkpoint: its offsets, its commits and its state."""
        return f"{self.place.rstrip('/')}/_checkpoints/{query}"
