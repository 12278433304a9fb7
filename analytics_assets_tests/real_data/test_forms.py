"""Online Retail in other forms: from staging on, the tables are the same."""

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
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
from analytics_assets_tests.conftest import REPOSITORY
from analytics_assets_tests.dbt import conftest as dbt_conftest
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


def loaded(config: SourceConfig, path: Path) -> None:
    """A warehouse of the raw tables, with the orders of a form."""
    calendar = load_sources(REPOSITORY / "examples" / "online_retail.yaml").calendar
    assert calendar.end is not None
    warehouse = Warehouse(path)
    warehouse.prepare()
    with warehouse.transaction() as connection:
        for table in TABLES.values():
            if table.group == "raw":
                connection.execute(table.ddl)
    loaded_at = datetime(2012, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    with warehouse.transaction() as connection:
        result = load_source(
            connection, config, calendar, Window(calendar.start, calendar.end), loaded_at
        )
    assert (result.total.read, result.total.rejected) == (541_909, 0)


VIEWS = [table for table in TABLES.values() if table.group == "staging"]


@dataclass(frozen=True)
class Tables:
    """What dbt makes of the files of days: the file, and the queries in the order of the graph."""

    path: Path
    queries: dict[str, str]


@pytest.fixture(scope="module")
def by_day(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Tables:
    dbt = dbt_conftest.Warehouse(tmp_path_factory.mktemp("by_day"), manifest)
    loaded(example(), dbt.path)
    order = []
    for selected, window in (
        (("--exclude", "customer_analytics_daily+"), ("2010-12-01", "2011-12-10")),
        (("--select", "customer_analytics_daily+"), ("2011-12-09", "2011-12-10")),
    ):
        result = dbt.dbt("run", *selected, window=window)
        assert result.success, dbt_conftest.failures(result)
        order += [done.node.name for done in result.result.results]  # type: ignore[union-attr]
    models = {file.stem: file for file in (dbt.path.parent / "target/compiled").rglob("*.sql")}
    # Seen from another file, a view would read that file.
    dbt.execute(*(f"CREATE TABLE {t.name} AS FROM {t.relation}" for t in VIEWS))
    return Tables(dbt.path, {name: models[name].read_text() for name in order})


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


def test_every_form_gives_the_same_tables(
    form: SourceConfig, by_day: Tables, tmp_path: Path
) -> None:
    loaded(form, tmp_path / "warehouse.duckdb")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(f"ATTACH '{by_day.path}' AS days (READ_ONLY)")
        for name, query in by_day.queries.items():
            view, relation = TABLES[name] in VIEWS, TABLES[name].relation
            kind = "VIEW" if view else "TABLE"
            connection.execute(f"CREATE {kind} {relation} AS {query}")
            # Where a row comes from is another place in each form.
            columns = "*COLUMNS(lambda name: name NOT IN ('source_file', 'source_row'))"
            rows = f"SELECT count(*), sum(hash({columns})::HUGEINT)"
            here = connection.execute(f"{rows} FROM {relation}").fetchall()
            there = f"days.{f'main.{name}' if view else relation}"
            assert here == connection.execute(f"{rows} FROM {there}").fetchall(), name
        staged = connection.execute("SELECT count(*) FROM staging.stg_orders").fetchone()
        assert staged == (541_909 - 5_268,)
        features = connection.execute("SELECT count(*) FROM churn.churn_features").fetchone()
        assert features > (10_000,)
