"""What files hold for each day: checksums of their typed rows, and where they are remembered.

Belongs here: data versions of sources that lie in files. Does not belong here: comparing them with
what was loaded (`changes`), databases, which compute versions themselves (`readers.databases`).

A version is made of the typed rows of a day and not of files, so that a file under another name,
in another order or in another format is no change, and a row that moves from one day to another
changes both. Reading every file again to know that nothing changed would cost a load, so it is
remembered what a file held, as long as its size and time (or the store's tag) stay the same.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import Part, Reader, SourceFile
from analytics_assets.sources.stage import Held, staged

# Goes up when rows are typed otherwise: what is remembered is then read again.
TYPING = 2
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Content:
    """Rows of a day, and the sum of their hashes."""

    rows: int = 0
    hashes: int = 0

    def __add__(self, other: "Content") -> "Content":
        return Content(self.rows + other.rows, (self.hashes + other.hashes) & MASK)


def versions_of(
    config: SourceConfig, held: Mapping[date | None, Content], delivered: Iterable[date | None]
) -> dict[date | None, str]:
    """Data version of each day that was delivered or has rows, earliest first."""
    days = sorted({*delivered, *held}, key=lambda day: day or date.min)
    empty = Content()
    return {
        day: f"{held.get(day, empty).rows}-{held.get(day, empty).hashes & MASK:016x}"
        f"-{config.fingerprint}"
        for day in days
    }


def delivered(
    config: SourceConfig, window: Window | None, days: Iterable[date | None]
) -> list[date | None]:
    """Days of a window that a source has delivered, rows or not.

    Args:
        config: the source.
        window: the days; None for a source without days.
        days: days of the files that were found.
    """
    if window is None:
        return [None]
    if not config.by_day:
        return list(window)
    return [day for day in days if day and window.start <= day < window.end]


def content_versions(
    reader: Reader, calendar: Calendar, window: Window | None, cache: Path
) -> dict[date | None, str]:
    """Data version of each day of a window, from its typed rows; of files only those that changed
    are read.

    Args:
        reader: the reader of the source.
        calendar: the days that the sources cover.
        window: the days; None for a source without days.
        cache: where it is remembered what files contain.

    Raises:
        SourceError: the source cannot be read.
    """
    config = reader.config
    files = reader.files(window)
    if files is None:
        return _typed_versions(reader, calendar, window, cache.parent)
    keys = {file: _key(config, calendar, file.part()) for file in files}
    known = _recall(cache, keys.values())
    unknown = [file for file in files if keys[file] not in known]
    if unknown:
        _read(reader, calendar, unknown, cache)
        known = _recall(cache, keys.values())
    held: dict[date | None, Content] = {}
    for file in files:
        for day, content in known[keys[file]].items():
            if window is None or (day and window.start <= day < window.end):
                held[day] = held.get(day, Content()) + content
    return versions_of(config, held, delivered(config, window, [file.day for file in files]))


def remember(
    cache: Path,
    config: SourceConfig,
    calendar: Calendar,
    parts: Sequence[Part],
    held: Sequence[Held],
) -> None:
    """Keep what each part holds whose changes can be seen without reading it."""
    if not any(part.key for part in parts):
        return
    days: dict[int, dict[str, list[int]]] = {index: {} for index in range(len(parts))}
    for item in held:
        day = item.day.isoformat() if item.day else ""
        days[item.part][day] = [item.rows, item.hashes & MASK]
    with closing(_open(cache)) as remembered, remembered:
        remembered.executemany(
            "INSERT OR REPLACE INTO contents VALUES (?, ?)",
            [
                (_key(config, calendar, part), json.dumps(days[index]))
                for index, part in enumerate(parts)
            ],
        )


def _typed_versions(
    reader: Reader, calendar: Calendar, window: Window | None, folder: Path
) -> dict[date | None, str]:
    """The versions of a source that does not lie in files: all its rows are read."""
    held: dict[date | None, Content] = {}
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with staged(
            connection,
            reader.config,
            calendar,
            lambda connection, scratch: reader.scan(connection, window, calendar, scratch),
            folder,
        ) as stage:
            for item in stage.held():
                if window is None or (item.day and window.start <= item.day < window.end):
                    content = Content(item.rows, item.hashes)
                    held[item.day] = held.get(item.day, Content()) + content
    return versions_of(reader.config, held, delivered(reader.config, window, []))


def _read(reader: Reader, calendar: Calendar, files: list[SourceFile], cache: Path) -> None:
    folder = cache.parent
    folder.mkdir(parents=True, exist_ok=True)
    spill = str(cache.with_suffix(".tmp"))
    with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": spill}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with staged(
            connection,
            reader.config,
            calendar,
            lambda connection, scratch: reader.scan_files(connection, files, scratch),
            folder,
        ) as stage:
            held = stage.held()
        remember(cache, reader.config, calendar, stage.scan.parts, held)


def _key(config: SourceConfig, calendar: Calendar, part: Part) -> str:
    words = (part.key, asdict(config), str(calendar), TYPING, duckdb.__version__)
    return hashlib.sha256(repr(words).encode()).hexdigest()


def _recall(cache: Path, keys: Iterable[str]) -> dict[str, dict[date | None, Content]]:
    if not cache.exists():
        return {}
    found = {}
    with closing(_open(cache)) as remembered:
        for key in set(keys):
            row = remembered.execute("SELECT days FROM contents WHERE key = ?", (key,)).fetchone()
            if row:
                found[key] = {
                    date.fromisoformat(day) if day else None: Content(*content)
                    for day, content in json.loads(row[0]).items()
                }
    return found


def _open(cache: Path) -> sqlite3.Connection:
    cache.parent.mkdir(parents=True, exist_ok=True)
    create = "CREATE TABLE IF NOT EXISTS contents (key TEXT PRIMARY KEY, days TEXT)"
    remembered = sqlite3.connect(cache, timeout=30)
    try:
        remembered.execute(create)
    except sqlite3.OperationalError:
        remembered.close()
        raise
    except sqlite3.DatabaseError:
        # Not a database: what it remembered can be read again from the files.
        remembered.close()
        cache.unlink()
        remembered = sqlite3.connect(cache, timeout=30)
        remembered.execute(create)
    return remembered
