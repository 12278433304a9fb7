"""The owner of connections: always closed, read-only to read, patient, and clear when it fails."""

import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import (
    SCHEMAS,
    Warehouse,
    WarehouseError,
)

Opener = Callable[[Path, str], object]


class BoomError(Exception):
    pass


@pytest.mark.parametrize("method", ["write", "read", "transaction"])
def test_an_exception_leaks_no_lock(
    warehouse: Warehouse, in_another_process: Opener, method: str
) -> None:
    warehouse.prepare()
    with pytest.raises(BoomError) as caught, getattr(warehouse, method)():
        raise BoomError
    # The traceback is alive, and with it every frame: only closing can have freed the file.
    assert caught.tb is not None
    in_another_process(warehouse.path, "write")


def test_a_failed_start_of_a_transaction_leaks_no_lock(
    warehouse: Warehouse, in_another_process: Opener
) -> None:
    warehouse.prepare()
    with pytest.raises(duckdb.Error), warehouse.transaction() as session:
        session.execute("COMMIT")
    in_another_process(warehouse.path, "write")


def test_reading_cannot_write(warehouse: Warehouse) -> None:
    warehouse.prepare()
    with warehouse.read() as session, pytest.raises(duckdb.Error, match="read-only"):
        session.execute("CREATE TABLE t AS SELECT 1")


def test_two_processes_can_read_at_once(warehouse: Warehouse, in_another_process: Opener) -> None:
    warehouse.prepare()
    in_another_process(warehouse.path, "read")
    with warehouse.read() as session:
        assert session.row("SELECT count(*) FROM raw.raw_orders") == (0,)


@pytest.mark.parametrize("method", ["write", "read", "transaction"])
def test_a_file_that_another_process_has_open_is_an_error_that_says_what_to_do(
    warehouse: Warehouse, in_another_process: Opener, method: str
) -> None:
    warehouse.prepare()
    in_another_process(warehouse.path, "write")
    with pytest.raises(WarehouseError) as caught, getattr(warehouse, method)():
        pass
    assert str(caught.value).startswith(f"{warehouse.path} is locked by another process, for over ")
    assert "open the published copy instead" in str(caught.value)


def test_patience_waits_until_the_other_process_is_done(
    warehouse: Warehouse, in_another_process: Opener
) -> None:
    warehouse.prepare()
    holder = in_another_process(warehouse.path, "write")
    threading.Timer(0.3, holder.stdin.close).start()  # type: ignore[attr-defined]
    with Warehouse(warehouse.path, patience=20).read() as session:
        assert session.row("SELECT 1") == (1,)
    holder.stdin = None  # type: ignore[attr-defined]


def test_an_error_other_than_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_bytes(b"no database" * 1000)
    warehouse = Warehouse(tmp_path / "warehouse.duckdb", patience=60)
    with pytest.raises(WarehouseError, match="not a valid DuckDB"), warehouse.read():
        pass


def test_a_missing_warehouse_says_what_to_materialize_and_is_not_created(
    warehouse: Warehouse,
) -> None:
    sentence = "Materialize the raw assets first, or check ANALYTICS_HOME"
    with pytest.raises(WarehouseError, match=sentence), warehouse.read():
        pass
    assert not warehouse.path.exists()


def test_writing_creates_the_folder(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "a" / "b" / "warehouse.duckdb")
    with warehouse.write():
        pass
    assert warehouse.path.is_file()


def test_a_transaction_keeps_all_of_its_block(warehouse: Warehouse) -> None:
    with warehouse.transaction() as session:
        session.execute("CREATE TABLE t AS SELECT 1 AS n")
        session.execute("INSERT INTO t VALUES (2)")
    with warehouse.read() as session:
        assert session.row("SELECT sum(n) FROM t") == (3,)


@pytest.mark.parametrize("error", [BoomError, KeyboardInterrupt])
def test_a_transaction_keeps_nothing_of_a_block_that_fails(
    warehouse: Warehouse, error: type[BaseException]
) -> None:
    with warehouse.write() as session:
        session.execute("CREATE TABLE t AS SELECT 1 AS n")
    with pytest.raises(error), warehouse.transaction() as session:
        session.execute("DELETE FROM t")
        session.execute("CREATE TABLE u AS SELECT 1")
        raise error
    with warehouse.read() as session:
        assert session.rows("FROM t") == [(1,)]
        assert session.rows("SELECT table_name FROM duckdb_tables") == [("t",)]


