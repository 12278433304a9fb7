"""Ranges of partitions as run tags: Dagster's way to materialize many partitions in one run."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import pairwise

from dagster import DagsterRunStatus

from analytics_assets.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    Calendar,
    Window,
    month_start,
    next_month,
)
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.readers import read_whole

# A run that has not ended: it waits in the queue, or goes on.
UNFINISHED = [
    status
    for status in DagsterRunStatus
    if status not in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
]

# Each range is a run, which costs as much as loading weeks of days.
RANGES_AT_ONCE = 3


def range_tags(window: Window, *, monthly: bool = False) -> dict[str, str]:
    """Run tags of all partitions of a window: its days, or its months."""
    last = window.end - timedelta(days=1)
    if monthly:
        last = month_start(last)
    return {
        RANGE_START_TAG: window.start.isoformat(),
        RANGE_END_TAG: last.isoformat(),
    }


def months_of(calendar: Calendar, start: date, end: date, horizon_days: int) -> Window | None:
    """The closed months whose features or churn labels change with the days from `start` on.

    Features depend on the days before the month's end. A label depends on the days of its window,
    once that has closed. So most new days change no month. If both change, the months in between,
    whose labels are still open, are in the window too.

    Args:
        calendar: the days that the sources cover.
        start: the first of the days.
        end: exclusive end of all days loaded: later months depend on `start` too.
        horizon_days: length of the label window, which begins at the month's end.
    """
    changed = []
    month = month_start(calendar.start)
    while (as_of := next_month(month)) <= end:
        if as_of > start or start < as_of + timedelta(days=horizon_days) <= end:
            changed.append(Window(month, as_of))
        month = as_of
    return Window(changed[0].start, changed[-1].end) if changed else None


def contiguous(days: Iterable[date]) -> Iterator[Window]:
    """The windows that cover exactly these days, in order."""
    start = previous = None
    for day in sorted(days):
        if previous is not None and start is not None and day != previous + timedelta(days=1):
            yield Window(start, previous + timedelta(days=1))
            start = day
        start = start or day
        previous = day
    if start is not None and previous is not None:
        yield Window(start, previous + timedelta(days=1))


def covering(windows: Iterable[Window]) -> Window:
    """The window from the first start to the last end."""
    windows = list(windows)
    return Window(min(w.start for w in windows), max(w.end for w in windows))


def in_chunks(windows: Iterable[Window], most_days: int | None) -> list[Window]:
    """The windows, cut into such of so many days at most; None cuts nothing."""
    return [
        Window(start, min(start + timedelta(days=most_days or window.days), window.end))
        for window in windows
        for start in list(window)[:: most_days or window.days]
    ]


def most_days_of(settings: Settings, sources: SourcesConfig) -> int | None:
    """How many days a run loads at most: the setting, unless each run reads a whole source."""
    return None if read_whole(sources) else settings.max_run_days


def windows_to_load(days: Iterable[date], sources: SourcesConfig) -> list[Window]:
    """The windows to load so that the given days are loaded, and as little as possible between.

    A file with all days is read as a whole for any window: there is one window then, whatever lies
    between the days, and it costs a full load at most. Otherwise there are a few, with the widest
    gaps between them.
    """
    windows = list(contiguous(days))
    gaps = [later.start - earlier.end for earlier, later in pairwise(windows)]
    widest = sorted(range(len(gaps)), key=lambda n: gaps[n], reverse=True)
    cuts = sorted(n + 1 for n in widest[: 0 if read_whole(sources) else RANGES_AT_ONCE - 1])
    return [
        Window(windows[first].start, windows[end - 1].end)
        for first, end in pairwise([0, *cuts, len(windows)])
        if first < end
    ]
