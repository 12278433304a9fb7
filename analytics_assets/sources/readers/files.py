"""Files of a source, on this machine or in an object store, and plain local copies of them.

Belongs here: paths, days in paths, compression, encoding, and the check that a file does not change
while it is read. Does not belong here: the content of a format (the subclasses of `FileReader`).
"""

import codecs
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.quoting import identifier
from analytics_assets.sources.casts import PLAUSIBLE_END
from analytics_assets.sources.config import DATE_IN_PATH
from analytics_assets.sources.readers.archives import require_text, unzipped
from analytics_assets.sources.readers.base import (
    LOOKED_AT_BYTES,
    DoubtError,
    Reader,
    Sample,
    Scan,
    SourceError,
    SourceFile,
    UnreachableError,
)
from analytics_assets.sources.readers.markers import is_marker, is_whole

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".zip": "zip"}
CHUNK = 1 << 22


@dataclass(frozen=True)
class LocalFile:
    """A file that can be read here: plain (not compressed), and UTF-8 where it is text."""

    path: Path
    source: SourceFile


class FileReader(Reader):
    """Base of the readers of files."""

    words: ClassVar[tuple[str, ...]] = ("path", "late_days", "marker")
    text = True
    """Whether the files are text, with an encoding."""

    @property
    def place(self) -> str:
        """The configured path."""
        return self.config.path

    @contextmanager
    def scan(
        self,
        connection: duckdb.DuckDBPyConnection,
        window: Window | None,
        calendar: Calendar,
        scratch: Path,
        *,
        careful: bool = True,
    ) -> Iterator[Scan]:
        """The rows of the files that can have rows of the window."""
        files = self.files_of(window, calendar) or []
        with self.scan_files(connection, files, scratch, careful=careful) as scan:
            yield scan

    @contextmanager
    def scan_files(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[SourceFile],
        scratch: Path,
        *,
        careful: bool = True,
    ) -> Iterator[Scan]:
        """The rows of some files.

        Raises:
            SourceError: a file is malformed, or was written to while it was read.
        """
        if not files:
            yield self._nothing()
            return
        local = [self._local(file, scratch) for file in files]
        try:
            yield self.read(connection, local, scratch, careful)
        except DoubtError:
            # A file that was written to need not be read again with care.
            self._require_unchanged(files)
            raise
        self._require_unchanged(files)

    def sample(self, calendar: Calendar) -> Sample:
        """All files of the calendar; of many bytes the first, the last, and some between."""
        end = calendar.end or PLAUSIBLE_END
        files = self.files(Window(calendar.start, end) if self.config.by_day else None)
        days = [file.day for file in files if file.day]
        span = f", {days[0]} to {days[-1]}" if days else ""
        # The state of a file begins with its size.
        sizes = [file.state.partition("-")[0] for file in files]
        size = sum(int(size) for size in sizes if size.isdecimal())
        some, part = files, ""
        if size > LOOKED_AT_BYTES and len(files) > 1:
            last = len(files) - 1
            steps = max(1, int(len(files) * LOOKED_AT_BYTES / size) - 1)
            places = dict.fromkeys(round(step * last / steps) for step in range(steps + 1))
            some = [files[place] for place in places]
            part = f"{len(some):,} of the {len(files):,} files, spread evenly: all are too much"
        return Sample(
            f"{len(files):,} file{'s' if len(files) != 1 else ''}{span}",
            lambda connection, scratch: self.scan_files(connection, some, scratch),
            part,
        )

    def _require_unchanged(self, files: Sequence[SourceFile]) -> None:
        changed = [file.name for file in files if self._state(file.path) != file.state]
        if changed:
            raise SourceError(
                f"{self.config.source}: {changed[0]} changed while it was read. Nothing was "
                "loaded; load again when the delivery has ended."
            )

    def _nothing(self) -> Scan:
        """The scan of days without files."""
        names = list(dict.fromkeys((*self.config.source_names.values(), *self.config.inputs)))
        listed = ", ".join(f"NULL::VARCHAR AS {identifier(name)}" for name in names)
        relation = f"(SELECT {listed}, 0 AS _load_part WHERE false)"
        return Scan(relation, dict.fromkeys(names, "VARCHAR"), [])

    @abstractmethod
    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The rows of plain local files.

        Raises:
            SourceError: a file cannot be read, or its columns do not fit the contract.
        """

    def files(self, window: Window | None = None) -> list[SourceFile]:
        """The files that can have rows of a window, in order; without a window all of them.

        Raises:
            SourceError: the source has no file at all, such as on a share that is not mounted.
        """
        files = [file for file in self._listed(window) if self._is_whole(file)]
        if not files and self.waiting():
            if window is None or not self.config.by_day:
                raise SourceError(
                    f"{self.config.source}: no file at {self.place} has its marker "
                    f"({self.config.marker}) yet. Wait for the delivery, or check `marker` in the "
                    "source configuration."
                )
        elif not files and (window is None or not self._listed(None)):
            raise SourceError(
                f"{self.config.source}: no file at {self.place}"
                f"{' with a date such as 2024-01-31' if self.config.by_day else ''}. Check `path` "
                "in the source configuration, or where the files are delivered."
            )
        return files

    def waiting(self, window: Window | None = None) -> list[SourceFile]:
        """The files whose markers are missing or too old: their delivery has not ended."""
        if self.config.marker is None:
            return []
        return [file for file in self._listed(window) if not self._is_whole(file)]

    def _is_whole(self, file: SourceFile) -> bool:
        marker = self.config.marker
        if marker is None:
            return True
        with self._store_errors():
            return is_whole(file.path, marker, self._file_system)

    def _listed(self, window: Window | None) -> list[SourceFile]:
        marker = self.config.marker
        return [
            SourceFile(path, self._name(path), day, state)
            for path, day, state in sorted(self._states(window))
            if marker is None or not is_marker(path, marker)
        ]

    def _states(self, window: Window | None) -> list[tuple[str, date | None, str]]:
        if not self.config.by_day:
            return [(path, None, self._state(path)) for path in self._glob(self.config.path)]
        if window is not None and window.days <= 40:
            reach = Window(window.start, window.end + timedelta(days=self.config.late_days))
            paths = [(path, day) for day in reach for path in self._glob(self._path_of(day))]
        else:
            pattern = DATE_IN_PATH.sub(lambda match: _glob_of(_form(match)), self.config.path)
            dated = [(path, self._day_of(path)) for path in self._glob(pattern)]
            paths = [(path, day) for path, day in dated if day is not None]
            if window is not None:
                end = window.end + timedelta(days=self.config.late_days)
                paths = [(path, day) for path, day in paths if window.start <= day < end]
        return [(path, day, self._state(path)) for path, day in paths]

    def _path_of(self, day: date) -> str:
        return DATE_IN_PATH.sub(lambda match: day.strftime(_form(match)), self.config.path)

    def _day_of(self, path: str) -> date | None:
        match = self._day_pattern.search(path)
        if match is None:
            return None
        form = DATE_IN_PATH.search(self.config.path)
        assert form is not None
        try:
            return datetime.strptime(match[1], _form(form)).date()  # noqa: DTZ007 (a day)
        except ValueError:
            return None

    @cached_property
    def _day_pattern(self) -> re.Pattern[str]:
        form = DATE_IN_PATH.search(self.config.path)
        assert form is not None
        before, after = self.config.path[: form.start()], self.config.path[form.end() :]
        digits = re.sub("%Y", r"\\d{4}", re.sub("%[md]", r"\\d{2}", re.escape(_form(form))))
        # A store's paths come without their protocol.
        return re.compile(f"{_regex_of(_plain(before))}({digits}){_regex_of(after)}$")

    @cached_property
    def _file_system(self) -> Any:
        """The object store's file system; None for this machine's."""
        if "://" not in self.config.path:
            return None
        import fsspec

        try:
            # Listings are not cached: the process of a sensor runs for long.
            system, _ = fsspec.core.url_to_fs(self.config.path, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise SourceError(
                f"{self.config.source}: {error}. Object stores need the package of their "
                "protocol: for s3:// install analytics_assets[s3]."
            ) from error
        return system

    def _glob(self, path: str) -> list[str]:
        if self._file_system is None:
            from glob import glob  # the pattern is a team's, and may be absolute

            return [match for match in glob(path, recursive=True) if Path(match).is_file()]
        with self._store_errors():
            if not re.search(r"[*?\[]", path):
                return [path] if self._file_system.exists(path) else []
            return list(self._file_system.glob(path))

    def _state(self, path: str) -> str:
        if self._file_system is None:
            try:
                stat = Path(path).stat()
            except FileNotFoundError:
                return "gone"
            return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}"
        with self._store_errors():
            info = self._file_system.info(path)
        # Stores name a version of an object in one of these ways.
        tags = (info.get(key) for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime"))
        return f"{info.get('size')}-{next(filter(None, tags), '')}"

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except SourceError:
            raise
        except Exception as error:
            # Each library of a store has its own kinds of errors.
            known = isinstance(error, FileNotFoundError | PermissionError | ValueError)
            kind = SourceError if known else UnreachableError
            raise kind(
                f"{self.config.source}: {self.place} cannot be read: {type(error).__name__}: "
                f"{str(error)[:200]}. Check the path, and the credentials in the environment."
            ) from error

    def _name(self, path: str) -> str:
        folder = re.split(r"[*?\[{]", self.config.path)[0]
        root = _plain(folder if folder.endswith("/") else folder.rpartition("/")[0] + "/")
        plain = _plain(path)
        return plain[len(root) :] if plain.startswith(root) else PurePosixPath(plain).name

    def _local(self, file: SourceFile, scratch: Path) -> LocalFile:
        """The file itself if it can be read directly, otherwise a plain copy of it."""
        path = Path(file.path)
        compression = COMPRESSIONS.get(path.suffix.lower()) if self.text else None
        encoding = codecs.lookup(self.config.encoding).name if self.text else "utf-8"
        if self._file_system is not None:
            path = scratch / "fetched" / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._store_errors():
                self._file_system.get_file(file.path, str(path))
        if self.text and compression is None:
            require_text(self.config, path, file.name, encoding)
        if compression is None and encoding == "utf-8":
            return LocalFile(path, file)
        # With the suffix of the original, DuckDB would try to decompress it.
        copy = scratch / "plain" / f"{file.name}.plain"
        copy.parent.mkdir(parents=True, exist_ok=True)
        if compression == "zip":
            compression, path = None, unzipped(self.config, path, file.name, copy)
            require_text(self.config, path, file.name, encoding)
            if encoding == "utf-8":
                return LocalFile(path, file)
        self._copy_plain(path, copy, compression, encoding, file.name)
        if compression is not None and encoding == "utf-8":
            require_text(self.config, copy, file.name, encoding)
        return LocalFile(copy, file)

    def _copy_plain(
        self, path: Path, copy: Path, compression: str | None, encoding: str, name: str
    ) -> None:
        import pyarrow as pa

        decoder = codecs.getincrementaldecoder(encoding)("strict")
        try:
            with (
                pa.input_stream(str(path), compression=compression) as stream,
                copy.open("wb") as out,
            ):
                while chunk := stream.read(CHUNK):
                    out.write(chunk if encoding == "utf-8" else decoder.decode(chunk).encode())
                out.write(decoder.decode(b"", final=True).encode() if encoding != "utf-8" else b"")
        except UnicodeError as error:
            reason = getattr(error, "reason", error)
            raise SourceError(
                f"{self.config.source}: {name} is not in the declared encoding "
                f"{self.config.encoding} ({reason}). Correct `encoding` of "
                f"{self.config.source} in the source configuration, or the file."
            ) from error
        except OSError as error:
            raise SourceError(
                f"{self.config.source}: {name} is no whole {compression} file ({error}). Deliver "
                "it again; nothing was loaded."
            ) from error


def _form(match: re.Match[str]) -> str:
    """The strftime form of a `{date}` or `{date:%Y%m%d}` in a path."""
    return match[1] or "%Y-%m-%d"


def _glob_of(form: str) -> str:
    return re.sub("%[md]", "[0-9][0-9]", form.replace("%Y", "[0-9][0-9][0-9][0-9]"))


def _regex_of(pattern: str) -> str:
    """A regular expression for what a glob matches."""
    escaped = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.sub(r"\\\[(.*?)\\\]", r"[\1]", escaped.replace(r"\?", "[^/]"))


def _plain(path: str) -> str:
    """A path as its file system lists it: an object store leaves its protocol out."""
    protocol, separator, rest = path.partition("://")
    return path if not separator or protocol in ("http", "https") else rest
