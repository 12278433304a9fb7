"""Markers: files that a producer writes when a delivery is whole.

Belongs here: the place of the marker of a file, and whether it is there. Does not belong here: what
waits for it (`sources.arrivals`).
"""

import fnmatch
from datetime import datetime
from pathlib import Path
from typing import Any

FILE = "{file}"


def marker_of(path: str, marker: str) -> str:
    """The marker of a file: in its folder, and with its name where the marker has `{file}`."""
    folder, separator, name = path.rpartition("/")
    return f"{folder}{separator}{marker.replace(FILE, name)}"


def is_marker(path: str, marker: str) -> bool:
    """Whether a file is itself a marker, which a glob may match."""
    return fnmatch.fnmatchcase(path.rpartition("/")[2], marker.replace(FILE, "*"))


def is_whole(path: str, marker: str, system: Any) -> bool:
    """Whether the marker of a file exists, and is not older than the file.

    An older one is that of a delivery before: the file is being written again.

    Args:
        path: the file.
        marker: the word of the configuration.
        system: the file system of an object store; None for this machine's.
    """
    try:
        written, marked = _written(path, system), _written(marker_of(path, marker), system)
    except FileNotFoundError:
        return False
    return written is None or marked is None or marked >= written


def _written(path: str, system: Any) -> float | None:
    """When a file was written, in seconds; None where its store does not say."""
    if system is None:
        return Path(path).stat().st_mtime_ns / 1e9
    info = system.info(path)
    time = next(filter(None, (info.get(key) for key in ("LastModified", "mtime", "created"))), None)
    return time.timestamp() if isinstance(time, datetime) else time
