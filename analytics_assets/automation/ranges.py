"""Ranges of partitions as run tags: Dagster's way to materialize many partitions in one run."""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from analytics_assets.partitions import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    Calendar,
    Window,
    month_start,
    next_month,
)


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
