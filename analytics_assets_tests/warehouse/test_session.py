"""What a session answers, and that SQL reaches another engine in its own words."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.rows import insert


@pytest.fixture
def session() -> Iterator[DuckDBSession]:
    with duckdb.connect() as connection:
        yield DuckDBSession(connection)


class Spark(DuckDBSession):
    """Keeps the SQL that an engine of another dialect would get."""

    dialect = "spark"

    def __init__(self) -> None:
        self.sent: list[str] = []

    def _run(self, sql: str, parameters: Sequence[Any]) -> None:
        self.sent.append(sql)

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> tuple[list[str], list[Any]]:
        self.sent.append(sql)
        return ["n"], [(1,)]


def test_rows_come_as_tuples_records_values_and_frames(session: DuckDBSession) -> None:
    query = "SELECT * FROM (VALUES (1, 'a'), (2, NULL)) AS t (n, name) WHERE n >= ? ORDER BY n"
    assert session.rows(query, [1]) == [(1, "a"), (2, None)]
    assert session.row(query, [2]) == (2, None)
    assert session.records(query, [2]) == [{"n": 2, "name": None}]
    assert session.value(query, [1]) == 1
    assert session.value(query, [3]) is None
    assert session.frame(query, [1])["n"].tolist() == [1, 2]


def test_large_results_come_in_batches(session: DuckDBSession) -> None:
    batches = list(session.batches("SELECT * FROM range(5000) AS t (n)", 2048))
    assert sum(batch.num_rows for batch in batches) == 5000
    assert max(batch.num_rows for batch in batches) <= 2048


def test_a_table_a_view_and_nothing_are_told_apart(session: DuckDBSession) -> None:
    table = TABLES["fact_orders"]
    assert session.kind(table) is None
    assert not session.exists(table)
    assert session.columns(table) == {}
    insert(session.connection, "fact_orders", {})
    assert session.kind(table) == "table"
    assert session.has_declared_columns(table)
    assert session.count(table.relation) == 1
    assert session.count(table.relation, "quantity > 1") == 0
    session.execute(f"ALTER TABLE {table.relation} RENAME quantity TO pieces")
    assert not session.has_declared_columns(table)
    session.execute("CREATE VIEW core.dim_date AS SELECT 1 AS n")
    assert session.kind(TABLES["dim_date"]) == "view"


def test_a_kept_result_can_be_replaced_and_dropped(session: DuckDBSession) -> None:
    session.keep("found", "SELECT 1 AS n")
    session.keep("found", "SELECT 2 AS n")
    assert session.rows("FROM found") == [(2,)]
    session.drop("found")
    with pytest.raises(duckdb.CatalogException):
        session.rows("FROM found")


def test_a_frame_and_another_file_can_be_read_by_name(
    session: DuckDBSession, tmp_path: Path
) -> None:
    session.register("given", pd.DataFrame({"n": [1, 2]}))
    assert session.count("given") == 2
    other = tmp_path / "it's.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    statement = session.attach(other, "other")
    assert session.rows("FROM other.t") == [(7,)]
    with duckdb.connect() as connection:
        connection.execute(statement)
        assert connection.execute("FROM other.t").fetchall() == [(7,)]


def test_sql_reaches_another_engine_in_its_own_words() -> None:
    spark = Spark()
    spark.execute("CREATE TABLE t AS SELECT 'a'::VARCHAR AS name")
    assert spark.value("SELECT count(*) FROM t WHERE name IN (FROM s)") == 1
    assert spark.sent == [
        "CREATE TABLE t AS SELECT CAST('a' AS STRING) AS name",
        "SELECT COUNT(*) FROM t WHERE name IN (SELECT * FROM s)",
    ]
