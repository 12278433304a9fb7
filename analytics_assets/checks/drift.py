"""Columns that hold something else than in the days before.

Belongs here: null shares and new categories of the window against the days before it. Does not
belong here: types, which the tables fix (`schema`), or rows that are rare by themselves
(`anomalies`). Categories are counted, not shown: a shifted column would show what is in it.
"""

import math
import time
from collections.abc import Iterator, Sequence

import duckdb

from analytics_assets.checks import rows
from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding
from analytics_assets.checks.rows import ListedRows, conditions
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourcesConfig

# A null share has moved when it differs by so much, and by more than so many standard errors of
# the difference of two shares.
LEAST_MOVE = 0.05
STANDARD_ERRORS = 5.0
NEW_CATEGORIES_SHARE = 0.01
CATEGORIES = ("status", "country", "product_category", "device", "channel")
REMEDY = (
    "Ask what has changed in the source: a column that is no longer filled or mapped, a new word. "
    "Map it in the source configuration and load the days again; if it is right, the days to come "
    "take it for usual."
)


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """Two checks for each source that has days."""
    for source, config in sources.sources.items():
        table = config.contract.table
        if not table.window_column:
            continue
        nullable = [
            name for name in config.contract.columns if name not in config.contract.not_null
        ]
        yield Check(
            "drift",
            table.name,
            "null_shares_as_before",
            f"No column of {source} is missing notably more or less often than in the "
            f"{rows.REFERENCE_DAYS} days before.",
            "completeness",
            REMEDY,
            tuple(nullable),
            severe_share=None,
        )
        known = [name for name in CATEGORIES if name in config.contract.columns]
        yield Check(
            "drift",
            table.name,
            "no_new_categories",
            f"Of {', '.join(known)}, words that the {rows.REFERENCE_DAYS} days before did not have "
            f"stand in at most {NEW_CATEGORIES_SHARE:.0%} of the rows.",
            "validity",
            REMEDY,
            ListedRows(
                "\nUNION ALL\n".join(
                    f"SELECT source_file, source_row, {table.window_column} AS day, "
                    f"'{name}' AS column_name FROM {table.relation}\n"
                    f"WHERE {{window}} AND {name} NOT IN (\n    SELECT {name} FROM "
                    f"{table.relation} WHERE {{before}} AND {name} IS NOT NULL\n)\n"
                    # Before the first days everything is new.
                    f"AND EXISTS (SELECT {name} FROM {table.relation} WHERE {{before}} "
                    f"AND {name} IS NOT NULL)"
                    for name in known
                ),
                total=table.relation,
                day_column=table.window_column,
                keys=("source_file", "source_row"),
                kind="column_name",
            ),
            severe_share=None,
            allowed_share=NEW_CATEGORIES_SHARE,
        )


def evaluate(
    connection: duckdb.DuckDBPyConnection,
    scans: Scans,
    checks: Sequence[Check],
    window: Window | None,
) -> Iterator[Finding]:
    """The findings; a window with nothing before it passes and says so."""
    yield from rows.evaluate(
        connection,
        scans,
        [check for check in checks if isinstance(check.rule, ListedRows)],
        window,
    )
    for check in checks:
        if not isinstance(check.rule, ListedRows):
            yield _null_shares(connection, check, window)


def _null_shares(
    connection: duckdb.DuckDBPyConnection, check: Check, window: Window | None
) -> Finding:
    began = time.perf_counter()
    table = TABLES[check.asset]
    places = conditions(table.window_column, window)
    of_window, before = places["{window}"], places["{before}"]
    counts = ", ".join(
        f"count(*) FILTER ({part} AND {name} IS NULL)"
        for name in check.rule
        for part in (of_window, before)
    )
    found = connection.execute(
        f"SELECT count(*) FILTER ({of_window}), count(*) FILTER ({before}), {counts} "
        f"FROM {table.relation} WHERE {places['{reference}']}"
    ).fetchone()
    assert found is not None
    now, then, *nulls = found
    shares = {
        name: (nulls[2 * position] / now, nulls[2 * position + 1] / then)
        for position, name in enumerate(check.rule)
        if now and then
    }
    moved = {name: sides for name, sides in shares.items() if _moved(sides[0], sides[1], now, then)}
    return Finding(
        check,
        passed=not moved,
        description=(
            "; ".join(
                f"{name} missing in {a:.1%}, before in {b:.1%}" for name, (a, b) in moved.items()
            )
            if moved
            else f"{len(shares)} columns as before"
            if shares
            else "nothing before to compare with"
        ),
        severe=False,
        window=window,
        rows=now,
        failing=max((round(abs(a - b) * now) for a, b in moved.values()), default=0),
        figure=max((abs(a - b) for a, b in shares.values()), default=None),
        threshold=LEAST_MOVE,
        keys=[{"column": name} for name in list(moved)[:KEYS_SHOWN]],
        query=None
        if not moved
        else (
            f"SELECT * FROM {table.relation}\nWHERE {of_window}\n    AND "
            f"({' OR '.join(f'{name} IS NULL' for name in moved)})"
        ),
        seconds=time.perf_counter() - began,
    )


def _moved(now: float, before: float, rows_now: int, rows_before: int) -> bool:
    pooled = (now * rows_now + before * rows_before) / (rows_now + rows_before)
    error = math.sqrt(pooled * (1 - pooled) * (1 / rows_now + 1 / rows_before))
    return abs(now - before) > max(LEAST_MOVE, STANDARD_ERRORS * error)
