"""Answers that are kept.

Belongs here: keeping them, in so much memory. A build never changes, so an answer that is named by
the build and the question never gets old.
"""

import threading
from collections import OrderedDict


class Kept:
    """Bodies of answers, the least used of which go when there is no room.

    Args:
        most_bytes: room for them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bodies: OrderedDict[str, tuple[bytes, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, etag: str) -> tuple[bytes, int] | None:
        """A body and the number of its rows."""
        with self._lock:
            if etag in self._bodies:
                self._bodies.move_to_end(etag)
            return self._bodies.get(etag)

    def keep(self, etag: str, body: bytes, rows: int) -> None:
        """Keep a body."""
        if len(body) > self._most_bytes // 4:
            return
        with self._lock:
            if etag not in self._bodies:
                self._bytes += len(body)
            self._bodies[etag] = (body, rows)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._bodies.popitem(last=False)[1][0])
