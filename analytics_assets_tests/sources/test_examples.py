"""The worked configurations, word for word, over the sample: they load what its files give."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.configured import sample_sources
from analytics_assets.sources.sample import write_sample
from analytics_assets_tests.sources import test_object_store as store
from analytics_assets_tests.sources import test_postgres as postgres
from analytics_assets_tests.sources.conftest import Source

EXAMPLES = Path(__file__).parents[2] / "examples"
CALENDAR = Calendar(date(2024, 1, 1), date(2024, 4, 1))
WINDOW = Window(date(2024, 1, 25), date(2024, 2, 12))  # a file a day, and some days are enough
SOURCES = ("orders", "user_sessions", "customers", "products")

pytestmark = pytest.mark.slow

# The fixture of the other module, under its own name.
address = store.address
bucket = store.bucket


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "sample"
    write_sample(folder, customers=150, months=3)
    return folder


def loaded(source: Source, sources: SourcesConfig) -> dict[str, list[Any]]:
    """The typed rows of each raw table, without where they came from."""
    assert sources.calendar == CALENDAR
    tables = {}
    for name in SOURCES:
        config = sources.sources[name]
        window = WINDOW if config.contract.time_column else None
        result = source.load(config, window, CALENDAR)
        assert result.total.accepted > 0
        columns = ", ".join(config.contract.columns)
        tables[name] = source.rows(f"SELECT {columns} FROM raw.raw_{name} ORDER BY ALL")
    return tables


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What the files of the sample give."""
    source = Source(tmp_path_factory.mktemp("expected"))
    return loaded(source, sample_sources(folder, CALENDAR))


@pytest.fixture
def accepted(folder: Path, source: Source, expected: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """The accepted rows, for a database or a lake to hold."""
    loaded(source, sample_sources(folder, CALENDAR))
    with source.transaction() as connection:
        yield connection
    source.empty()


def test_postgres(
    source: Source,
    accepted: duckdb.DuckDBPyConnection,
    expected: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if postgres.programs() is None:
        pytest.skip("there is no PostgreSQL server to start")
    tables = {
        # An order's status stands on the order; a line that tells it later is another row.
        "orders": "SELECT order_id || '/' || row_number() OVER (ORDER BY source_file, source_row) "
        "AS id, order_id, "
        "ordered_at AS placed_at, customer_id AS buyer_id, CASE status WHEN 'pending' THEN 'open' "
        "WHEN 'completed' THEN 'PAID' WHEN 'cancelled' THEN 'void' WHEN 'returned' THEN 'refunded' "
        "END AS state, updated_at AS changed_at, line_number AS position, product_id AS sku, "
        "quantity, unit_price FROM raw.raw_orders",
        "buyers": "SELECT customer_id AS id, registered_at AS joined_at, * EXCLUDE (customer_id, "
        "registered_at, source_file, source_row, loaded_at) FROM raw.raw_customers",
        "products": "SELECT product_id AS sku, product_name AS title, category, "
        "list_price AS price, unit_cost, updated_at FROM raw.raw_products",
        "visits": "SELECT session_id AS id, customer_id AS buyer_id, started_at AS began_at, "
        "ended_at, page_views, device, channel, updated_at FROM raw.raw_user_sessions",
    }
    with postgres.server() as started:
        monkeypatch.setenv("SHOP_DATABASE_URL", started.address)
        database = postgres.Database(started.address)
        database.run("CREATE SCHEMA shop")
        with database.connection() as connection, connection.cursor() as cursor:
            for name, query in tables.items():
                rows = accepted.execute(query).to_arrow_table()
                cursor.adbc_ingest(name, rows, db_schema_name="shop")
            cursor.execute(
                "CREATE TABLE shop.order_lines AS SELECT id AS order_id, position, sku, quantity, "
                "unit_price, changed_at FROM shop.orders"
            )
            connection.commit()
        found = loaded(Source(source.folder / "out"), load_sources(EXAMPLES / "postgres.yaml"))
    ids = [row[0] for row in expected["orders"]]
    assert sorted(row[0].partition("/")[0] for row in found["orders"]) == ids
    # The example's lines have no amount and no category; all else of an order is the same.
    left_out = ("order_id", "amount", "product_category")
    columns = [n for n, name in enumerate(_columns("orders")) if name not in left_out]
    assert sorted(_pick(found["orders"], columns)) == sorted(_pick(expected["orders"], columns))
    for name in SOURCES[1:]:
        assert found[name] == expected[name]


def test_lake(
    source: Source,
    accepted: duckdb.DuckDBPyConnection,
    expected: dict[str, list[Any]],
    bucket: Any,
) -> None:
    for name in SOURCES:
        table = f"raw.raw_{name}"
        columns = ", ".join(_columns(name))
        day = {"orders": "order_date", "user_sessions": "session_date"}.get(name)
        days = accepted.execute(f"SELECT DISTINCT {day} FROM {table}").fetchall() if day else [()]
        for key in days:
            where = f"{day} = DATE '{key[0]}'" if day else "TRUE"
            rows = accepted.execute(f"SELECT {columns} FROM {table} WHERE {where}").to_arrow_table()
            part = f"date={key[0]}/part-0" if day else name
            with bucket.open(f"lake/{name}/{part}.parquet", "wb") as stream:
                pq.write_table(rows, stream)
    found = loaded(Source(source.folder / "out"), load_sources(EXAMPLES / "lake.yaml"))
    assert found == expected


def _columns(source: str) -> list[str]:
    return replace(sample_sources(EXAMPLES, CALENDAR).sources[source]).contract.columns


def _pick(rows: list[Any], columns: list[int]) -> list[str]:
    return [repr([row[column] for column in columns]) for row in rows]
