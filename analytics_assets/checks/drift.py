"""Columns whose content differs from before.

Belongs here: null shares and new categories, of a window compared with the days before it, and of
dimensions compared with the published build. Does not belong here: types (`schema`), or rows that
are rare by themselves (`anomalies`). New categories are counted, not shown: in a shifted column
they may be personal values.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analytics_assets.checks import rows
from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding
from analytics_assets.checks.rows import ListedRows, conditions, with_conditions
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES, Table
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.connection import WarehouseError
from analytics_assets.warehouse.publish import current_build
from analytics_assets.warehouse.session import Session

# A null share has changed if it differs by so much, and by more than so many standard errors of the
# difference of two shares.
LEAST_MOVE = 0.05
STANDARD_ERRORS = 5.0
NEW_CATEGORIES_SHARE = 0.01
CATEGORIES = ("status", "country", "product_category", "category", "device", "channel")
REMEDY = (
    "Ask what has changed in the source: a column that is no longer filled or mapped, a new word. "
    "Map it in the source configuration and load again; if it is right, later runs count it as "
    "usual."
)
DAYS_BEFORE = f"the {rows.REFERENCE_DAYS} days before"
PUBLISHED = "the build that readers have now"
NOTHING = "nothing before to compare with"
OF_THE_SOURCE = "member_type = 'source'"


@dataclass(frozen=True)
class Compared:
    """Columns of a table to compare with earlier rows.

    Attributes:
        table: the table.
        columns: columns whose nulls, or whose categories, are compared.
        published: folder of the published builds, to compare with the newest; None to compare with
            the days before the window.
    """

    table: Table
    columns: tuple[str, ...]
    published: Path | None = None

    @property
    def now(self) -> str:
        """SQL source of the rows to check; `{window}` is the condition of the window."""
        of_source = f" AND {OF_THE_SOURCE}" if self.published else ""
        return f"{self.table.relation} WHERE {{window}}{of_source}"

    @property
    def before(self) -> str:
        """SQL source of the rows to compare with."""
        if self.published:
            return f"published.{self.table.relation} WHERE {OF_THE_SOURCE}"
        return f"{self.table.relation} WHERE {{before}}"


@dataclass(frozen=True)
class NullShares(Compared):
    """How often columns are missing."""


@dataclass(frozen=True)
class Categories(Compared):
    """Categories that columns did not have before."""


def checks(sources: SourcesConfig, published: Path) -> Iterator[Check]:
    """Two checks for each source: of its days, or of the dimension that it fills.

    Args:
        sources: the configured sources.
        published: folder of the published builds.
    """
    for source, config in sources.sources.items():
        contract = config.contract
        if contract.time_column:
            nullable = [name for name in contract.columns if name not in contract.not_null]
            yield from _checks(source, contract.table, nullable, None)
        elif config.declared.dimension:
            # Its raw table is not published.
            table = TABLES[config.declared.dimension]
            nullable = [name for name, column in table.schema.columns.items() if column.nullable]
            yield from _checks(source, table, nullable, published)


def _checks(
    source: str, table: Table, nullable: list[str], published: Path | None
) -> Iterator[Check]:
    before = PUBLISHED if published else DAYS_BEFORE
    yield Check(
        "drift",
        table.name,
        "null_shares_as_before",
        f"No column of {source} is missing notably more or less often than in {before}.",
        "completeness",
        REMEDY,
        NullShares(table, tuple(nullable), published),
    )
    known = tuple(name for name in CATEGORIES if name in table.columns)
    yield Check(
        "drift",
        table.name,
        "no_new_categories",
        f"At most {NEW_CATEGORIES_SHARE:.0%} of the rows have a value of {', '.join(known)} that "
        f"{before} did not have.",
        "validity",
        REMEDY,
        Categories(table, known, published),
        allowed_share=NEW_CATEGORIES_SHARE,
    )


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """The findings; a check without earlier rows passes and says so."""
    for check in checks:
        compared: Compared = check.rule
        attach = ""
        if compared.published:
            attach = _attached(session, compared)
            if not attach:
                yield Finding(check, passed=True, description=NOTHING)
                continue
        if isinstance(compared, Categories):
            listed = replace(check, rule=_new_categories(compared))
            finding = next(iter(rows.evaluate(session, scans, [listed], window)))
        else:
            finding = _null_shares(session, check, window)
        yield replace(finding, check=check, query=finding.query and f"{attach}{finding.query}")


def _attached(session: Session, compared: Compared) -> str:
    """Attach the newest build and return the statement; empty where there is none to compare."""
    assert compared.published
    try:
        path = current_build(compared.published)
    except WarehouseError:
        return ""
    statement = session.attach(path, "published")
    published = session.columns(compared.table, "published")
    # An older build may lack columns.
    return statement if {*compared.columns} <= published.keys() else ""


def _new_categories(compared: Categories) -> ListedRows:
    table = compared.table
    keys = ("source_file", "source_row") if table.group == "raw" else table.key
    day = table.window_column
    return ListedRows(
        "\nUNION ALL\n".join(
            f"SELECT {', '.join(keys)}, {day or 'NULL::DATE'} AS day, '{name}' AS column_name\n"
            f"FROM {compared.now} AND {name} NOT IN (\n    SELECT {name} FROM {compared.before} "
            f"AND {name} IS NOT NULL\n)\n"
            # On the first days every category is new.
            f"AND EXISTS (SELECT {name} FROM {compared.before} AND {name} IS NOT NULL)"
            for name in compared.columns
        ),
        total=table.relation,
        day_column=day,
        keys=keys,
        kind="column_name",
    )


def _null_shares(session: Session, check: Check, window: Window | None) -> Finding:
    began = time.perf_counter()
    compared: NullShares = check.rule
    values = conditions(compared.table.window_column, window)
    counts = ", ".join(f"count(*) - count({name})" for name in compared.columns)

    def counted(source: str) -> tuple[int, ...]:
        return session.row(f"SELECT count(*), {counts} FROM {source}")

    of_window, before = (with_conditions(sql, values) for sql in (compared.now, compared.before))
    (now, *nulls_now), (then, *nulls_then) = counted(of_window), counted(before)
    shares = {
        name: (missing / now, missed / then)
        for name, missing, missed in zip(compared.columns, nulls_now, nulls_then, strict=True)
        if now and then
    }
    moved = {name: sides for name, sides in shares.items() if _moved(*sides, now, then)}
    description = f"{len(shares)} columns as before" if shares else NOTHING
    if moved:
        description = "; ".join(
            f"{name} missing in {a:.1%}, before in {b:.1%}" for name, (a, b) in moved.items()
        )
    return Finding(
        check,
        passed=not moved,
        description=description,
        window=window if compared.table.window_column else None,
        rows=now,
        failing=max((round(abs(a - b) * now) for a, b in moved.values()), default=0),
        figure=max((abs(a - b) for a, b in shares.values()), default=None),
        threshold=LEAST_MOVE,
        keys=[{"column": name} for name in list(moved)[:KEYS_SHOWN]],
        query=(
            f"SELECT * FROM {of_window}\n    AND "
            f"({' OR '.join(f'{name} IS NULL' for name in moved)})"
            if moved
            else None
        ),
        seconds=time.perf_counter() - began,
    )


def _moved(now: float, before: float, rows_now: int, rows_before: int) -> bool:
    pooled = (now * rows_now + before * rows_before) / (rows_now + rows_before)
    error = math.sqrt(pooled * (1 - pooled) * (1 / rows_now + 1 / rows_before))
    return abs(now - before) > max(LEAST_MOVE, STANDARD_ERRORS * error)
