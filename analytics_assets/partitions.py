"""Windows, partitions and the as-of date.

Belongs here: the half-open interval of days that a run works on, the partitions definitions of the
calendar, and the window of a run by its tags. Does not belong here: windows in SQL
(`warehouse.windows`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from dagster import DailyPartitionsDefinition, MonthlyPartitionsDefinition, TimeWindow

# The tags by which Dagster says which partitions a run is of.
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
# Days that were scored before keep their models, and no model scores what it has seen.
KEEP_MODELS_TAG = "analytics/keep_models"
# Runs of the command line, which goes on with what depends on them. The UI hides tags with a dot:
# in its list of runs they would take the place of the partitions.
COMMAND_LINE_TAG = ".analytics/command_line"


@dataclass(frozen=True)
class Window:
    """Half-open interval of days [start, end)."""

    start: date
    end: date

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise ValueError(f"a window needs a start before its end, not {self}")

    @classmethod
    def of_days(cls, first: str, last: str) -> "Window":
        """The window from one daily partition key to another, both included."""
        return cls(date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1))

    @property
    def as_of(self) -> date:
        """Exclusive end of the window: computations use only events before it."""
        return self.end

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days

    def __iter__(self) -> Iterator[date]:
        return (self.start + timedelta(days=n) for n in range(self.days))

    def __str__(self) -> str:
        return f"[{self.start}, {self.end})"


@dataclass(frozen=True)
class Calendar:
    """The days that the sources cover: from start to the exclusive end, if they have ended.

    Attributes:
        start: the first day.
        end: exclusive; None while days go on.
        zone: whose days they are.
    """

    start: date
    end: date | None = None
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.end is not None and self.start >= self.end:
            raise ValueError(f"the calendar starts on {self.start}, not before its end {self.end}")


class HasPartitionWindow(Protocol):
    """Any Dagster execution context that knows its window."""

    @property
    def partition_time_window(self) -> TimeWindow: ...  # noqa: D102


def daily_partitions(calendar: Calendar) -> DailyPartitionsDefinition:
    """Daily partitions of the calendar; a day is one when it has ended in the calendar's zone."""
    return DailyPartitionsDefinition(
        start_date=calendar.start.isoformat(),
        # Dagster's end is the last partition's exclusive end.
        end_date=calendar.end.isoformat() if calendar.end else None,
        timezone=calendar.zone,
    )


def monthly_partitions(calendar: Calendar) -> MonthlyPartitionsDefinition:
    """Monthly partitions of the calendar: the months that are over by its end."""
    return MonthlyPartitionsDefinition(
        start_date=calendar.start.replace(day=1).isoformat(),
        end_date=calendar.end.isoformat() if calendar.end else None,
        timezone=calendar.zone,
    )


def month_start(day: date) -> date:
    """First day of the month."""
    return day.replace(day=1)


def next_month(day: date) -> date:
    """First day of the next month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def window_of(context: HasPartitionWindow) -> Window:
    """The window of a partitioned run: one partition or a range of partitions."""
    bounds = context.partition_time_window
    return Window(bounds.start.date(), bounds.end.date())


def run_window(tags: Mapping[str, str], *, monthly: bool = False) -> Window | None:
    """The window of a run by its tags; None for a run without partitions.

    Checks, and multi-assets with several partitionings, know their partitions only from the run.
    """
    first = tags.get(RANGE_START_TAG) or tags.get(PARTITION_TAG)
    last = tags.get(RANGE_END_TAG) or tags.get(PARTITION_TAG)
    if not first or not last:
        return None
    if monthly:
        return Window(date.fromisoformat(first), next_month(date.fromisoformat(last)))
    return Window.of_days(first, last)
