"""Where the stream keeps what it writes: the tables of the lake, and its checkpoints.

Belongs here: names and places, without Spark. Does not belong here: what is in the tables (`lake`,
`windows`, `anomalies`).
"""

from dataclasses import dataclass

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
