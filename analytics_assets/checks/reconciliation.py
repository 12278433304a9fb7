"""Rows and money add up between the layers, on every day.

Belongs here: the equations of docs/quality.md, as figures of two relations. Does not belong here:
rules within one table (`schema`, `validity`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from analytics_assets.checks import rows
from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding
from analytics_assets.checks.scans import Scans, scan
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared.base import Figure
from analytics_assets.warehouse.session import Session

Figures = dict[date | None, Decimal]
REMEDY = (
    "Rows or money were lost or doubled between the layers. Load the days again; if they still "
    "differ, a model is wrong: the query lists the days with both figures."
)


@dataclass(frozen=True)
class Equation:
    """The left side is the sum of the right ones, on every day.

    Attributes:
        left: one figure.
        right: the figures that add up to it.
        windowed: whether it can be checked for a window; otherwise only for whole tables.
        money: whether the figures are money rather than rows.
    """

    left: Figure
    right: tuple[Figure, ...]
    windowed: bool = True
    money: bool = False

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of both sides."""
        return (self.left, *self.right)

    def query(self, window: Window | None) -> str:
        """SQL that lists the days on which the sides differ, with both figures."""
        right = "\n    UNION ALL ".join(_query(figure, window) for figure in self.right)
        return (
            "SELECT coalesce(l.day, r.day) AS day, coalesce(l.figure, 0) AS left_figure, "
            "coalesce(r.figure, 0) AS right_figure\n"
            f"FROM ({_query(self.left, window)}) AS l\n"
            f"FULL JOIN (\n    SELECT day, sum(figure) AS figure FROM (\n    {right}\n    ) "
            "GROUP BY day\n) AS r ON l.day IS NOT DISTINCT FROM r.day\n"
            "WHERE left_figure <> right_figure\nORDER BY day"
        )


def _scan(figure: Figure, window: Window | None) -> str:
    return scan(figure.relation, figure.by, window, figure.where)


def _query(figure: Figure, window: Window | None) -> str:
    """SQL of a figure: columns day and figure."""
    return _scan(figure, window).replace("{figures}", f"{figure.figure} AS figure")


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """All equations of the configured sources."""
    for source, config in sources.sources.items():
        yield _accounted(source, config.contract.table.window_column)
        yield _staged(source, config.contract.table.window_column)
        declared = config.declared
        if declared.fact:
            yield _in_fact(source, declared.fact)
        if declared.dimension:
            yield _in_dimension(source, declared.dimension)
        for balance in declared.balances:
            yield _check(
                balance.table,
                balance.name,
                balance.description,
                Equation(balance.left, (balance.right,), balance.windowed, balance.money),
            )


def _in_fact(source: str, fact: str) -> Check:
    """Staged = fact."""
    day = TABLES[fact].window_column
    return _check(
        fact,
        "staged_is_fact",
        f"Every staged row of {source} is in the fact, none dropped for an unknown customer or "
        "product.",
        Equation(Figure(f"staging.stg_{source}", by=day), (Figure(f"core.{fact}", by=day),)),
    )


def _in_dimension(source: str, dimension: str) -> Check:
    """Staged = members of the source."""
    return _check(
        dimension,
        "staged_is_members_of_the_source",
        f"Every staged row of {source} is a member of the dimension.",
        Equation(
            Figure(f"staging.stg_{source}"),
            (Figure(f"core.{dimension}", where="member_type = 'source'"),),
            windowed=False,
        ),
    )


def _accounted(source: str, day: str | None) -> Check:
    """Read, and split off = accepted + rejected + not due."""
    of_source = f"source = '{source}'"
    by = "window_date" if day else None
    return _check(
        f"raw_{source}",
        "read_is_accepted_plus_rejected",
        f"Every row read from {source}, and every refund that was read as a row of its own, was "
        "accepted or rejected, or is not due yet.",
        Equation(
            Figure("raw.source_loads", "coalesce(sum(rows_read + rows_split), 0)", by, of_source),
            (
                Figure(f"raw.raw_{source}", by=day),
                Figure("raw.rejected_rows", by=by, where=of_source),
                Figure("raw.source_loads", "coalesce(sum(rows_not_due), 0)", by, of_source),
            ),
            windowed=day is not None,
        ),
    )


