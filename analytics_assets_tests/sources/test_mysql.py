"""MySQL as a source, against a real server (MariaDB) that the tests start."""
# ruff: noqa: DTZ001  (the warehouse has naive UTC)

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from analytics_assets.partitions import Window
from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.load import DayLoad
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, Source

ADDRESS = "TEST_SHOP_MYSQL_URL"
SERVER = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SERVER is None, reason="there is no MariaDB server to start"),
]


@contextmanager
def server() -> Iterator[str]:
    """A server of its own on a socket in a short path; root has to be somebody else for it."""
    folder = Path(mkdtemp(prefix="my-", dir="/tmp"))
    user = ["--user=mysql"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, "mysql", "mysql")
    data, socket = f"--datadir={folder}/data", f"{folder}/socket"
    install = ["mariadb-install-db", "--no-defaults", data, "--skip-test-db", *user,
               "--auth-root-authentication-method=normal"]  # fmt: skip
    try:
        subprocess.run(install, check=True, capture_output=True)
        process = subprocess.Popen(
            [str(SERVER), "--no-defaults", data, f"--socket={socket}", "--skip-networking",
             f"--pid-file={folder}/pid", f"--log-error={folder}/log", *user]
        )  # fmt: skip
        try:
            _wait_until_it_answers(process, socket, folder / "log")
            yield f"mysql://root@localhost/?unix_socket={socket}"
        finally:
            process.terminate()
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", socket: str, log: Path) -> None:
    """The socket is there before the server takes connections."""
    import pymysql

    for _ in range(600):
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            pymysql.connect(unix_socket=socket, user="root").close()
        except pymysql.err.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"MariaDB did not answer: {log.read_text()[-2000:]}")


class Database:
    """Statements against the server."""

    def __init__(self, address: str) -> None:
        self.socket = address.partition("unix_socket=")[2]

    def run(self, *statements: str) -> None:
        import pymysql

        with pymysql.connect(unix_socket=self.socket, user="root") as connection:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            connection.commit()


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    with server() as address:
        yield address


