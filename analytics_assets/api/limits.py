"""Limits: requests a minute of each caller, and the time of each query.

Belongs here: counting and cancelling. Does not belong here: the limits themselves (`settings`).
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from analytics_assets.api.problems import ProblemError
from analytics_assets.warehouse.session import Session

Result = TypeVar("Result")
MOST_CALLERS = 10_000
MOST_WAITING = 200


class RateLimit:
    """Allows each caller so many requests a minute, and as many at once.

    Args:
        a_minute: requests a minute where a caller has no limit of their own; 0 for no limit.
        clock: seconds that only grow.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute, self._clock = a_minute, clock
        self._left: dict[str, tuple[float, float]] = {}  # requests left, and when that was

    def take(self, caller: str, rate: int | None = None) -> None:
        """Count a request.

        Raises:
            ProblemError: the caller has none left.
        """
        rate = self._a_minute if rate is None else rate
        if not rate:
            return
        now = self._clock()
        left, at = self._left.pop(caller, (float(rate), now))
        left = min(float(rate), left + (now - at) * rate / 60)
        if left < 1:
            self._left[caller] = (left, now)
            wait = max(math.ceil((1 - left) * 60 / rate), 1)
            raise ProblemError(
                429,
                "too-many-requests",
                f"More than {rate} requests a minute. Wait {wait} s, or ask for a key with "
                "a higher limit.",
                {"Retry-After": str(wait)},
            )
        self._left[caller] = (left - 1, now)
        if len(self._left) > MOST_CALLERS:
            self._left.pop(next(iter(self._left)))


class Deadline:
    """The end of the time that a query has; another thread ends what runs then."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.passed = False
        self._session: Session | None = None
        self._lock = threading.Lock()

    def watch(self, session: Session) -> None:
        """Interrupt this session when the time is over."""
        self._session = session
        self.check()

    @property
    def watches(self) -> bool:
        """Whether a session is still in use."""
        return self._session is not None

    def forget(self) -> None:
        """The session is about to be closed: it must not be interrupted any more."""
        with self._lock:
            self._session = None

    def end(self) -> None:
        """End what runs; may be called again, as a statement that begins later is not ended."""
        self.passed = True
        with self._lock:
            if self._session is not None:
                self._session.interrupt()

    def check(self) -> None:
        """Between statements: end here if the time is over.

        Raises:
            ProblemError: it is.
        """
        if self.passed:
            raise too_slow(self.seconds)


def too_slow(seconds: float) -> ProblemError:
    """The answer to a query that took too long."""
    return ProblemError(
        503,
        "query-too-slow",
        f"The query was cancelled after {seconds:g} s. Ask for fewer rows or columns, filter by a "
        "column of the key, or try again when fewer ask.",
        {"Retry-After": "5"},
    )


class Queries:
    """Runs queries in threads, a few at a time, each until its deadline.

    Args:
        at_once: number of threads.
        seconds: time that a query has, waiting for a thread included.
        cancelled: called for each query that took too long.
    """

    def __init__(self, at_once: int, seconds: float, cancelled: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="query")
        self._seconds = seconds
        self._waiting = 0
        self._cancelled = cancelled

    async def run(self, work: Callable[[Deadline], Result]) -> Result:
        """The result of a query.

        Raises:
            ProblemError: it took too long, or too many wait.
        """
        if self._waiting >= MOST_WAITING:
            raise ProblemError(
                503,
                "too-busy",
                "Too many queries are waiting. Try again in a few seconds.",
                {"Retry-After": "2"},
            )
        loop = asyncio.get_running_loop()
        deadline = Deadline(self._seconds)
        handle = loop.call_later(self._seconds, self._end, loop, deadline)
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._pool, self._work, work, deadline)
        finally:
            self._waiting -= 1
            handle.cancel()
            deadline.forget()

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, work: Callable[[Deadline], Result], deadline: Deadline) -> Result:
        try:
            deadline.check()
            return work(deadline)
        except Exception as error:
            if deadline.passed:
                self._cancelled()
                raise too_slow(self._seconds) from error
            raise
        finally:
            deadline.forget()

    def _end(self, loop: asyncio.AbstractEventLoop, deadline: Deadline) -> None:
        deadline.end()
        if deadline.watches:
            loop.call_later(0.05, self._end, loop, deadline)
