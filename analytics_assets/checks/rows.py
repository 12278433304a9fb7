"""Rules that a row keeps or breaks, counted by day in one pass over each relation.

Belongs here: how such rules are evaluated and how the rows that break them are listed. Does not
belong here: which rules there are (`validity`, `integrity`, `uniqueness`, `anomalies`).
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from analytics_assets.checks.base import (
    KEYS_SHOWN,
    Check,
    Finding,
    fetch_keys,
    hidden,
    rows_in_words,
    tidy,
)
from analytics_assets.checks.scans import Scans, count_where, scan
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import window_predicate

REFERENCE_DAYS = 90  # days before a window that it is compared with
KINDS_SHOWN = 30


@dataclass(frozen=True)
class RowRule:
    """A condition on the rows of a relation.

    Attributes:
        broken: SQL condition, true for a row that breaks the rule.
        applies: SQL condition, true for the rows that the rule is about.
        relation: what is looked at, where it is not the check's table.
        day: DATE column of the relation; by default the table's.
        keys: columns that name a row; by default the table's key.
        kind: SQL expression that failing rows are counted by in the metadata.
    """

    broken: str
    applies: str = "TRUE"
    relation: str | None = None
    day: str | None = None
    keys: tuple[str, ...] | None = None
    kind: str | None = None


@dataclass(frozen=True)
class ListedRows:
    """Rows that only a query of its own can find.

    Attributes:
        query: SQL of the failing rows: the key columns and `day` (NULL without days).
        total: relation whose rows are looked at, with `day_column`.
        day_column: of the table that is looked at; None without days.
        keys: columns that name a row.
        given: name and SQL of what the query reads besides tables; made once for all rules that
            are given the same.
        details: name to SQL of a figure for the metadata.
        kind: column of the query that failing rows are counted by in the metadata.
        whole: SQL that finds the same with less work where the window holds all days of the table.

    In all SQL `{window}` stands for the condition of the window on `day_column`, `{before}` for
    that of the days before it, `{reference}` for that of both.
    """

    query: str
    total: str
    day_column: str | None
    keys: tuple[str, ...]
    given: tuple[tuple[str, str], ...] = ()
    details: dict[str, str] = field(default_factory=dict)
    kind: str | None = None
    whole: str | None = None


def want(
    session: Session,
    scans: Scans,
    checks: Sequence[Check],
    window: Window | None,
) -> None:
    """Ask for the counts of rules on rows, and of the rows that listed ones are among."""
    for check in checks:
        if isinstance(check.rule, RowRule):
            scans.want(_scan(check, window), *_counts(check.rule))
        elif isinstance(check.rule, ListedRows):
            scans.want(_total(check.rule, window), "count(*)")


def evaluate(
    session: Session,
    scans: Scans,
    checks: Sequence[Check],
    window: Window | None,
) -> Iterator[Finding]:
    """The findings of checks whose rules are `RowRule` or `ListedRows`."""
    counted = [check for check in checks if isinstance(check.rule, RowRule)]
    yield from _counted(session, scans, counted, window)
    given: set[str] = set()
    for check in checks:
        if isinstance(check.rule, ListedRows):
            yield _listed(session, scans, check, window, given)
    for name in given:
        session.drop(name)


def conditions(day: str | None, window: Window | None) -> dict[str, str]:
    """SQL conditions of the window, of the days before it that it is compared with, and of both."""
    if day is None or window is None:
        return {"{window}": "TRUE", "{before}": "FALSE", "{reference}": "TRUE"}
    first = window.start - timedelta(days=REFERENCE_DAYS)
    return {
        "{window}": window_predicate(day, window),
        "{before}": window_predicate(day, Window(first, window.start)),
        "{reference}": window_predicate(day, Window(first, window.end)),
    }


def placed(sql: str, places: Mapping[str, str]) -> str:
    """SQL with its conditions in their places."""
    for place, condition in places.items():
        sql = sql.replace(place, condition)
    return tidy(sql)


def _relation(check: Check) -> str:
    return check.rule.relation or TABLES[check.asset].relation


def _day(check: Check) -> str | None:
    if check.rule.relation:
        return check.rule.day
    return TABLES[check.asset].day_column


def _counts(rule: RowRule) -> tuple[str, str]:
    """Figures of the rows that the rule is about, and of those that break it."""
    applies = f"({rule.applies}) AND " if rule.applies != "TRUE" else ""
    total = count_where(rule.applies) if applies else "count(*)"
    return total, count_where(f"{applies}({rule.broken})")


def _scan(check: Check, window: Window | None) -> str:
    return scan(_relation(check), _day(check), window)


def _total(rule: ListedRows, window: Window | None) -> str:
    return scan(rule.total, rule.day_column, window)


def _counted(
    session: Session,
    scans: Scans,
    checks: Sequence[Check],
    window: Window | None,
) -> Iterator[Finding]:
    counted: list[tuple[Check, dict[date | None, tuple[int, int]]]] = []
    failing: dict[str, list[Check]] = {}
    for check in checks:
        of_check = _scan(check, window)
        total, broken = (scans.days(of_check, figure) for figure in _counts(check.rule))
        counted.append((check, {day: (rows, broken[day]) for day, rows in total.items()}))
        if any(broken.values()):
            failing.setdefault(of_check, []).append(check)
    shown: dict[Check, tuple[list[dict[str, Any]], dict[str, Any], float]] = {}
    for members in failing.values():
        shown |= _evidence(session, members, window)
    for check, days in counted:
        rule: RowRule = check.rule
        seen = window if _day(check) else None
        keys, details, spent = shown.get(check, ([], {}, 0.0))
        listing = tidy(
            f"SELECT *\nFROM {_relation(check)}\n"
            f"WHERE {window_predicate(str(_day(check)), seen)}\n"
            f"    AND ({rule.applies})\n    AND ({rule.broken})"
        )
        seconds = scans.seconds(_scan(check, window), 2) + spent
        yield _finding(check, seen, days, keys, listing, details, seconds)


def _evidence(
    session: Session, checks: Sequence[Check], window: Window | None
) -> dict[Check, tuple[list[dict[str, Any]], dict[str, Any], float]]:
    """Keys of a few failing rows, their kinds and the seconds of each check of one scan.

    The relation is read once more for all of them: to name a few rows costs as much as to count
    them.
    """
    began = time.perf_counter()
    day = _day(checks[0])
    marks, figures = [], []
    for number, check in enumerate(checks):
        rule: RowRule = check.rule
        marks.append(f"({rule.applies}) AND ({rule.broken}) AS broken_{number}")
        names = TABLES[check.asset].key if rule.keys is None else rule.keys
        key = ", ".join(f"'{name}': {name}" for name in names)
        for value, figure in (
            (names and f"{{{key}}}", f"min({{}}, {KEYS_SHOWN})"),
            (rule.kind, "histogram({})"),
        ):
            case = f"CASE WHEN broken_{number} THEN {value} END"
            figures.append(figure.format(case) if value else "NULL")
    marked = (
        f"SELECT *, {', '.join(marks)} FROM {_relation(checks[0])} "
        f"WHERE {window_predicate(str(day), window if day else None)}"
    )
    broken = " OR ".join(f"broken_{number}" for number in range(len(checks)))
    found = session.row(f"SELECT {', '.join(figures)} FROM ({marked}) WHERE {broken}")
    values = iter(found)
    spent = (time.perf_counter() - began) / len(checks)
    evidence = {}
    for check, keys, kinds in zip(checks, values, values, strict=False):
        counts = sorted((kinds or {}).items(), key=lambda kind: (-kind[1], kind[0]))
        details = {"by kind": dict(counts[:KINDS_SHOWN])} if kinds else {}
        evidence[check] = (hidden(keys or []), details, spent)
    return evidence


def _listed(
    session: Session,
    scans: Scans,
    check: Check,
    window: Window | None,
    given: set[str],
) -> Finding:
    began = time.perf_counter()
    rule: ListedRows = check.rule
    seen = window if rule.day_column else None
    places = conditions(rule.day_column, seen)

    for name, sql in rule.given:
        if name not in given:
            session.keep(name, placed(sql, places))
            given.add(name)
    whole = rule.whole if rule.whole and _holds_all(session, rule, places) else None
    query = placed(whole or rule.query, places)
    session.keep("listed", query)
    failing: dict[date | None, int] = dict(
        session.rows("SELECT day, count(*) FROM listed GROUP BY 1")
    )
    totals = scans.days(_total(rule, window), "count(*)")
    days = {day: (rows, failing.pop(day, 0)) for day, rows in totals.items()}
    days |= {day: (count, count) for day, count in failing.items()}
    keys = fetch_keys(session, rule.keys, "FROM listed")
    details: dict[str, Any] = {}
    for name, sql in rule.details.items():
        details[name] = session.value(placed(sql, places))
    if rule.kind and keys:
        details["by kind"] = dict(
            session.rows(
                f"SELECT {rule.kind}, count(*) FROM listed GROUP BY 1 ORDER BY 2 DESC, 1 "
                f"LIMIT {KINDS_SHOWN}"
            )
        )
    session.drop("listed")
    shown = ",\n".join(f"{name} AS (\n{placed(sql, places)}\n)" for name, sql in rule.given)
    if shown:
        query = (
            f"WITH {shown}\n{query}"
            if not query.startswith("WITH ")
            else (f"WITH {shown},\n{query.removeprefix('WITH ')}")
        )
    return _finding(check, seen, days, keys, query, details, time.perf_counter() - began)


def _holds_all(session: Session, rule: ListedRows, places: Mapping[str, str]) -> bool:
    """Whether no row lies outside the window."""
    outside = placed(f"SELECT 1 FROM {rule.total} WHERE NOT ({{window}}) LIMIT 1", places)
    return not session.rows(outside)


def _finding(
    check: Check,
    window: Window | None,
    days: dict[date | None, tuple[int, int]],
    keys: list[dict[str, Any]],
    query: str,
    details: dict[str, Any],
    seconds: float,
) -> Finding:
    rows = sum(counts[0] for counts in days.values())
    failing = sum(counts[1] for counts in days.values())
    dated = {day: counts for day, counts in days.items() if day is not None}
    return Finding(
        check,
        passed=failing <= check.allowed_share * rows,
        description=rows_in_words(rows, failing),
        severe=check.is_severe(rows, failing),
        window=window,
        rows=rows,
        failing=failing,
        threshold=check.allowed_share,
        days=dated or None,
        keys=keys,
        query=query,
        details=details,
        seconds=seconds,
    )