@pytest.mark.parametrize("method", ["write", "read"])
def test_times_are_utc_whatever_the_machine_says(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    warehouse.prepare()
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    with getattr(warehouse, method)() as session:
        settings = session.row(
            "SELECT current_setting('TimeZone'), "
            "CAST(TIMESTAMPTZ '2024-01-01 23:00:00+00' AS TIMESTAMP)::VARCHAR"
        )
    assert settings == ("UTC", "2024-01-01 23:00:00")


def test_limits_reach_duckdb(tmp_path: Path) -> None:
    with Warehouse(tmp_path / "w.duckdb", memory_limit="300MB", threads=1).write() as session:
        settings = session.row(
            "SELECT current_setting('threads'), current_setting('memory_limit'), "
            "current_setting('temp_directory')"
        )
    assert settings == (1, "286.1 MiB", str(tmp_path / "w.tmp"))


def test_prepare_creates_what_python_writes_and_nothing_of_dbts(warehouse: Warehouse) -> None:
    warehouse.prepare()
    with warehouse.read() as session:
        created = {t.name for t in TABLES.values() if session.kind(t)}
        schemas = {row[0] for row in session.rows("SELECT schema_name FROM duckdb_schemas()")}
    wanted = [t for t in TABLES.values() if t.group in ("raw", "quality")]
    assert created == {t.name for t in wanted if not t.is_optional}
    assert schemas >= set(SCHEMAS) >= {t.group for t in TABLES.values()}


def test_prepare_again_keeps_every_row(warehouse: Warehouse) -> None:
    warehouse.prepare(["stg_customers"])
    with warehouse.write() as session:
        session.execute("INSERT INTO raw.raw_products (product_id) VALUES ('P')")
        session.execute("INSERT INTO staging.stg_customers (customer_id) VALUES ('C')")
    warehouse.prepare(["stg_customers"])
    with warehouse.read() as session:
        assert session.rows("SELECT product_id FROM raw.raw_products") == [("P",)]
        assert session.rows("SELECT customer_id FROM staging.stg_customers") == [("C",)]


def test_the_empty_table_of_an_absent_source_replaces_its_view(warehouse: Warehouse) -> None:
    warehouse.prepare()
    table = TABLES["stg_customers"]
    with warehouse.write() as session:
        session.execute(f"CREATE VIEW {table.relation} AS SELECT 'old' AS customer_id")
    warehouse.prepare()
    with warehouse.read() as session:
        assert session.kind(table) == "view"
    warehouse.prepare([table.name])
    with warehouse.read() as session:
        assert session.kind(table) == "table"
        assert session.row(f"SELECT count(*) FROM {table.relation}") == (0,)
        columns = [row[0] for row in session.rows(f"DESCRIBE {table.relation}")]
    assert columns == table.columns


def test_a_commit_logs_no_row_that_goes_into_the_file(warehouse: Warehouse) -> None:
    with warehouse.transaction() as session:
        session.execute("CREATE TABLE t (number BIGINT, text VARCHAR)")
    with warehouse.transaction() as session:
        session.execute("INSERT INTO t SELECT 1, 'text ' || n FROM range(300000) r(n)")
        session.execute("UPDATE t SET number = rowid")
        session.execute("COMMIT")
        assert not warehouse.path.with_name(f"{warehouse.path.name}.wal").exists()
        session.execute("BEGIN")


@pytest.mark.slow
def test_a_kill_leaves_a_window_old_or_new_and_whole(warehouse: Warehouse) -> None:
    replace = """
        import itertools, sys
        from pathlib import Path
        from analytics_assets.warehouse.connection import Warehouse
        for round in itertools.count(1):
            with Warehouse(Path(sys.argv[1])).transaction() as session:
                session.execute("DELETE FROM t")
                session.execute(f"INSERT INTO t SELECT {round}, 1 FROM range(200000)")
                session.execute("UPDATE t SET number = rowid WHERE number = 1")
            print(round, flush=True)
    """
    with warehouse.transaction() as session:
        session.execute("CREATE TABLE t AS SELECT 0 AS round, n AS number FROM range(200000) r(n)")
    delays = random.Random(0)
    for _ in range(4):
        command = [sys.executable, "-c", textwrap.dedent(replace), str(warehouse.path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged = int(process.stdout.readline())
            time.sleep(delays.uniform(0, 0.3))
            process.kill()
            acknowledged = max(acknowledged, *map(int, ["0", *process.stdout.read().split()]))
        with warehouse.transaction() as session:
            rows = session.rows(
                "SELECT round, count(*), count(DISTINCT number) FROM t GROUP BY round"
            )
        assert [row[1:] for row in rows] == [(200_000, 200_000)]
        assert rows[0][0] in (acknowledged, acknowledged + 1)