def _staged(source: str, day: str | None) -> Check:
    """Accepted = staged + collapsed duplicates."""
    return _check(
        f"stg_{source}",
        "accepted_is_staged_plus_collapsed",
        f"Every accepted row of {source} is staged, or collapsed into one that is.",
        Equation(
            Figure(f"raw.raw_{source}", by=day),
            (Figure(f"staging.stg_{source}", "coalesce(sum(copies), 0)", day),),
            windowed=day is not None,
        ),
    )


def _check(asset: str, name: str, description: str, equation: Equation) -> Check:
    return Check("accounting", asset, name, description, "consistency", REMEDY, equation)


def want(session: Session, scans: Scans, checks: Sequence[Check], window: Window | None) -> None:
    """Request the figures of all equations."""
    rows.want(session, scans, checks, window)
    for check in _equations(checks):
        for figure in check.rule.figures:
            scans.want(_scan(figure, _window(check, window)), figure.figure)


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """Compare both sides of each equation; those of more cells than days list what differs."""
    yield from rows.evaluate(session, scans, checks, window)
    for check in _equations(checks):
        days = _window(check, window)
        left, *rights = (
            {day: Decimal(value) for day, value in scans.days(sql, figure.figure).items()}
            for figure in check.rule.figures
            for sql in (_scan(figure, days),)
        )
        spent = sum(scans.seconds(_scan(figure, days)) for figure in check.rule.figures)
        yield _compared(check, days, left, rights, spent)


def _equations(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if isinstance(check.rule, Equation)]


def _window(check: Check, window: Window | None) -> Window | None:
    return window if check.rule.windowed else None


def _compared(
    check: Check, window: Window | None, left: Figures, rights: list[Figures], seconds: float
) -> Finding:
    right: Figures = {}
    for side in rights:
        for day, figure in side.items():
            right[day] = right.get(day, Decimal()) + figure
    nothing = Decimal()
    days = {day: (left.get(day, nothing), right.get(day, nothing)) for day in {*left, *right}}
    wrong = {day: sides for day, sides in days.items() if sides[0] != sides[1]}
    totals = [sum((sides[side] for sides in days.values()), nothing) for side in (0, 1)]
    equation: Equation = check.rule
    by_day = {
        day: (int(max(sides)), int(abs(sides[0] - sides[1])))
        for day, sides in days.items()
        if day is not None
    }
    if equation.money:
        # Money has no rows to count: a day adds up or does not.
        by_day = {day: (1, int(day in wrong)) for day in by_day}
        rows, failing = len(days), len(wrong)
    else:
        rows = int(max(totals))
        failing = int(sum(abs(a - b) for a, b in wrong.values()))
    return Finding(
        check,
        passed=not wrong,
        description=_in_words(totals, wrong),
        window=window,
        rows=rows,
        failing=failing,
        figure=float(totals[0] - totals[1]),
        threshold=0.0,
        days=by_day,
        keys=[
            {"day": day, "left": sides[0], "right": sides[1]}
            for day, sides in sorted(wrong.items(), key=lambda item: str(item[0]))[:KEYS_SHOWN]
        ],
        query=equation.query(window),
        details={"difference": float(totals[0] - totals[1])},
        seconds=seconds,
    )


def _in_words(totals: list[Decimal], wrong: dict[date | None, tuple[Decimal, Decimal]]) -> str:
    left, right = totals
    if not wrong:
        return f"{left:,} = {right:,}"
    if None in wrong:
        return f"{left:,} is not {right:,}"
    days = f"{len(wrong):,} day{'s' if len(wrong) > 1 else ''}"
    if left == right:
        return f"{left:,} = {right:,} in total, but {days} differ"
    return f"{left:,} is not {right:,}; {days} differ"
