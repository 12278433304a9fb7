"""Files of the warehouse that cannot be read: what DuckDB says of them, and what to do.

Belongs here: recognising damage by its errors, and setting a file aside. Does not belong here:
opening the warehouse (`connection`), or what follows for other files (`automation.doctor`).
"""

import re
import time
from pathlib import Path

import duckdb

# DuckDB raises errors of several classes for these, some of its most general one.
DAMAGE = re.compile(
    r"Corrupt database file|not a valid DuckDB database|Could not read enough bytes"
    r"|Failed to deserialize|does not match stored checksum|read the WAL|replaying WAL",
    re.IGNORECASE,
)
NAMED_FILE = re.compile(r'file "([^"]+)"')
MEND = (
    "Run analytics-assets doctor --mend: it sets the file aside, and analytics-assets run builds "
    "it again from the sources. Or restore a backup: analytics-assets restore."
)


class WarehouseError(RuntimeError):
    """The warehouse cannot be opened or used; the message says why and what to do."""


class DamagedError(WarehouseError):
    """The file of the warehouse is damaged, or of a version that cannot be read."""


def remedy(text: str) -> str | None:
    """What is wrong with the file and what to do, by DuckDB's error; None for another error."""
    if "storage version number" in text:
        kind = "a newer" if "newer version of DuckDB" in text.split("\n\n")[0] else "an older"
        return (
            f"The file of the warehouse was written by {kind} version of DuckDB than "
            f"{duckdb.__version__}, which is installed. Install a version that reads it "
            f"(pip install -c constraints.txt -e . has the one of this code). {MEND}"
        )
    if DAMAGE.search(text):
        first = text.strip().splitlines()[0].rstrip(".!")
        return f"The file of the warehouse is damaged ({first}). Nothing was changed. {MEND}"
    return None


def is_damage(error: Exception, path: Path | None = None) -> bool:
    """Whether an error says that the warehouse is damaged, and names no other file."""
    named = NAMED_FILE.search(str(error))
    is_other = named and not (path and named[1].startswith(str(path)))
    return not is_other and remedy(str(error)) is not None


def raise_if_damaged(path: Path, error: Exception) -> None:
    """Raise an error with a remedy, if DuckDB's error says that the file cannot be read.

    Raises:
        DamagedError: it does.
    """
    text = remedy(str(error))
    if text and is_damage(error, path):
        raise DamagedError(f"{path}: {text}") from error


def set_aside(path: Path) -> Path:
    """Rename a file or folder, with the time in its name; nothing is deleted.

    Returns:
        Its new place, next to the old one.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    place = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while place.exists():
        number += 1
        place = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    path.rename(place)
    return place