@pytest.fixture
def database(running: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Three lines of two days, in types as databases have them."""
    monkeypatch.setenv(ADDRESS, running)
    database = Database(running)
    database.run(
        "DROP DATABASE IF EXISTS shop",
        "CREATE DATABASE shop CHARACTER SET utf8mb4",
        "SET time_zone = '+00:00'",
        """CREATE TABLE shop.orders (
            order_id BIGINT UNSIGNED, line_number SMALLINT, ordered_at DATETIME NULL,
            customer_id INT, product_id VARCHAR(40), quantity INT, unit_price DECIMAL(12, 5),
            status ENUM('completed', 'pending'), updated_at TIMESTAMP NULL, note JSON)""",
        "INSERT INTO shop.orders VALUES "
        "(18446744073709551615, 1, '2024-01-02 23:30:00', 7, 'Zoë 漢 😀', 1, 1.25, 'completed', "
        "'2024-01-09 00:00:00', '{}'), "
        "(2, 1, '2024-01-02 23:50:00', 8, 'P1', 1, 1.5, 'pending', '2024-01-09 00:00:00', NULL), "
        "(3, 1, '2024-01-03 00:10:00', 9, 'P2', 2, 2.5, 'completed', NULL, NULL)",
    )
    return database


CONFIG = SourceConfig("orders", format="mysql", connection_env=ADDRESS, table="shop.orders")
FIRST, SECOND = date(2024, 1, 2), date(2024, 1, 3)


def versions(source: Source, config: SourceConfig = CONFIG) -> dict[date | None, str]:
    return source_versions(config, CALENDAR, JANUARY, source.warehouse)


def test_types_of_the_database_become_those_of_the_contract(
    source: Source, database: Database
) -> None:
    result = source.load(CONFIG)
    assert result.warnings == ("columns that nothing reads: note",)
    assert source.rows(
        "SELECT order_id, ordered_at, order_date, customer_id, product_id, quantity, "
        "unit_price::VARCHAR, status, updated_at FROM raw.raw_orders ORDER BY ordered_at"
    ) == [
        ("18446744073709551615", datetime(2024, 1, 2, 23, 30), FIRST, "7", "Zoë 漢 😀", 1,
         "1.2500", "completed", datetime(2024, 1, 9)),
        ("2", datetime(2024, 1, 2, 23, 50), FIRST, "8", "P1", 1, "1.5000", "pending",
         datetime(2024, 1, 9)),
        ("3", datetime(2024, 1, 3, 0, 10), SECOND, "9", "P2", 2, "2.5000", "completed", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "config", [CONFIG, replace(CONFIG, table=None, query="SELECT * FROM shop.orders")]
)
def test_exactly_the_days_that_changed_have_another_version(
    source: Source, database: Database, config: SourceConfig
) -> None:
    source.warehouse.prepare()
    before = versions(source, config)
    for change in (
        "UPDATE shop.orders SET quantity = 5 WHERE order_id = 3",
        "UPDATE shop.orders SET unit_price = NULL WHERE order_id = 3",
        "DELETE FROM shop.orders WHERE order_id = 3",
    ):
        database.run(change)
        after = versions(source, config)
        assert {day for day in before if before[day] != after[day]} == {SECOND}
        before = after
    source.load(config)
    loaded = source.rows("SELECT window_date, source_version FROM raw.source_loads")
    assert dict(loaded) == before


def test_a_window_is_pushed_down_and_is_what_one_load_gives(
    source: Source, database: Database
) -> None:
    result = source.load(CONFIG, Window(SECOND, date(2024, 1, 4)))
    assert result.total == DayLoad(1, 1, 0)


def test_times_of_another_zone(source: Source, database: Database) -> None:
    source.warehouse.prepare()
    config = replace(CONFIG, time_zone="America/New_York")
    source.load(config)
    assert source.rows("SELECT min(ordered_at), min(updated_at) FROM raw.raw_orders") == [
        (datetime(2024, 1, 3, 4, 30), datetime(2024, 1, 9))
    ]  # the column of zone UTC stays
    loaded = source.rows("SELECT window_date, source_version FROM raw.source_loads")
    assert dict(loaded) == versions(source, config)


def test_a_missing_and_an_impossible_time_are_rejected(source: Source, database: Database) -> None:
    database.run(
        "SET sql_mode = ''",
        "UPDATE shop.orders SET ordered_at = '0000-00-00' WHERE order_id = 2",
        "UPDATE shop.orders SET ordered_at = NULL WHERE order_id = 3",
    )
    result = source.load(CONFIG)
    assert (result.total, result.reasons) == (DayLoad(3, 1, 2), {"ordered_at: missing": 2})


def test_the_database_is_read_only(source: Source, database: Database) -> None:
    config = replace(CONFIG, table=None, query="SELECT nothing FROM shop.orders")
    with pytest.raises(SourceError, match="cannot be read"):
        source.load(config)

    reader: Any = reader_of(CONFIG)
    with pytest.raises(SourceError, match="READ ONLY"), reader.session() as session:
        session.fetch("DELETE FROM shop.orders")


def test_a_snapshot_is_one(source: Source, database: Database) -> None:
    reader: Any = reader_of(CONFIG)
    with reader.session() as session:
        database.run("DELETE FROM shop.orders")
        assert session.fetch("SELECT count(*) FROM shop.orders") == [(3,)]


def test_a_database_that_does_not_answer_is_an_error_without_its_password(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, "mysql://root:s3cret@127.0.0.1:1/shop")
    with pytest.raises(SourceError, match="cannot be reached") as caught:
        source.load(CONFIG)
    assert "s3cret" not in str(caught.value)
    monkeypatch.delenv(ADDRESS)
    with pytest.raises(SourceError, match="is not set"):
        source.load(CONFIG)
    monkeypatch.setenv(ADDRESS, "mysql://root@localhost/shop")
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(SourceError, match=r"needs analytics_assets\[mysql\]"):
        source.load(CONFIG)
