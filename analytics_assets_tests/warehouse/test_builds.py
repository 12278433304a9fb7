"""Builds that stay open: each reader has a session of its own, and replaced builds are closed."""

import shutil
import sqlite3
import threading
from pathlib import Path

import duckdb
import pytest

from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.builds import BuildGoneError, Builds, NothingPublishedError
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.lookup import FILE, lookup_key
from analytics_assets.warehouse.publish import publish


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    add(warehouse, "C1")
    return warehouse


@pytest.fixture
def builds(tmp_path: Path) -> Builds:
    return Builds(tmp_path / "published", "100MB", 1)


def add(warehouse: Warehouse, name: str) -> None:
    with warehouse.transaction() as session:
        session.execute("CREATE SCHEMA IF NOT EXISTS core")
        session.execute(TABLES["dim_customers"].ddl)
        session.execute(
            "INSERT INTO core.dim_customers BY NAME "
            "SELECT ? AS customer_id, 'source' AS member_type",
            [name],
        )


def names(builds: Builds, build: str | None = None) -> list[str]:
    with builds.use(build) as used, used.session() as session:
        return [n for (n,) in session.rows("SELECT customer_id FROM core.dim_customers ORDER BY 1")]


def test_a_new_build_is_read_and_the_old_one_closed(
    warehouse: Warehouse, builds: Builds, tmp_path: Path
) -> None:
    with (
        pytest.raises(NothingPublishedError, match="materialize published_warehouse"),
        builds.use(),
    ):
        pass
    publish(warehouse, tmp_path / "published", 1)
    assert names(builds) == ["C1"]
    with builds.use() as old, old.session() as session:
        add(warehouse, "C2")
        publish(warehouse, tmp_path / "published", 1)
        assert names(builds) == ["C1", "C2"]
        assert builds.open_builds == 2
        # Its file is gone; who reads it still can.
        assert session.rows("SELECT customer_id FROM core.dim_customers") == [("C1",)]
        assert old.lookup
        assert old.lookup.row("dim_customers", "C1")
    assert names(builds) == ["C1", "C2"]
    assert builds.open_builds == 1
    for name in ("000001", "000009"):
        with pytest.raises(BuildGoneError, match="Start again"):
            names(builds, name)
    builds.close()
    assert builds.open_builds == 0


def test_a_build_that_is_cut_off_is_gone(
    warehouse: Warehouse, builds: Builds, tmp_path: Path
) -> None:
    build = publish(warehouse, tmp_path / "published", 3)
    shutil.rmtree(build.path.parent)
    with pytest.raises(NothingPublishedError), builds.use():
        pass


def test_readers_touch_nothing_but_the_build(
    warehouse: Warehouse, builds: Builds, tmp_path: Path
) -> None:
    publish(warehouse, tmp_path / "published", 3)
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with builds.use() as build, build.session() as session:
        for sql in (
            f"SELECT * FROM read_csv('{secret}')",
            f"ATTACH '{tmp_path / 'warehouse.duckdb'}' AS w",
            f"COPY core.dim_customers TO '{tmp_path / 'out.csv'}'",
            "SET enable_external_access = true",
            "DELETE FROM core.dim_customers",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                session.execute(sql)
    assert not (tmp_path / "out.csv").exists()


def test_one_reader_is_interrupted_and_the_others_go_on(
    warehouse: Warehouse, builds: Builds, tmp_path: Path
) -> None:
    publish(warehouse, tmp_path / "published", 3)
    with builds.use() as build, build.session() as slow, build.session() as other:
        timer = threading.Timer(0.3, slow.interrupt)
        timer.start()
        with pytest.raises(duckdb.InterruptException):
            slow.value("SELECT sum(hash(a.range, b.range)) FROM range(1000000) a, range(1000000) b")
        timer.join()
        assert other.value("SELECT count(*) FROM core.dim_customers") == 1
        assert slow.value("SELECT count(*) FROM core.dim_customers") == 1


def test_rows_by_key_are_those_of_single_keys(warehouse: Warehouse, tmp_path: Path) -> None:
    build = publish(warehouse, tmp_path / "published", 3)
    with sqlite3.connect(build.path.with_name(FILE)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM columns")}
    connection.close()
    assert tables == {"dim_customers"}
    assert {
        name for name, table in TABLES.items() if table.group == "marts" and lookup_key(table)
    } == {"user_analytics", "subscription_analytics", "comeback_products"}
    assert lookup_key(TABLES["churn_predictions"]) == "customer_id"
