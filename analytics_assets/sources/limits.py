"""Limits of a load: it fails with too many rejected rows, or far more or fewer rows than before.

Belongs here: what is compared and when. Does not belong here: rules of single rows (`typed`).
"""

from collections.abc import Mapping
from datetime import date, timedelta
from statistics import median

from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.typed_column import LOST_DIGITS
from analytics_assets.warehouse.session import Session

# A share of fewer rows says little.
MIN_ROWS = 100
BASELINE_WEEKS = 4


def require_all_digits(config: SourceConfig, reasons: Mapping[str, int]) -> None:
    """Refuse identifiers that were exported in scientific notation.

    Args:
        config: the source.
        reasons: rejected rows by reason.

    Raises:
        SourceError: there are some.
    """
    for reason, rows in reasons.items():
        if reason.endswith(LOST_DIGITS):
            raise SourceError(
                f"{config.source}: {reason}, in {rows:,} rows. Different identifiers may have "
                "become equal. Export them again as text; nothing was loaded."
            )


def require_within_limits(
    session: Session,
    config: SourceConfig,
    window: Window | None,
    read: Mapping[date | None, int],
    rejected: int,
    reasons: Mapping[str, int],
    any_volume: bool,
) -> None:
    """Refuse a load that looks like a mistake.

    Args:
        session: the warehouse, with the ledger as it was before this load.
        config: the source and its limits.
        window: the days of the load.
        read: rows read, for each day.
        rejected: rows rejected.
        reasons: rejected rows by reason.
        any_volume: do not compare the volume.

    Raises:
        SourceError: a limit is exceeded.
    """
    rows = sum(read.values())
    if rows >= MIN_ROWS and rejected > config.max_rejected_share * rows:
        listed = "; ".join(f"{why} ({count:,})" for why, count in list(reasons.items())[:5])
        raise SourceError(
            f"{config.source}: {rejected:,} of {rows:,} rows are rejected, more than "
            f"max_rejected_share ({config.max_rejected_share:.0%}) allows: {listed}. Correct the "
            "mapping or the source, or raise max_rejected_share. Nothing was loaded."
        )
    if any_volume or config.max_volume_change is None:
        return
    expected = _expected(session, config.source, window, read)
    if expected is None or expected < MIN_ROWS:
        return
    least = expected * (1 - config.max_volume_change)
    most = expected / (1 - config.max_volume_change) if config.max_volume_change < 1 else None
    if rows < least or (most is not None and rows > most):
        span = "" if window is None else f" of {window}"
        raise SourceError(
            f"{config.source}: {rows:,} rows{span}, where about {expected:,.0f} were expected from "
            f"earlier loads: a change of more than max_volume_change "
            f"({config.max_volume_change:.0%}). If it is right, allow it: tag the run "
            "analytics/any_volume: true, or set max_volume_change to null. Nothing was loaded."
        )


def _expected(
    session: Session, source: str, window: Window | None, read: Mapping[date | None, int]
) -> float | None:
    """Rows expected from earlier loads of the same days, else of the same weekdays before."""
    if session.kind(TABLES["source_loads"]) is None:
        return None
    ledger: dict[date | None, int] = dict(
        session.rows(
            "SELECT window_date, rows_read - coalesce(rows_not_due, 0) FROM raw.source_loads "
            "WHERE source = ?",
            [source],
        )
    )
    if window is None:
        return ledger.get(None)
    expected = 0.0
    # A day that was loaded before and is missing now counts, too.
    gone = [day for day in ledger if day and day not in read and window.start <= day < window.end]
    for day in [*read, *gone]:
        assert day is not None
        weeks = [day - timedelta(weeks=week) for week in range(1, BASELINE_WEEKS + 1)]
        before = [ledger[week] for week in weeks if week in ledger and week < window.start]
        if day in ledger:
            expected += ledger[day]
        elif before:
            expected += median(before)
        else:
            return None  # the first loads have nothing to compare with
    return expected
