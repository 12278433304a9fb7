"""Rows that were fetched from an API, in files of a folder, with what is known of the fetching.

Belongs here: one commit of rows and progress, and which files count. Does not belong here: fetching
(`http_fetch`), reading the files (`http`).

A file has the rows of a day. Its name has a hash of them, so it never changes. A commit writes new
files and then replaces `state.json`, which names the files that count. So rows and cursor are
committed together, and a process that is killed leaves only files that no state names.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analytics_assets.sources.readers.base import SourceError, UnreachableError

UNDATED = "undated"  # in place of the day of rows whose day cannot be read
READ_FOR = 3600  # seconds for which a load may still read a file that was replaced
LOOKS_EVERY = 0.2

# What was received, and what became of it: received = landed + replaced + repeated.
COUNTS = ("received", "landed", "replaced", "repeated")


class Landing:
    """The folder of one source.

    Args:
        folder: the folder; it need not exist.
        key_of: what identifies a version of a row, by its text.
    """

    def __init__(self, folder: Path, key_of: Callable[[str], str]) -> None:
        self.folder = folder
        self._key_of = key_of

    @property
    def state(self) -> dict[str, Any]:
        """What the last commit wrote: cursor, files, names of members, counts.

        Raises:
            SourceError: the file of the state cannot be read.
        """
        try:
            state: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
            return {**state, "files": {**state["files"]}, "names": [*state["names"]]}
        except FileNotFoundError:
            return {"cursor": None, "files": {}, "names": [], **dict.fromkeys(COUNTS, 0)}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{self.folder}/state.json cannot be read ({type(error).__name__}). Check the "
                "disk. If the file is damaged, delete the folder and load again: everything is "
                "fetched once more, but of each row only its last version."
            ) from error

    def files(self) -> dict[str, Path]:
        """The files that count, by the day of their rows."""
        return {day: self.folder / name for day, name in sorted(self.state["files"].items())}

    def commit(self, rows: Mapping[str, list[str]], names: set[str], cursor: Any) -> set[str]:
        """Add rows, and set the cursor, in one step.

        Args:
            rows: texts of JSON by day. A row whose key is there already replaces it.
            names: names of members that the rows have.
            cursor: where the next fetch begins.

        Returns:
            The keys that were not there before.
        """
        state = self.state
        self.folder.mkdir(parents=True, exist_ok=True)
        new: set[str] = set()
        replaced = []
        for day, texts in rows.items():
            name = state["files"].get(day)
            before = (self.folder / name).read_text().splitlines() if name else []
            kept = {self._key_of(text): text for text in before}
            changed = False
            for text in texts:
                key = self._key_of(text)
                was = kept.get(key)
                kept[key] = text
                new |= {key} if was is None else set()
                outcome = "landed" if was is None else "repeated" if was == text else "replaced"
                changed = changed or outcome != "repeated"
                state[outcome] += 1
                state["received"] += 1
            if changed:
                content = "".join(f"{text}\n" for text in kept.values())
                digest = hashlib.sha256(content.encode()).hexdigest()[:16]
                state["files"][day] = f"{day}.{digest}.jsonl"
                _write(self.folder / state["files"][day], content)
                replaced += [self.folder / name] if name else []
        state |= {"names": sorted({*state["names"], *names}), "cursor": cursor}
        _write(self.folder / "state.json", json.dumps(state, indent=1))
        for path in replaced:
            os.utime(path)  # since when it does not count
        return new

    def clean(self) -> None:
        """Delete files that no load can still read."""
        counting = {path.name for path in self.files().values()}
        for path in self.folder.glob("*.jsonl*"):
            if path.name not in counting and path.stat().st_mtime < time.time() - READ_FOR:
                path.unlink()

    @contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Fetch alone; the operating system frees the lock with the process.

        Raises:
            UnreachableError: another process fetches for longer than the seconds.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + seconds
        with (self.folder / "lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise UnreachableError(
                            f"Another process fetches into {self.folder}. Load again when it has "
                            "ended."
                        ) from None
                    time.sleep(LOOKS_EVERY)
            yield


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all, and force it to the disk."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
