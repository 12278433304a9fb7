"""One pass over each relation for all checks that need figures of it.

Belongs here: collecting aggregates and computing them together. Does not belong here: which
aggregates (the families) or what follows from them.

Every query computes a view again, or reads a table of ten million lines again. So all figures of
the same rows by the same days are computed in one query.
"""

import time
from datetime import date
from typing import Any

from analytics_assets.partitions import Window
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import window_predicate

Days = dict[date | None, Any]


def scan(relation: str, by: str | None, window: Window | None, where: str | None = None) -> str:
    """SQL of the days and `{figures}` of a relation.

    Args:
        relation: table, view or subquery.
        by: SQL expression of the day to group by; None for one figure.
        window: the days, by that expression.
        where: further condition.
    """
    conditions = [window_predicate(by, window)] if by and window else []
    conditions += [where] if where else []
    filtered = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {by or 'NULL::DATE'} AS day, {{figures}} FROM {relation}{filtered} GROUP BY 1"


def count_where(condition: str) -> str:
    """SQL aggregate of the rows that meet a condition.

    CASE instead of FILTER: many filters in one query take DuckDB three times as long.
    """
    return f"count(CASE WHEN {condition} THEN 1 END)"


class Scans:
    """Requested figures of scans, computed together when the first of a scan is read."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wanted: dict[str, dict[str, None]] = {}
        self._uses: dict[str, int] = {}
        self._results: dict[str, tuple[dict[str, Days], float]] = {}

    def want(self, scan: str, *figures: str) -> None:
        """Request aggregates of a scan, before any of it is read."""
        self._wanted.setdefault(scan, {}).update(dict.fromkeys(figures))
        self._uses[scan] = self._uses.get(scan, 0) + len(figures)

    def days(self, scan: str, figure: str) -> Days:
        """Day to figure, for days with rows."""
        if figure not in self._wanted.get(scan, {}):
            self.want(scan, figure)
            self._results.pop(scan, None)
        return self._execute(scan)[0][figure]

    def seconds(self, scan: str, figures: int = 1) -> float:
        """The part of the scan's time for so many of its figures."""
        return self._execute(scan)[1] / self._uses[scan] * figures

    def _execute(self, scan: str) -> tuple[dict[str, Days], float]:
        if scan not in self._results:
            began = time.perf_counter()
            figures = list(self._wanted[scan])
            rows = self._session.rows(scan.replace("{figures}", ", ".join(figures)))
            self._results[scan] = (
                {
                    figure: {row[0]: row[position] for row in rows}
                    for position, figure in enumerate(figures, start=1)
                },
                time.perf_counter() - began,
            )
        return self._results[scan]
