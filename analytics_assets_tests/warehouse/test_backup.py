"""Backups: whole or not there, verified before anything is put back."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from analytics_assets.warehouse import backup
from analytics_assets.warehouse.backup import (
    MANIFEST,
    BackupError,
    backups,
    last_backup,
    put_back,
    verify,
    write_backup,
)
from analytics_assets.warehouse.connection import Warehouse

KILLED = """
import os, signal, sys
from pathlib import Path
from analytics_assets.warehouse import backup
from analytics_assets.warehouse.connection import Warehouse

home, folder, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
setattr(backup, moment, die)
backup.write_backup(home, Warehouse(home / "warehouse.duckdb"), folder, {}, 3)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A small home with a file of each kind."""
    home = tmp_path / "home"
    Warehouse(home / "warehouse.duckdb").prepare()
    (home / "published" / "000001").mkdir(parents=True)
    (home / "published" / "CURRENT").write_text("000001/warehouse.duckdb\n")
    shutil.copy(home / "warehouse.duckdb", home / "published" / "000001")
    (home / "dagster").mkdir()
    with closing(sqlite3.connect(home / "dagster" / "runs.db")) as database, database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE runs (id)")
        database.execute("INSERT INTO runs VALUES (1)")
    (home / "api").mkdir()
    (home / "api" / "keys.json").write_text("[]")
    (home / "lake").mkdir()
    (home / "lake" / "events.parquet").write_text("events")
    (home / "sample").mkdir()
    (home / "sample" / "orders.csv").write_text("id\n")
    return home


def write(home: Path, folder: Path, keep: int = 3) -> Path:
    return write_backup(home, Warehouse(home / "warehouse.duckdb"), folder, {"a": "b"}, keep)


def test_a_backup_has_what_no_source_has_and_verifies(home: Path, tmp_path: Path) -> None:
    place = write(home, tmp_path / "backups")
    manifest = verify(place)
    assert set(manifest["files"]) == {
        "warehouse.duckdb",
        "published/CURRENT",
        "published/000001/warehouse.duckdb",
        "dagster/runs.db",
        "api/keys.json",
    }
    assert manifest["a"] == "b"
    assert (last := last_backup(home)) and last[0] == str(place)


def test_sqlite_is_copied_with_what_is_only_in_its_log(home: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(home / "dagster" / "runs.db")) as database:
        database.execute("INSERT INTO runs VALUES (2)")
        database.commit()  # in the write-ahead log, as the connection stays open
        place = write(home, tmp_path / "backups")
    with closing(sqlite3.connect(place / "dagster" / "runs.db")) as copy:
        assert copy.execute("SELECT count(*) FROM runs").fetchone() == (2,)


def test_old_backups_are_removed_and_nothing_else_is(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    places = [write(home, folder, keep=2) for _ in range(4)]
    assert backups(folder) == sorted(places)[-2:]
    assert (folder / "notes.txt").exists()


MOMENTS = ("_copy_warehouse", "_copy_folder", "_copy_sqlite", "_sum", "_sync")


@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_is_killed_leaves_no_backup_and_the_next_cleans_up(
    home: Path, tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "backups"
    whole = write(home, folder)
    arguments = ["-c", KILLED, str(home), str(folder), moment]
    done = subprocess.run([sys.executable, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert backups(folder) == [whole]
    assert len([*folder.glob(".*.writing")]) == 1
    again = write(home, folder)
    verify(again)
    assert [*folder.glob(".*.writing")] == []


def test_an_error_while_copying_leaves_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        write(home, tmp_path / "backups")
    assert [*(tmp_path / "backups").iterdir()] == []


def test_a_backup_of_a_damaged_file_is_refused(home: Path, tmp_path: Path) -> None:
    (home / "dagster" / "runs.db").write_bytes(b"no database" * 1000)
    for journal in (home / "dagster").glob("runs.db-*"):
        journal.unlink()
    with pytest.raises(BackupError, match="Run analytics-assets doctor"):
        write(home, tmp_path / "backups")


def test_a_folder_in_the_home_is_refused(home: Path) -> None:
    with pytest.raises(BackupError, match="Name a folder elsewhere"):
        write(home, home / "backups")


@pytest.mark.parametrize("change", ["flip", "remove", "add", "manifest"])
def test_a_changed_backup_is_not_restored(home: Path, tmp_path: Path, change: str) -> None:
    place = write(home, tmp_path / "backups")
    file = place / "warehouse.duckdb"
    if change == "flip":
        content = bytearray(file.read_bytes())
        content[100] ^= 1
        file.write_bytes(content)
    elif change == "remove":
        file.unlink()
    elif change == "add":
        (place / "dagster" / "more.db").touch()
    else:
        (place / MANIFEST).write_text("{")
    left = (home / "warehouse.duckdb").read_bytes()
    with pytest.raises(BackupError):
        put_back(place, home, lambda line: None)
    assert (home / "warehouse.duckdb").read_bytes() == left


def test_what_is_restored_is_what_was_and_the_present_home_is_kept(
    home: Path, tmp_path: Path
) -> None:
    before = (home / "published" / "000001" / "warehouse.duckdb").read_bytes()
    place = write(home, tmp_path / "backups")
    (home / "warehouse.duckdb").write_bytes(b"lost")
    (home / "published" / "CURRENT").unlink()
    lines: list[str] = []
    aside = put_back(place, home, lines.append)
    assert aside and (aside / "warehouse.duckdb").read_bytes() == b"lost"
    assert str(aside) in lines[0]
    assert (home / "published" / "CURRENT").read_text() == "000001/warehouse.duckdb\n"
    assert (home / "published" / "000001" / "warehouse.duckdb").read_bytes() == before
    for kept in ("sample/orders.csv", "lake/events.parquet"):  # not in the backup
        assert (home / kept).exists()
    with Warehouse(home / "warehouse.duckdb").read() as session:
        assert session.count("raw.source_loads") == 0


def test_a_backup_of_another_home_says_what_to_do(home: Path, tmp_path: Path) -> None:
    place = write(home, tmp_path / "backups")
    with pytest.raises(BackupError, match="set ANALYTICS_HOME="):
        put_back(place, tmp_path / "elsewhere", lambda line: None)


def test_a_backup_of_another_format_says_so(home: Path, tmp_path: Path) -> None:
    place = write(home, tmp_path / "backups")
    manifest = json.loads((place / MANIFEST).read_text())
    (place / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(BackupError, match="another version of this project"):
        verify(place)


def test_nobody_writes_to_the_warehouse_while_it_is_copied(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile
    opened: dict[Path, bool] = {}

    def slow(source: Path, target: Path, **options: bool) -> None:
        writer = "import duckdb, sys; duckdb.connect(sys.argv[1])"
        done = subprocess.run(
            [sys.executable, "-c", writer, str(source)], capture_output=True, check=False
        )
        opened[source] = done.returncode == 0
        copyfile(source, target, **options)

    monkeypatch.setattr(backup.shutil, "copyfile", slow)
    write(home, tmp_path / "backups")
    assert opened[home / "warehouse.duckdb"] is False
