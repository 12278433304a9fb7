"""Several files and a query that joins them.

Belongs here: named files as tables of a temporary database, and what its query may do. Does not
belong here: reading a file (the readers of formats), what all databases share (`databases`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.quoting import identifier
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.entry import Entry
from analytics_assets.sources.readers.base import Malformed, Part, Sample, Scan, SourceError
from analytics_assets.sources.readers.databases import DatabaseReader, Session
from analytics_assets.sources.readers.duckdb_file import DuckDBSession
from analytics_assets.sources.readers.files import FileReader
from analytics_assets.sources.readers.head import HEAD_WORDS
from analytics_assets.sources.readers.places import place_of_file
from analytics_assets.sources.readers.unread import UNREAD

# Reader of files by suffix.
Formats = Mapping[str, type[FileReader]]


@dataclass(frozen=True)
class _AnyColumns:
    """The contract of a file that only a query reads: whatever columns it has."""

    required: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    mappable: tuple[str, ...] = ()
    time_column: str | None = None
    follows: Mapping[str, str] = field(default_factory=dict)


class InputConfig(SourceConfig):
    """How a file of a query is read."""

    @property
    def contract(self) -> Any:
        """No columns that it must have."""
        return _AnyColumns()


def _inputs(entry: Entry) -> dict[str, str]:
    """Names of tables, each with the path of its file."""
    paths = {}
    for name in entry.mapping():
        path = place_of_file(entry[name])
        if not name.isidentifier():
            raise entry.error(f"{name!r} cannot be the name of a table; write a word.")
        paths[name] = path if "://" in path else str((entry.file.parent / path).absolute())
    if not paths:
        raise entry.error("name at least one file.")
    return paths


class JoinedReader(DatabaseReader):
    """Named files as tables of text, and a query over them.

    The query runs in a database with only these tables: it reaches no file, no other database and
    no network. Rows of a file that cannot be split into columns are rejected before it.
    """

    format = kind = "joined"
    words = ("query", "delimiter", "encoding")
    place_word = "inputs"
    own_words = {**HEAD_WORDS, "sheet": Entry.text, "inputs": _inputs}
    computes_versions = False
    formats: Formats = {}
    """Readers of files by suffix; filled where readers are registered."""

    def __init__(self, config: SourceConfig) -> None:
        super().__init__(config)
        self._malformed: list[tuple[str, Malformed]] = []
        self._warnings: list[str] = []

    @property
    def place(self) -> str:
        """The files."""
        return ", ".join(self.config.options["inputs"].values())

    def sample(self, calendar: Calendar) -> Sample:
        """All rows of the query: the files are read whatever it gives."""
        return Sample(
            f"{len(self.config.options['inputs'])} files",
            lambda connection, scratch: self.scan(connection, None, calendar, scratch),
        )

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A temporary database with only the files."""
        self._malformed, self._warnings = [], []
        with TemporaryDirectory(prefix="joined-") as folder:
            path = Path(folder) / "inputs.duckdb"
            with duckdb.connect(str(path)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                for name, file in self.config.options["inputs"].items():
                    self._read(connection, name, file, Path(folder) / name)
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                try:
                    yield DuckDBSession(connection)
                except duckdb.Error as error:
                    # Not chained: DuckDB may quote a row.
                    raise SourceError(
                        f"{self.config.source}: the query cannot be run: "
                        f"{str(error).splitlines()[0][:300]}. Correct `query` of "
                        f"{self.config.source} in the source configuration."
                    ) from None

    def _read(
        self, connection: duckdb.DuckDBPyConnection, name: str, path: str, scratch: Path
    ) -> None:
        """A table of the rows of one input."""
        plain = Path(path.lower())
        if plain.suffix in (".gz", ".zst", ".bz2", ".zip"):
            plain = plain.with_suffix("")
        reader = self.formats.get(plain.suffix, self.formats[".csv"])
        options = {
            word: value for word, value in self.config.options.items() if word in reader.own_words
        }
        config = InputConfig(
            self.config.source,
            path,
            reader.format,
            encoding=self.config.encoding,
            delimiter=self.config.delimiter,
            options=options,
        )
        scratch.mkdir()
        one = reader(config)
        with one.scan_files(connection, one.files() or [], scratch) as scan:
            listed = ", ".join(map(identifier, scan.types))
            connection.execute(
                f"CREATE TABLE {identifier(name)} AS SELECT {listed} FROM {scan.relation}"
            )
            (rows,) = connection.execute(f"SELECT count(*) FROM {identifier(name)}").fetchall()[0]
            expected = sum(part.rows or 0 for part in scan.parts) - len(scan.malformed)
            if rows != expected:
                raise SourceError(
                    f"{self.config.source}: {path} has {expected:,} rows, of which {rows:,} were "
                    "read. Nothing was loaded; check whether the file is being written to."
                )
            self._malformed += [(scan.parts[row.part].name, row) for row in scan.malformed]
            self._warnings += [
                f"{name}: {warning}" for warning in scan.warnings if not warning.startswith(UNREAD)
            ]

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
        """The rows of the query, and the rows of its files that have no columns."""
        with super().scan(connection, window, calendar, scratch, careful=careful) as scan:
            counts = Counter(name for name, _ in self._malformed)
            names, parts = list(counts), [Part(name, rows=rows) for name, rows in counts.items()]
            yield replace(
                scan,
                parts=[*scan.parts, *parts],
                malformed=[
                    replace(row, part=names.index(name) + 1) for name, row in self._malformed
                ],
                warnings=[*scan.warnings, *self._warnings],
            )
