"""Backups of a home: what cannot be built again from the sources, in one folder with checksums.

Belongs here: copying, the manifest, verifying and putting back. Does not belong here: keeping runs
away meanwhile (`automation.backups`).

A backup is written in a folder with another name, and renamed when all of it is on the disk: one
that was killed half-way has no manifest and not the name of a backup. Its manifest has the size and
the SHA-256 of each file.

SQLite files are copied by SQLite's own backup, which waits for no writer and gives one state. The
warehouse is copied after a checkpoint, while the file is open: nobody else can write then.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.damage import DamagedError, WarehouseError

MANIFEST = "manifest.json"
PREFIX = "backup-"
LAST = "last_backup.json"  # in the home
FORMAT = 1
# What is copied, in the folders of the home; the rest is derived, or the sources.
FOLDERS = ("published", "dagster", "mlflow", "api")
WAREHOUSE = "warehouse.duckdb"
JOURNALS = (".db-wal", ".db-shm", ".db-journal")
Say = Callable[[str], None]


class BackupError(WarehouseError):
    """A backup cannot be written, or is not whole; the message says what to do."""


def write_backup(
    home: Path,
    warehouse: Warehouse,
    folder: Path,
    facts: dict[str, Any],
    keep: int,
    with_dagster: bool = True,
) -> Path:
    """Write a backup of a home.

    Args:
        home: the home.
        warehouse: its warehouse; no run may write to it.
        folder: the folder of all backups; the new one is a folder in it.
        facts: what the manifest says in addition: versions, fingerprint of the settings.
        keep: number of backups to keep in the folder, the new one included.
        with_dagster: whether Dagster's storage is in files.

    Returns:
        The folder of the new backup.

    Raises:
        BackupError: the copy does not equal the warehouse, or there is nothing to copy.
    """
    if not warehouse.path.exists():
        raise BackupError(f"There is no warehouse at {warehouse.path}: check ANALYTICS_HOME.")
    if folder.resolve().is_relative_to(home.resolve()):
        raise BackupError(
            f"{folder} is in the home, which a restore sets aside. Name a folder elsewhere, best "
            "on another disk."
        )
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC)
    target = _free_name(folder, f"{PREFIX}{at:%Y%m%dT%H%M%SZ}")
    writing = folder / f".{target.name}.writing"
    writing.mkdir()
    try:
        _copy_warehouse(warehouse, writing / WAREHOUSE)
        for name in FOLDERS:
            if (home / name).is_dir() and (name != "dagster" or with_dagster):
                _copy_folder(home / name, writing / name)
        manifest = {
            "format": FORMAT,
            "written_at": at.isoformat(),
            "home": str(home),
            **facts,
            "files": {
                str(file.relative_to(writing)): [file.stat().st_size, _sum(file)]
                for file in _files(writing)
            },
        }
        (writing / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for file in _files(writing):
            _sync(file)
        _sync(writing)
        writing.rename(target)
        _sync(folder)
    except BaseException:
        shutil.rmtree(writing, ignore_errors=True)
        raise
    (home / LAST).write_text(json.dumps({"place": str(target), "at": at.isoformat()}))
    for old in backups(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    for left in folder.glob(f".{PREFIX}*.writing"):
        shutil.rmtree(left, ignore_errors=True)  # of backups that were killed
    return target


def backups(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first."""
    return sorted(one.parent for one in folder.glob(f"{PREFIX}*/{MANIFEST}"))


