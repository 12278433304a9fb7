"""PostgreSQL as a source, against a real server that the tests start."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from analytics_assets.partitions import Window
from analytics_assets.sources.changes import changed_days, source_versions
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.sources.readers.postgres import _PostgresSession
from analytics_assets_tests.postgres import programs, server
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, Source

ADDRESS = "TEST_SHOP_DATABASE_URL"


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None, reason="there is no PostgreSQL server to start"),
]


class Database:
    """Statements against the server."""

    def __init__(self, address: str) -> None:
        self.address = address

    @contextmanager
    def connection(self) -> Iterator[Any]:
        import adbc_driver_postgresql.dbapi as postgres

        with postgres.connect(self.address) as connection:
            yield connection

    def run(self, *statements: str) -> None:
        with self.connection() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    with server() as started:
        yield started.address


@pytest.fixture
def database(running: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Three lines of two days, in types as databases have them."""
    monkeypatch.setenv(ADDRESS, running)
    database = Database(running)
    database.run(
        "DROP SCHEMA IF EXISTS shop CASCADE",
        "CREATE SCHEMA shop",
        "CREATE TYPE shop.state AS ENUM ('completed', 'open')",
        """CREATE TABLE shop.orders (
            order_id uuid, line_number smallint, ordered_at timestamptz, customer_id bigint,
            product_id text, quantity integer, unit_price numeric(12, 5), status shop.state,
            updated_at timestamptz, note jsonb)""",
        "INSERT INTO shop.orders SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 1, "
        "'2024-01-02 23:30:00+00'::timestamptz + n * interval '20 minutes', 7 + n, 'P' || n, n, "
        "1.25 * n, 'completed', '2024-01-09 00:00:00+00', '{\"a\": 1}' "
        "FROM generate_series(0, 2) n",
        "UPDATE shop.orders SET quantity = 1 WHERE quantity = 0",
    )
    return database


CONFIG = SourceConfig("orders", format="postgres", connection_env=ADDRESS, table="shop.orders")
FIRST, SECOND = date(2024, 1, 2), date(2024, 1, 3)


def test_types_of_the_database_become_those_of_the_contract(
    source: Source, database: Database
) -> None:
    result = source.load(CONFIG)
    assert result.warnings == ("columns that nothing reads: note",)
    rows = source.rows(
        "SELECT order_id[-1:], line_number, ordered_at::VARCHAR, order_date, customer_id, "
        "quantity, unit_price::VARCHAR, status FROM raw.raw_orders ORDER BY ordered_at"
    )
    assert rows == [
        ("0", 1, "2024-01-02 23:30:00", FIRST, "7", 1, "0.0000", "completed"),
        ("1", 1, "2024-01-02 23:50:00", FIRST, "8", 1, "1.2500", "completed"),
        ("2", 1, "2024-01-03 00:10:00", SECOND, "9", 2, "2.5000", "completed"),
    ]


def test_a_number_of_too_many_decimals_and_a_missing_time_are_rejected(
    source: Source, database: Database
) -> None:
    database.run(
        "UPDATE shop.orders SET unit_price = 1.23456 WHERE product_id = 'P1'",
        "UPDATE shop.orders SET ordered_at = NULL WHERE product_id = 'P2'",
        "UPDATE shop.orders SET ordered_at = 'infinity' WHERE product_id = 'P0'",
    )
    result = source.load(CONFIG)
    assert result.reasons == {
        "unit_price: not a number of at most 4 decimals": 1,
        "ordered_at: missing": 1,
        "ordered_at: outside the calendar": 1,  # what its infinity becomes
    }
    # Rows without a usable day are the first day's, in the ledger and in its version.
    assert source.load(CONFIG, Window(CALENDAR.start, date(2024, 1, 2))).total.rejected == 2
    assert source.load(CONFIG, Window(FIRST, date(2024, 2, 1))).total.read == 1


def test_times_without_a_zone_are_of_the_declared_one(source: Source, database: Database) -> None:
    database.run(
        "ALTER TABLE shop.orders ALTER ordered_at TYPE timestamp "
        "USING ordered_at AT TIME ZONE 'UTC'"
    )
    config = replace(CONFIG, time_zone="Asia/Tokyo")
    source.load(config)
    assert source.rows("SELECT order_date, count(*) FROM raw.raw_orders GROUP BY 1") == [(FIRST, 3)]
    # Day by day is the same as all at once: the database cuts wider than the load does.
    whole = source.state()["raw_orders"]
    source.empty()
    for day in JANUARY:
        source.load(config, Window(day, date.fromordinal(day.toordinal() + 1)))
    assert source.state()["raw_orders"] == whole


