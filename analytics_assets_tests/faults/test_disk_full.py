"""A full disk: loud, nothing is lost, and it works again when there is room."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import current_build, open_build, publish
from analytics_assets_tests.conftest import Project, make_settings, open_project, share_manifest
from analytics_assets_tests.faults.small_disk import can_mount, filled, small_disk
from analytics_assets_tests.faults.test_killed_load import (
    SAMPLE,
    correct_a_day,
    grosses,
)
from analytics_assets_tests.rows import insert

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_mount(), reason="this user may not mount a small disk"),
]

NO_ROOM = r"(?i)no space left|disk.*full|max.*size|could not (write|truncate)|out of (disk|temp)"
GROW = "INSERT INTO core.t SELECT n, md5(n::VARCHAR) FROM range(1_000_000, 3_000_000) r(n)"


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(300) as folder:
        yield folder


def stored(disk: Path, memory_limit: str = "500MB") -> Warehouse:
    """A warehouse with a million rows."""
    warehouse = Warehouse(disk / "warehouse.duckdb", memory_limit, patience=1.0)
    with warehouse.transaction() as session:
        session.execute("CREATE SCHEMA core")
        session.execute(
            "CREATE TABLE core.t AS SELECT n, md5(n::VARCHAR) AS x FROM range(1_000_000) r(n)"
        )
    return warehouse


def content(warehouse: Warehouse) -> tuple[object, ...]:
    with warehouse.read() as session:
        return session.row("SELECT count(*), count(DISTINCT x), sum(n) FROM core.t")


@pytest.mark.parametrize("left", [0, 64_000, 5_000_000])
def test_while_rows_are_written(disk: Path, left: int) -> None:
    warehouse = stored(disk)
    before = content(warehouse)
    with filled(disk, left):
        with pytest.raises(duckdb.Error, match=NO_ROOM), warehouse.transaction() as session:
            session.execute("DELETE FROM core.t WHERE n < 500_000")
            session.execute(GROW)
        assert content(warehouse) == before
    assert content(warehouse) == before
    with warehouse.transaction() as session:
        session.execute(GROW)
    assert content(warehouse)[:2] == (3_000_000, 3_000_000)


def test_while_the_log_is_written(disk: Path) -> None:
    # Rows of several transactions are in the log; it grows until there is no room.
    warehouse = stored(disk)
    acknowledged = 0
    with (
        filled(disk, 3_000_000),
        pytest.raises(duckdb.Error, match=NO_ROOM),
        warehouse.write() as session,
    ):
        session.execute("SET checkpoint_threshold = '1TB'")
        for number in range(1, 1000):
            rows = f"SELECT -{number}, md5(n::VARCHAR) FROM range(1000) r(n)"
            session.execute(f"INSERT INTO core.t {rows}")
            acknowledged += 1
    assert acknowledged
    with warehouse.read() as session:
        assert session.value("SELECT count(DISTINCT n) FROM core.t WHERE n < 0") == acknowledged


def test_while_a_query_spills(disk: Path) -> None:
    warehouse = stored(disk, memory_limit="60MB")
    before = content(warehouse)
    with (
        filled(disk, 2_000_000),
        pytest.raises(duckdb.Error),
        warehouse.transaction() as session,
    ):
        session.execute(
            "CREATE TABLE core.sorted AS SELECT a.n, a.x, b.x AS y FROM core.t a "
            "JOIN core.t b ON a.n = b.n + 1 ORDER BY y, a.x"
        )
    assert content(warehouse) == before
    assert [path.name for path in disk.glob("warehouse.tmp/*")] == []


def test_while_a_build_is_published(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    warehouse.prepare()
    with warehouse.write() as session:
        insert(session, "dim_customers", {"customer_id": "C1"})
    with small_disk(30) as folder:
        published = folder / "published"
        first = publish(warehouse, published, 3)
        with warehouse.write() as session:
            insert(session, "dim_customers", {"customer_id": "C2"})
        with filled(folder, 100_000):
            with pytest.raises((duckdb.Error, OSError), match=NO_ROOM):
                publish(warehouse, published, 3)
            assert current_build(published) == first.path
            assert sorted(path.name for path in published.iterdir()) == ["000001", "CURRENT"]
            with open_build(first.path) as build:
                assert build.count("core.dim_customers") == 1
        with open_build(publish(warehouse, published, 3).path) as build:
            assert build.count("core.dim_customers") == 2


@pytest.fixture
def on_small_disk(built_project: Project, manifest: Path) -> Iterator[tuple[Path, Project]]:
    """The built project on a disk that it fills half."""
    home = built_project.settings.home
    size = sum(file.stat().st_size for file in home.rglob("*") if file.is_file())
    with small_disk(2 * size // 1_000_000 + 20) as folder:
        shutil.copytree(home, folder / "home", ignore=shutil.ignore_patterns("incoming-*"))
        horizon = str(built_project.settings.churn_horizon_days)
        settings = share_manifest(
            manifest, make_settings(folder / "home", ANALYTICS_CHURN_HORIZON_DAYS=horizon)
        )
        (settings.dagster_home / "dagster.yaml").unlink()
        with open_project(settings, built_project.outcome) as project:
            yield folder, project


@pytest.mark.parametrize("left", [0, 300_000, 3_000_000])
def test_while_the_command_line_loads(on_small_disk: tuple[Path, Project], left: int) -> None:
    disk, project = on_small_disk
    correct_a_day(project)
    published = current_build(project.settings.published_dir)

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "analytics_assets.cli", "run", *SAMPLE],
            env=project.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )

    with filled(disk, left):
        done = run()
        assert done.returncode != 0
        assert "full" in (done.stdout + done.stderr).lower() or "space" in done.stderr.lower()
        with open_build(current_build(project.settings.published_dir)) as session:
            assert len(set(grosses(session).values())) == 1
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert project.query("FROM raw.unfinished_tables") == []
    assert current_build(project.settings.published_dir) != published
    with open_build(current_build(project.settings.published_dir)) as session:
        assert len(set(grosses(session).values())) == 1
    [(read, accounted)] = project.query(
        "SELECT sum(rows_read), sum(rows_accepted + rows_rejected + rows_not_due) "
        "FROM raw.source_loads WHERE source = 'orders'"
    )
    lines = sum(
        file.read_text().count("\n") - 1
        for file in project.settings.sample_dir.glob("orders/*.csv")
    )
    assert read == accounted == lines