def last_backup(home: Path) -> tuple[str, datetime] | None:
    """Where and when the last backup of a home was written."""
    try:
        last = json.loads((home / LAST).read_text())
        return last["place"], datetime.fromisoformat(last["at"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def verify(backup: Path) -> dict[str, Any]:
    """Compare every file of a backup with its manifest.

    Returns:
        The manifest.

    Raises:
        BackupError: it is not whole.
    """
    try:
        manifest: dict[str, Any] = json.loads((backup / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, list[Any]] = manifest["files"]
        known = manifest["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        named = ", ".join(one.name for one in backups(backup)) if backup.is_dir() else ""
        raise BackupError(
            f"{backup} is no whole backup: its {MANIFEST} cannot be read. Name the folder of one "
            f"backup, {PREFIX}…{f'; there are {named}' if named else ''}."
        ) from error
    if not known:
        raise BackupError(
            f"{backup} was written by another version of this project: restore it with that."
        )
    wrong = [
        name
        for name, (size, digest) in files.items()
        if not (file := backup / name).is_file()
        or file.stat().st_size != size
        or _sum(file) != digest
    ]
    extra = {str(f.relative_to(backup)) for f in _files(backup)} - {*files, MANIFEST}
    if wrong or extra:
        named = ", ".join([*wrong, *sorted(extra)][:5])
        raise BackupError(
            f"{backup} is not what was written: {named}. Nothing was restored. Take another backup."
        )
    return manifest


def put_back(backup: Path, home: Path, say: Say) -> Path | None:
    """Make a verified backup the home, and set the present one aside.

    What the home had besides (sources of the sample, logs, the lake) goes into the new one.

    Args:
        backup: the folder of the backup.
        home: the folder of the home.
        say: takes a line on what was done.

    Returns:
        Where the present home is now; None if there was none.

    Raises:
        BackupError: it is not whole, or of another home.
    """
    manifest = verify(backup)
    if manifest["home"] != str(home):
        # dagster.yaml and the registry name files by their whole path.
        raise BackupError(
            f"{backup} is of the home {manifest['home']}, and ANALYTICS_HOME is {home}. Files in "
            f"it name that place: set ANALYTICS_HOME={manifest['home']}, or make that a link to it."
        )
    incoming = home.with_name(f".{home.name}.restoring")
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(backup, incoming, ignore=shutil.ignore_patterns(MANIFEST))
    for file in _files(incoming):
        _sync(file)
    aside = None
    if home.exists():
        aside = _free_name(home.parent, f"{home.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        # A copy, not a move: what was set aside stays as it was.
        for name in ("sample", "profiles", "logs", "lake"):
            if (home / name).is_dir():
                shutil.copytree(home / name, incoming / name)
        if not (incoming / "dagster").is_dir() and (home / "dagster").is_dir():
            shutil.copytree(home / "dagster", incoming / "dagster")
        home.rename(aside)
        say(f"The present home is set aside as {aside}; remove it when you do not need it.")
    incoming.rename(home)
    _sync(home.parent)
    (home / LAST).write_text(
        json.dumps({"place": str(backup), "at": manifest["written_at"]}), encoding="utf-8"
    )
    say(
        f"Restored the backup of {manifest['written_at'][:19]} UTC: {len(manifest['files'])} files."
    )
    return aside


def _copy_warehouse(warehouse: Warehouse, target: Path) -> None:
    """Copy the file while it is open for writing here, after its log was merged into it."""
    with warehouse.as_stored(read_only=False) as session:
        session.execute("CHECKPOINT")
        shutil.copyfile(warehouse.path, target)
        counts = {relation: session.count(relation) for relation in _relations(session)}
    copied = Warehouse(target)
    try:
        with copied.as_stored() as session:
            actual = {relation: session.count(relation) for relation in _relations(session)}
    except DamagedError as error:
        raise BackupError(f"The copy cannot be opened, no backup was written: {error}") from error
    if actual != counts:
        different = [name for name in counts if actual.get(name) != counts[name]]
        raise BackupError(
            f"The copy has other rows than the warehouse ({', '.join(different)}): no backup was "
            "written. Check the disk, then try again."
        )


def _relations(session: Any) -> list[str]:
    rows = session.rows(
        "SELECT schema_name || '.' || table_name FROM duckdb_tables() "
        "WHERE database_name = current_database() ORDER BY 1"
    )
    return [relation for (relation,) in rows]


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a folder: SQLite files by SQLite's backup, the others as they are."""
    for file in _files(source):
        name = file.relative_to(source)
        if file.name.endswith(JOURNALS) or ".damaged-" in file.name or ".building-" in str(name):
            continue
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".db":
            _copy_sqlite(file, place)
        else:
            with suppress(FileNotFoundError):  # a log that went meanwhile
                shutil.copy2(file, place)


def _copy_sqlite(file: Path, place: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(place)) as copy,
        ):
            source.backup(copy)
            (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise BackupError(
            f"{file} cannot be copied ({error}): no backup was written. "
            "Run analytics-assets doctor."
        ) from error
    if verdict != "ok":
        raise BackupError(
            f"{file} is damaged ({verdict}): no backup was written. Run analytics-assets doctor."
        )


def _free_name(folder: Path, name: str) -> Path:
    place, number = folder / name, 1
    while place.exists() or (folder / f".{place.name}.writing").exists():
        number += 1
        place = folder / f"{name}-{number}"
    return place


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _sum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
