"""Online Retail in other forms: from staging on, the tables are the same."""

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.load import load_source
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.conftest import Project
from analytics_assets_tests.dbt import conftest as dbt_conftest
from analytics_assets_tests.real_data.conftest import DATA, EXAMPLE
from analytics_assets_tests.sources import test_postgres as postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All days in one CSV, that as gzip, and as Parquet."""
    folder = tmp_path_factory.mktemp("forms")
    days = sorted(DATA.glob("*.csv"))
    with (folder / "all.csv").open("wb") as out:
        for number, day in enumerate(days):
            header, _, rows = day.read_bytes().partition(b"\n")
            out.write((header + b"\n" if not number else b"") + rows)
    with (folder / "all.csv").open("rb") as plain, gzip.open(folder / "all.csv.gz", "wb", 1) as out:
        shutil.copyfileobj(plain, out)
    with duckdb.connect() as connection:
        # Typed, as an export of a frame would be: identifiers of customers are floats.
        connection.execute(
            "COPY (SELECT InvoiceNo, StockCode, Description, Quantity::INT AS Quantity, "
            "InvoiceDate::TIMESTAMP AS InvoiceDate, UnitPrice::DOUBLE AS UnitPrice, "
            "CustomerID, Country FROM read_csv(?, all_varchar = true, strict_mode = true)) "
            f"TO '{folder}/all.parquet'",
            [str(folder / "all.csv")],
        )
    return folder


def example() -> SourceConfig:
    return load_sources(EXAMPLE).sources["orders"]


def loaded(config: SourceConfig, path: Path, loaded_at: datetime) -> None:
    """A warehouse of the raw tables, with the orders of a form."""
    calendar = load_sources(EXAMPLE).calendar
    assert calendar.end is not None
    warehouse = Warehouse(path)
    warehouse.prepare()
    with warehouse.transaction() as session:
        result = load_source(
            session.connection, config, calendar, Window(calendar.start, calendar.end), loaded_at
        )
    assert (result.total.read, result.total.rejected) == (541_909, 0)


@dataclass(frozen=True)
class Tables:
    """What dbt makes of the files of days: by table, in the order of the graph.

    Attributes:
        loaded_at: when they were loaded.
        queries: what the table is made by.
        contents: number of its rows, and the sum of their hashes.
    """

    loaded_at: datetime
    queries: dict[str, str]
    contents: dict[str, tuple[int, int | None]]


@pytest.fixture(scope="module")
def by_day(retail: Project, manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    assert retail.outcome.failures == []
    dbt = dbt_conftest.Warehouse(tmp_path_factory.mktemp("by_day"), manifest)
    dbt.create()
    order = []
    for selected, window in (
        (("--exclude", "customer_analytics_daily+"), ("2010-12-01", "2011-12-10")),
        (("--select", "customer_analytics_daily+", "--exclude"), ("2011-12-09", "2011-12-10")),
    ):
        # Tests, and what is made of the model's tables.
        others = ("resource_type:test", "resource_type:unit_test", "source:churn+")
        result = dbt.dbt("compile", *selected, *others, window=window)
        assert result.success, dbt_conftest.failures(result)
        order += [done.node.name for done in result.result.results]  # type: ignore[union-attr]
    models = {file.stem: file for file in (dbt.path.parent / "target/compiled").rglob("*.sql")}
    with retail.warehouse.read() as session:
        loads = session.rows("SELECT DISTINCT loaded_at FROM raw.raw_orders")
        ((loaded_at,),) = loads
        # What is made of sources that are not there may be not there, either.
        contents = {
            name: content(session.connection, name) if session.kind(TABLES[name]) else (0, None)
            for name in order
        }
    return Tables(loaded_at, {name: models[name].read_text() for name in order}, contents)


def content(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[int, int | None]:
    """Rows of a table and the sum of their hashes, whatever place in a source they come from."""
    columns = "*COLUMNS(lambda name: name NOT IN ('source_file', 'source_row'))"
    ((rows, hashes),) = connection.execute(
        f"SELECT count(*), sum(hash({columns})::HUGEINT) FROM {TABLES[name].relation}"
    ).fetchall()
    return rows, hashes


@pytest.fixture(params=["all.csv", "all.csv.gz", "all.parquet", "postgres"])
def form(
    request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SourceConfig]:
    if request.param != "postgres":
        kind = "parquet" if request.param.endswith("parquet") else "csv"
        yield replace(example(), path=str(folder / request.param), format=kind)
        return
    if postgres.programs() is None:
        pytest.skip("there is no PostgreSQL server to start")
    with postgres.server() as started:
        monkeypatch.setenv("RETAIL_DATABASE_URL", started.address)
        database = postgres.Database(started.address)
        with database.connection() as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("lines", pq.read_table(folder / "all.parquet"))
            connection.commit()
        yield replace(
            example(),
            path="",
            format="postgres",
            connection_env="RETAIL_DATABASE_URL",
            table="lines",
        )


def test_every_form_gives_the_same_tables(
    form: SourceConfig, by_day: Tables, tmp_path: Path
) -> None:
    path = tmp_path / "warehouse.duckdb"
    loaded(form, path, by_day.loaded_at)
    with duckdb.connect(str(path)) as connection:
        for name, query in by_day.queries.items():
            kind = "VIEW" if TABLES[name].group == "staging" else "TABLE"
            connection.execute(f"CREATE {kind} {TABLES[name].relation} AS {query}")
            assert content(connection, name) == by_day.contents[name], name
        staged = connection.execute("SELECT count(*) FROM staging.stg_orders").fetchone()
        assert staged == (541_909 - 5_268,)
        features = connection.execute("SELECT count(*) FROM churn.churn_features").fetchone()
        assert features > (10_000,)
