"""Replacing a window: by name, in the window only, the same whatever the order of runs."""

import random
from datetime import date, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest

from analytics_assets.partitions import Window
from analytics_assets.schemas import Table
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.windows import (
    WindowError,
    partition_row_counts,
    window_predicate,
)
from analytics_assets_tests.warehouse.conftest import readings

DAY = date(2024, 1, 10)
ONE_DAY = Window(DAY, DAY + timedelta(1))
COLUMNS = (
    "DATE '2024-01-10' AS day, 'a' AS name, 1 AS first, 2 AS second, 'n' AS note, 0.5 AS share"
)


@pytest.fixture
def connection(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    connection.execute("CREATE SCHEMA raw")
    connection.execute(readings().ddl)
    return connection


def put(connection: duckdb.DuckDBPyConnection, *rows: tuple[date, str, int]) -> None:
    connection.executemany(
        "INSERT INTO raw.readings (day, name, first, second) VALUES (?, ?, ?, 0)", rows
    )


def names(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    return connection.execute("SELECT day, name FROM raw.readings ORDER BY ALL").fetchall()


def test_the_window_is_half_open() -> None:
    predicate = window_predicate("day", Window(date(2024, 1, 1), date(2024, 1, 3)))
    found = duckdb.sql(
        f"FROM range(DATE '2023-12-30', DATE '2024-01-06', INTERVAL 1 DAY) t (day) "
        f"SELECT day::DATE WHERE {predicate}"
    ).fetchall()
    assert found == [(date(2024, 1, 1),), (date(2024, 1, 2),)]
    assert window_predicate("day", None) == "TRUE"


def test_only_the_window_is_replaced(connection: duckdb.DuckDBPyConnection) -> None:
    before, after = DAY - timedelta(1), DAY + timedelta(1)
    put(connection, (before, "kept", 1), (DAY, "gone", 1), (DAY, "gone", 2), (after, "kept", 1))
    assert DuckDBSession(connection).replace_window(readings(), f"(SELECT {COLUMNS})", ONE_DAY) == 1
    assert names(connection) == [(before, "kept"), (DAY, "a"), (after, "kept")]


def test_columns_go_by_name_and_not_by_position(connection: duckdb.DuckDBPyConnection) -> None:
    swapped = (
        "(SELECT 0.5 AS share, 2 AS second, 1 AS first, 'n' AS note, 'a' AS name, "
        "DATE '2024-01-10' AS day)"
    )
    DuckDBSession(connection).replace_window(readings(), swapped, ONE_DAY)
    assert connection.execute("FROM raw.readings").fetchall() == [(DAY, "a", 1, 2, "n", 0.5)]


def test_an_empty_relation_empties_the_window(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, (DAY, "gone", 1), (DAY + timedelta(1), "kept", 1))
    assert (
        DuckDBSession(connection).replace_window(readings(), f"(SELECT {COLUMNS} LIMIT 0)", ONE_DAY)
        == 0
    )
    assert names(connection) == [(DAY + timedelta(1), "kept")]


def test_an_empty_relation_makes_the_table(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DROP TABLE raw.readings")
    DuckDBSession(connection).replace_window(readings(), f"(SELECT {COLUMNS} LIMIT 0)", ONE_DAY)
    types = [row[1] for row in connection.execute("DESCRIBE raw.readings").fetchall()]
    assert types == ["DATE", "VARCHAR", "INTEGER", "INTEGER", "VARCHAR", "DOUBLE"]


@pytest.mark.parametrize("day", ["DATE '2024-01-09'", "DATE '2024-01-11'", "NULL::DATE"])
def test_a_row_outside_the_window_is_refused_and_nothing_written(
    connection: duckdb.DuckDBPyConnection, day: str
) -> None:
    put(connection, (DAY, "kept", 1))
    outside = COLUMNS.replace("DATE '2024-01-10'", day)
    rows = f"(SELECT {COLUMNS} UNION ALL SELECT {outside})"
    with pytest.raises(
        WindowError, match=r"1 rows lie outside the window \[2024-01-10, 2024-01-11"
    ):
        DuckDBSession(connection).replace_window(readings(), rows, ONE_DAY)
    assert names(connection) == [(DAY, "kept")]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (COLUMNS.replace(", 2 AS second", ""), r"missing \['second'\], not in the table \[\]"),
        (COLUMNS + ", 1 AS extra", r"missing \[\], not in the table \['extra'\]"),
        (COLUMNS.replace("note", "Note"), r"missing \['note'\], not in the table \['Note'\]"),
    ],
)
def test_a_missing_or_unknown_column_is_refused_and_nothing_written(
    connection: duckdb.DuckDBPyConnection, columns: str, sentence: str
) -> None:
    put(connection, (DAY, "kept", 1))
    with pytest.raises(WindowError, match=sentence):
        DuckDBSession(connection).replace_window(readings(), f"(SELECT {columns})", ONE_DAY)
    assert names(connection) == [(DAY, "kept")]


def test_an_all_null_column_keeps_its_type(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DROP TABLE raw.readings")
    frame = pd.DataFrame(
        {"day": [DAY], "name": "a", "first": 1, "second": 2, "note": None, "share": None}
    )
    connection.register("frame", frame)
    DuckDBSession(connection).replace_window(readings(), "frame", ONE_DAY)
    found = connection.execute("SELECT typeof(note), note, typeof(share) FROM raw.readings")
    assert found.fetchall() == [("VARCHAR", None, "DOUBLE")]


def test_without_a_window_the_whole_table_is_replaced(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    put(connection, (DAY, "gone", 1), (date(1999, 1, 1), "gone", 1))
    assert (
        DuckDBSession(connection).replace_window(readings(None), f"(SELECT {COLUMNS})", None) == 1
    )
    assert names(connection) == [(DAY, "a")]


def test_a_condition_limits_what_is_replaced(connection: duckdb.DuckDBPyConnection) -> None:
    put(connection, (DAY, "kept", 1), (DAY, "gone", 7), (DAY + timedelta(1), "kept too", 7))
    DuckDBSession(connection).replace_window(
        readings(), f"(SELECT {COLUMNS})", ONE_DAY, where="first = 7"
    )
    assert [name for _, name in names(connection)] == ["a", "kept", "kept too"]


def test_row_counts_name_the_empty_days_of_the_window_and_no_other(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    put(connection, *[(DAY + timedelta(n), "a", 1) for n in (-1, 0, 0, 2, 3)])
    window = Window(DAY, DAY + timedelta(3))
    assert partition_row_counts(DuckDBSession(connection), readings(), window) == {
        DAY: 2,
        DAY + timedelta(1): 0,
        DAY + timedelta(2): 1,
    }


def test_row_counts_of_a_monthly_table_are_by_month(connection: duckdb.DuckDBPyConnection) -> None:
    months = [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)]
    put(connection, (months[0], "a", 1), (months[0], "b", 1), (months[2], "a", 1))
    window = Window(date(2024, 1, 1), date(2024, 3, 1))
    counts = partition_row_counts(DuckDBSession(connection), readings("monthly"), window)
    assert counts == {months[0]: 2, months[1]: 0}


def source_of(rng: random.Random, days: list[date]) -> pd.DataFrame:
    """Some rows on some of the days, their columns in any order."""
    rows = [
        {"day": day, "name": f"{day}-{n}", "first": rng.randrange(9), "second": n}
        | {"note": None, "share": None}
        for day in days
        for n in range(rng.choice([0, 1, 3]))
    ]
    columns = readings().columns
    rng.shuffle(columns)
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_input_gives_the_same_table_whatever_the_order_or_number_of_runs(
    connection: duckdb.DuckDBPyConnection, seed: int
) -> None:
    rng = random.Random(seed)
    table: Table = readings()
    days = [DAY + timedelta(n) for n in range(8)]

    def run(source: pd.DataFrame, start: int, end: int) -> None:
        window = Window(DAY + timedelta(start), DAY + timedelta(end))
        part = source[[window.start <= day < window.end for day in source["day"]]]
        connection.register("part", part)
        DuckDBSession(connection).DuckDBSession(table).replace_window("part", window)

    # An older state of the source, loaded in any windows, then the newest until all is covered.
    old, new = source_of(rng, days), source_of(rng, days)
    for _ in range(rng.randrange(4)):
        start = rng.randrange(8)
        run(old, start, rng.randint(start + 1, 8))
    stale = set(range(8))
    while stale:
        start = rng.randrange(8)
        end = rng.randint(start + 1, 8)
        run(new, start, end)
        stale -= set(range(start, end))

    found = connection.execute("SELECT name, first, second FROM raw.readings ORDER BY ALL")
    expected = new.sort_values("name")[["name", "first", "second"]].itertuples(index=False)
    assert found.fetchall() == [tuple(row) for row in expected]
