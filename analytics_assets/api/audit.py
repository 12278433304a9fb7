"""The audit log: who read what, one JSON line for each request.

Belongs here: writing the lines. A line has no values of personal columns, and no value that did not
have the type of its column: names of tables and columns, operators, numbers of rows and bytes.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson


class AuditLog:
    """Lines in a file a day, `audit-2024-01-31.jsonl`, in UTC.

    Each line is written at once and whole, also where several processes write.

    Args:
        folder: folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._day = ""
        self._descriptor: int | None = None

    def write(self, line: dict[str, Any]) -> None:
        """Write a line.

        Raises:
            OSError: it cannot be written.
        """
        now = datetime.now(UTC)
        day = now.date().isoformat()
        if self._descriptor is None or day != self._day:
            self.close()
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._folder / f"audit-{day}.jsonl"
            self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._day = day
        stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        os.write(self._descriptor, orjson.dumps({"at": stamp, **line}) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
