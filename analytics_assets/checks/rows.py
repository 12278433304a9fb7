"""Rules on rows, counted by day in one pass over each relation.

Belongs here: evaluating such rules and listing the rows that break them. Does not belong here: the
rules (`validity`, `integrity`, `uniqueness`, `anomalies`).
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

REFERENCE_DAYS = 90  # days before a window to compare it with
KINDS_SHOWN = 30


@dataclass(frozen=True)
class RowRule:
    """A condition on the rows of a relation.

    Attributes:
        broken: SQL condition of the rows that break the rule.
        applies: SQL condition of the rows that the rule is about.
        relation: the relation, if it is not the check's table.
        day: DATE column of the relation; by default the table's.
        keys: columns that identify a row; by default the table's key.
        kind: SQL expression by which the metadata counts failing rows.
    """

    broken: str
    applies: str = "TRUE"
    relation: str | None = None
    day: str | None = None
    keys: tuple[str, ...] | None = None
    kind: str | None = None


@dataclass(frozen=True)
class ListedRows:
    """Failing rows that only a query of its own can list.

    In all SQL `{window}` is the condition of the window on `day_column`, `{before}` that of the
    days before it, `{reference}` that of both.

    Attributes:
        query: SQL of the failing rows: the key columns and `day` (NULL without days).
        total: relation of all rows that are checked, with `day_column`.
        day_column: DATE column of `total`; None without days.
        keys: columns that identify a row.
        given: names and SQL of temporary tables that the query reads; rules with the same share it.
        details: name to SQL of a figure for the metadata.
        kind: column of the query by which the metadata counts failing rows.
        whole: cheaper SQL with the same result if the window contains all days of the table.
    """

    query: str
    total: str
    day_column: str | None
    keys: tuple[str, ...]
    given: tuple[tuple[str, str], ...] = ()
    details: dict[str, str] = field(default_factory=dict)
    kind: str | None = None
    whole: str | None = None


def want(session: Session, scans: Scans, checks: Sequence[Check], window: Window | None) -> None:
    """Request the counts of all rules."""
    for check in checks:
        if isinstance(check.rule, RowRule):
            scans.want(_scan(check, window), *_counts(check.rule))
        elif isinstance(check.rule, ListedRows):
            scans.want(_total(check.rule, window), "count(*)")


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
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
    """SQL conditions of the window, of the days before it, and of both, by placeholder."""
    if day is None or window is None:
        return {"{window}": "TRUE", "{before}": "FALSE", "{reference}": "TRUE"}
    first = window.start - timedelta(days=REFERENCE_DAYS)
    return {
        "{window}": window_predicate(day, window),
        "{before}": window_predicate(day, Window(first, window.start)),
        "{reference}": window_predicate(day, Window(first, window.end)),
    }


def with_conditions(sql: str, values: Mapping[str, str]) -> str:
    """SQL with `{window}`, `{before}` and `{reference}` replaced by their conditions."""
    for placeholder, condition in values.items():
        sql = sql.replace(placeholder, condition)
    return tidy(sql)


def _relation(check: Check) -> str:
    return check.rule.relation or TABLES[check.asset].relation


def _day(check: Check) -> str | None:
    if check.rule.relation:
        return check.rule.day
    return TABLES[check.asset].day_column


def _counts(rule: RowRule) -> tuple[str, str]:
    """SQL counts of the rows that the rule is about, and of those that break it."""
    applies = f"({rule.applies}) AND " if rule.applies != "TRUE" else ""
    total = count_where(rule.applies) if applies else "count(*)"
    return total, count_where(f"{applies}({rule.broken})")


def _scan(check: Check, window: Window | None) -> str:
    return scan(_relation(check), _day(check), window)


def _total(rule: ListedRows, window: Window | None) -> str:
    return scan(rule.total, rule.day_column, window)


def _counted(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
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
        days_checked = window if _day(check) else None
        keys, details, spent = shown.get(check, ([], {}, 0.0))
        listing = tidy(
            f"SELECT *\nFROM {_relation(check)}\n"
            f"WHERE {window_predicate(str(_day(check)), days_checked)}\n"
            f"    AND ({rule.applies})\n    AND ({rule.broken})"
        )
        seconds = scans.seconds(_scan(check, window), 2) + spent
        yield _finding(check, days_checked, days, keys, listing, details, seconds)


def _evidence(
    session: Session, checks: Sequence[Check], window: Window | None
) -> dict[Check, tuple[list[dict[str, Any]], dict[str, Any], float]]:
    """Keys of a few failing rows, their kinds and the seconds of each check of one scan.

    One more scan serves all checks: naming a few rows costs as much as counting them.
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
    values = iter(session.row(f"SELECT {', '.join(figures)} FROM ({marked}) WHERE {broken}"))
    spent = (time.perf_counter() - began) / len(checks)
    evidence = {}
    for check, keys, kinds in zip(checks, values, values, strict=False):
        counts = sorted((kinds or {}).items(), key=lambda kind: (-kind[1], kind[0]))
        details = {"by kind": dict(counts[:KINDS_SHOWN])} if kinds else {}
        evidence[check] = (hidden(keys or []), details, spent)
    return evidence


def _listed(
    session: Session, scans: Scans, check: Check, window: Window | None, given: set[str]
) -> Finding:
    began = time.perf_counter()
    rule: ListedRows = check.rule
    days_checked = window if rule.day_column else None
    values = conditions(rule.day_column, days_checked)

    for name, sql in rule.given:
        if name not in given:
            session.keep(name, with_conditions(sql, values))
            given.add(name)
    whole = rule.whole if rule.whole and _contains_all(session, rule, values) else None
    query = with_conditions(whole or rule.query, values)
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
        details[name] = session.value(with_conditions(sql, values))
    if rule.kind and keys:
        details["by kind"] = dict(
            session.rows(
                f"SELECT {rule.kind}, count(*) FROM listed GROUP BY 1 ORDER BY 2 DESC, 1 "
                f"LIMIT {KINDS_SHOWN}"
            )
        )
    session.drop("listed")
    shown = ",\n".join(f"{n} AS (\n{with_conditions(sql, values)}\n)" for n, sql in rule.given)
    if shown:
        more = "," if query.startswith("WITH ") else ""
        query = f"WITH {shown}{more}\n{query.removeprefix('WITH ')}"
    return _finding(check, days_checked, days, keys, query, details, time.perf_counter() - began)


def _contains_all(session: Session, rule: ListedRows, values: Mapping[str, str]) -> bool:
    """Whether the window contains all rows."""
    outside = f"SELECT 1 FROM {rule.total} WHERE NOT ({{window}}) LIMIT 1"
    return not session.rows(with_conditions(outside, values))


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
