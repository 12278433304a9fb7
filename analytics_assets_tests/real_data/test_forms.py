"""Online Retail in other forms: from staging on, the tables are the same."""

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.load import load_source
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.conftest import REPOSITORY, Project
from analytics_assets_tests.sources import test_postgres as postgres

DATA = REPOSITORY.parent / "shared" / "data" / "online_retail"

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
    config = load_sources(REPOSITORY / "examples" / "online_retail.yaml").sources["orders"]
    return replace(config, path=f"{DATA}/{{date}}.csv")


def built(config: SourceConfig, path: Path) -> Warehouse:
    """The raw table of a form, and staging's view of it."""
    calendar = load_sources(REPOSITORY / "examples" / "online_retail.yaml").calendar
    assert calendar.end is not None
    warehouse = Warehouse(path)
    warehouse.prepare()
    loaded_at = datetime(2012, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    with warehouse.transaction() as connection:
        result = load_source(
            connection, config, calendar, Window(calendar.start, calendar.end), loaded_at
        )
    assert (result.total.read, result.total.rejected) == (541_909, 0)
    return warehouse


@pytest.fixture(scope="module")
def staging(built_project: Project) -> str:
    """The query of staging's view, as dbt makes it."""
    ((sql,),) = built_project.query("SELECT sql FROM duckdb_views() WHERE view_name = 'stg_orders'")
    return str(sql).partition(" AS ")[2].rstrip(";")


def staged(warehouse: Warehouse, staging: str) -> pa.Table:
    """Staging's rows, without where they come from."""
    with warehouse.read() as connection:
        return connection.execute(
            f"SELECT * EXCLUDE (source_file, source_row) FROM ({staging})"
        ).to_arrow_table()


@pytest.fixture(scope="module")
def by_day(tmp_path_factory: pytest.TempPathFactory, staging: str) -> pa.Table:
    return staged(built(example(), tmp_path_factory.mktemp("by_day") / "warehouse.duckdb"), staging)


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
    with postgres.server() as address:
        monkeypatch.setenv("RETAIL_DATABASE_URL", address)
        database = postgres.Database(address)
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


def test_every_form_gives_the_same_staging(
    form: SourceConfig, by_day: pa.Table, staging: str, tmp_path: Path
) -> None:
    other = staged(built(form, tmp_path / "warehouse.duckdb"), staging)
    assert other.num_rows == by_day.num_rows == 541_909 - 5_268
    with duckdb.connect() as connection:
        connection.register("one", other)
        connection.register("two", by_day)
        for left, right in (("one", "two"), ("two", "one")):
            difference = f"FROM {left} EXCEPT ALL FROM {right}"
            assert connection.execute(difference).fetchmany(3) == []