def test_exactly_the_days_that_changed_are_asked_for(source: Source, database: Database) -> None:
    assert source.warehouse
    sources = SourcesConfig(CALENDAR, {"orders": CONFIG})
    keys = [day.isoformat() for day in JANUARY]

    def changed() -> list[date]:
        return sorted(changed_days(sources, source.warehouse, keys))

    source.load(CONFIG)
    assert changed() == []
    database.run("UPDATE shop.orders SET quantity = 9 WHERE product_id = 'P2'")
    assert changed() == [SECOND]
    source.load(CONFIG, Window(SECOND, date(2024, 1, 4)))
    assert changed() == []
    # Moved: gone from one day and new on another.
    database.run("UPDATE shop.orders SET ordered_at = ordered_at + interval '3 days' "
                 "WHERE product_id = 'P0'")  # fmt: skip
    assert changed() == [FIRST, date(2024, 1, 5)]
    source.load(CONFIG)
    database.run("DELETE FROM shop.orders WHERE product_id = 'P1'")
    assert changed() == [FIRST]
    source.load(CONFIG, Window(FIRST, SECOND))
    assert source.rows("SELECT count(*) FROM raw.raw_orders") == [(2,)]


def test_a_bookmark_looks_only_at_what_was_updated(source: Source, database: Database) -> None:
    assert source.warehouse
    config = replace(CONFIG, change_detection="updated_at")
    database.run("UPDATE shop.orders SET updated_at = '2024-01-09 12:00' WHERE product_id = 'P0'")
    source.load(config)
    before = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    database.run("UPDATE shop.orders SET quantity = 9 WHERE product_id = 'P2'")  # no updated_at
    assert source_versions(config, CALENDAR, JANUARY, source.warehouse) == before
    database.run("UPDATE shop.orders SET updated_at = '2024-01-10' WHERE product_id = 'P2'")
    after = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    assert [day for day in after if after[day] != before[day]] == [SECOND]


def test_a_load_sees_one_snapshot(source: Source, database: Database) -> None:
    """Rows that are written between two queries of a load are in neither (case 61)."""
    reader = reader_of(CONFIG)
    import duckdb

    with (
        duckdb.connect() as connection,
        reader.scan(connection, JANUARY, CALENDAR, source.folder) as scan,
    ):
        database.run("DELETE FROM shop.orders WHERE product_id <> 'P0'")
        rows = connection.execute(f"SELECT count(*) FROM {scan.relation}").fetchall()
        assert scan.versions is not None
        assert rows == [(3,)]
        assert [v.split("-")[0] for v in scan.versions.values() if not v.startswith("0-")] == [
            *("2", "1")
        ]


def test_a_lost_connection_changes_nothing(
    source: Source, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.load(CONFIG)
    before = source.state()
    # More than what the network holds when the server goes away.
    database.run(
        "INSERT INTO shop.orders SELECT o.* FROM shop.orders o, generate_series(1, 300000) n"
    )
    stream = _PostgresSession.stream

    def cut(session: Any, query: str) -> Any:
        """The stream, of which the server sends no more."""
        sent = stream(session, query)
        database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        return sent

    monkeypatch.setattr(_PostgresSession, "stream", cut)
    with pytest.raises(SourceError, match=r"orders: .*PQgetCopyData"):
        source.load(CONFIG)
    assert source.state() == before
    monkeypatch.setattr(_PostgresSession, "stream", stream)
    assert source.load(replace(CONFIG, max_volume_change=None)).total.accepted == 900_003


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (replace(CONFIG, connection_env="NOT_SET"), "the environment variable NOT_SET is not set"),
        (replace(CONFIG, table="shop.none"), 'relation "shop.none" does not exist'),
        (replace(CONFIG, columns={"quantity": "pieces"}), "there is no column 'pieces'"),
    ],
)
def test_what_is_wrong_is_named(
    source: Source, database: Database, config: SourceConfig, sentence: str
) -> None:
    with pytest.raises(SourceError, match=sentence):
        source.load(config)


def test_the_address_is_in_no_message(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS, "postgresql://reader:hunter2@localhost:1/shop")
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        source.load(CONFIG)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
