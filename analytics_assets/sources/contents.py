"""The contents of files by day: checksums of their typed rows, and the cache that keeps them.

Belongs here: data versions of sources in files. Does not belong here: comparing them with what was
loaded (`changes`), databases, which compute versions themselves (`readers.databases`).

A version is computed from the typed rows of a day and not from files. So a file under another name,
in another order or in another format is no change, and a row that moves from one day to another
changes both. Reading every file to see that nothing changed would cost a load, so the contents of a
file are cached as long as its size and time (or the store's tag) stay the same.
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import Part, Reader, Scanner
from analytics_assets.sources.stage import PartDay, staged
from analytics_assets.warehouse.damage import set_aside

# Raise it when rows are typed differently: cached contents are then computed again.
TYPING = 2
MASK = (1 << 64) - 1
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Content:
    """Rows of a day, and the sum of their hashes."""

    rows: int = 0
    hashes: int = 0

    def __add__(self, other: "Content") -> "Content":
        return Content(self.rows + other.rows, (self.hashes + other.hashes) & MASK)


def within(window: Window | None, day: date | None) -> bool:
    """Whether a day is of a window; without a window each is."""
    return window is None or (day is not None and window.start <= day < window.end)


def due(reader: Reader, window: Window | None) -> tuple[Window | None, Window | None]:
    """The days of a window that are due, and those that are not; the first is all where all are.

    Where none is, both are the window.
    """
    before = reader.due_before
    if window is None or before is None or before >= window.end:
        return window, None
    if before <= window.start:
        return window, window
    return Window(window.start, before), Window(before, window.end)


def by_day(
    part_days: Iterable[PartDay], window: Window | None = None
) -> dict[date | None, Content]:
    """The contents of each day of a window, over all parts."""
    days: dict[date | None, Content] = {}
    for item in part_days:
        if within(window, item.day):
            content = Content(item.rows, item.hashes)
            days[item.day] = days.get(item.day, Content()) + content
    return days


def versions_of(
    config: SourceConfig, contents: Mapping[date | None, Content], delivered: Iterable[date | None]
) -> dict[date | None, str]:
    """Data version of each day that was delivered or has rows, earliest first."""
    versions = {}
    for day in sorted({*delivered, *contents}, key=lambda day: day or date.min):
        content = contents.get(day, Content())
        versions[day] = f"{content.rows}-{content.hashes & MASK:016x}-{config.fingerprint}"
    return versions


def delivered(
    config: SourceConfig, window: Window | None, days: Iterable[date | None]
) -> list[date | None]:
    """Days of a window that a source has delivered, rows or not.

    Args:
        config: the source.
        window: the days; None for a source without days.
        days: days of the files.
    """
    if window is None:
        return [None]
    if not config.by_day:
        return list(window)
    return [day for day in days if within(window, day)]


def content_versions(
    reader: Reader, calendar: Calendar, window: Window | None, cache: Path
) -> dict[date | None, str]:
    """Data version of each day of a window, from its typed rows; only changed files are read.

    Args:
        reader: the reader of the source.
        calendar: the days that the sources cover.
        window: the days; None for a source without days.
        cache: database that remembers the contents of files.

    Raises:
        SourceError: the source cannot be read.
    """
    config = reader.config
    given = window
    window, later = due(reader, window)
    if later and later == given:
        return {}
    files = reader.files_of(window, calendar)
    if files is None:
        _, part_days = _read(
            reader,
            calendar,
            lambda connection, scratch: reader.scan(connection, window, calendar, scratch),
            cache,
        )
        return versions_of(config, by_day(part_days, window), delivered(config, window, []))
    keys = {file: _key(config, calendar, file.part()) for file in files}
    cached = _recall(cache, keys.values())
    unknown = [file for file in files if keys[file] not in cached]
    if unknown:
        parts, part_days = _read(
            reader,
            calendar,
            lambda connection, scratch: reader.scan_files(connection, unknown, scratch),
            cache,
        )
        remember(cache, config, calendar, parts, part_days)
        cached |= _recall(cache, keys.values())
    contents: dict[date | None, Content] = {}
    for file in files:
        for day, content in cached[keys[file]].items():
            if within(window, day):
                contents[day] = contents.get(day, Content()) + content
    return versions_of(config, contents, delivered(config, window, [file.day for file in files]))


def remember(
    cache: Path,
    config: SourceConfig,
    calendar: Calendar,
    parts: Sequence[Part],
    part_days: Sequence[PartDay],
) -> None:
    """Cache the contents of each part whose changes can be seen without reading it."""
    if not any(part.key for part in parts):
        return
    days: dict[int, dict[str, list[int]]] = {index: {} for index in range(len(parts))}
    for item in part_days:
        day = item.day.isoformat() if item.day else ""
        days[item.part][day] = [item.rows, item.hashes & MASK]
    rows = [
        (_key(config, calendar, part), json.dumps(days[index])) for index, part in enumerate(parts)
    ]
    for _ in range(2):  # again, where a damaged cache was set aside
        with _whole(cache), closing(_open(cache)) as database, database:
            database.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?)", rows)
            return


def _read(
    reader: Reader, calendar: Calendar, scanner: Scanner, cache: Path
) -> tuple[Sequence[Part], list[PartDay]]:
    """The parts of a scan and their contents, read outside the warehouse."""
    spill = str(cache.with_suffix(".tmp"))
    with duckdb.connect(config={"memory_limit": "1GB", "temp_directory": spill}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with staged(connection, reader.config, calendar, scanner, cache.parent) as stage:
            part_days = stage.contents()
    return stage.scan.parts, part_days


def _key(config: SourceConfig, calendar: Calendar, part: Part) -> str:
    content = (part.key, asdict(config), str(calendar), TYPING, duckdb.__version__)
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _recall(cache: Path, keys: Iterable[str]) -> dict[str, dict[date | None, Content]]:
    if not cache.exists():
        return {}
    cached: dict[str, dict[date | None, Content]] = {}
    with _whole(cache), closing(_open(cache)) as database:
        for key in set(keys):
            row = database.execute("SELECT days FROM contents WHERE key = ?", (key,)).fetchone()
            if row:
                cached[key] = {
                    date.fromisoformat(day) if day else None: Content(*content)
                    for day, content in json.loads(row[0]).items()
                }
    return cached


def _open(cache: Path) -> sqlite3.Connection:
    cache.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(cache, timeout=30)
    try:
        database.execute("CREATE TABLE IF NOT EXISTS contents (key TEXT PRIMARY KEY, days TEXT)")
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _whole(cache: Path) -> Iterator[None]:
    """Set a damaged cache aside: what it had can be computed again."""
    try:
        yield
    except sqlite3.OperationalError:
        raise  # such as a lock or a full disk
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        # Another process may have set it aside already.
        with suppress(FileNotFoundError):
            place = set_aside(cache)
            _LOG.warning(f"{cache} is damaged ({error}): set aside as {place}, and begun again.")
