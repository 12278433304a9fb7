"""The interface of readers: how a format hands its rows to the load.

Belongs here: `Reader`, `Scan`, and the errors of a source. Does not belong here: any one format,
typing (`typed`), writing (`load`).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.entry import Entry

# Where a source has no such column.
WAYS = {
    "order_id": " Where orders have no number, the purchases of a customer at one time are one: "
    "`order_id: [customer, time]`, with the source's names.",
    "quantity": " Where each row is one piece, write `quantity: {value: 1}` there.",
}


class SourceError(ValueError):
    """A source cannot be read; the message names file and place and what to do."""


class UnreachableError(SourceError):
    """A source is away: a server that is down, a connection that broke. Another try can help."""


class DoubtError(SourceError):
    """The form of a source was trusted and does not fit: it has to be read again with care."""


class MissingColumnError(SourceError):
    """A source lacks a column that the contract or the mapping needs.

    Attributes:
        found: the columns of the source.
    """

    def __init__(self, message: str, found: Sequence[str]) -> None:
        super().__init__(message)
        self.found = list(found)


@dataclass(frozen=True)
class Malformed:
    """A row whose text cannot be cut into the columns of its file.

    Attributes:
        part: number of the row's part (file) within the scan.
        row: number of the row in its part, from 1.
        line: line of the file where the row begins; None where it has no line of its own.
        reason: why it is malformed.
        text: the row as text.
    """

    part: int
    row: int
    line: int | None
    reason: str
    text: str


@dataclass(frozen=True)
class Part:
    """A piece of a source that numbers its own rows: a file, a table.

    Attributes:
        name: `source_file` of its rows.
        day: its day, where each day has parts of its own.
        key: changes whenever the content does; None where that is unknown without reading it.
        rows: rows counted independently of DuckDB's reader; None where nothing can count them.
        lines_before: lines of the file before its first row; None where it has no lines.
    """

    name: str
    day: date | None = None
    key: str | None = None
    rows: int | None = None
    lines_before: int | None = None


@dataclass(frozen=True)
class Scan:
    """The rows of a window, as a reader hands them to DuckDB.

    Attributes:
        relation: SQL relation with the source's columns under their own names, `_load_part`
            (BIGINT, index into parts), and `_load_row` and `_load_line` where the reader numbers
            rows itself. Where it does not, rows come in the order of their parts.
        types: DuckDB type of each column of the source. VARCHAR is text that is matched and cast.
        parts: where the rows come from.
        numbered: whether the relation has `_load_row` and `_load_line`.
        mixed: whether they are NULL for some parts, whose rows come in order.
        malformed: rows without columns, which are not in the relation.
        versions: data version of each day, where the source itself computes it.
        warnings: what a person should know and what does not stop the load.
        whole: column of the relation with the row as JSON text; None builds it from the columns.
        may_hold_nul: whether texts may contain a NUL byte.
        trusted: whether the form of the rows is not proven: each file's rows are counted, but
            whether DuckDB reads as many shows only in the load.
    """

    relation: str
    types: Mapping[str, str]
    parts: Sequence[Part]
    numbered: bool = False
    mixed: bool = False
    malformed: Sequence[Malformed] = ()
    versions: Mapping[date | None, str] | None = None
    warnings: Sequence[str] = ()
    whole: str | None = None
    may_hold_nul: bool = True
    trusted: bool = False


Scanner = Callable[[duckdb.DuckDBPyConnection, Path], AbstractContextManager[Scan]]


@dataclass(frozen=True)
class SourceFile:
    """A file of a source.

    Attributes:
        path: its path in its file system.
        name: path below the folder of the source, which stays the same if the folder moves.
        day: its day, where each day has files of its own.
        state: what changes when the file does: size and time of change, or the store's tag.
    """

    path: str
    name: str
    day: date | None
    state: str

    def part(self, **facts: Any) -> Part:
        """The file as a part of a scan."""
        return Part(self.name, self.day, f"{self.path} {self.state}", **facts)


class Reader(ABC):
    """Reads one source. A new format is a subclass, registered in `readers/__init__`.

    A reader declares its format: its name, the words of the configuration that it understands, and
    how changes of its sources are detected. For files, the contents of each file are cached
    (`files`, `scan_files`). A database computes versions of its days itself (`computes_versions`,
    `versions`). Otherwise the typed rows are read and compared.

    For every reader: a scan is one snapshot of the source (a change while it is read is an error,
    and nothing is loaded); every row of the window comes once, in the relation or as a malformed
    row; text is not converted; the source is never written; messages contain no row values and no
    credentials. The tests of readers check this for each format.
    """

    format: ClassVar[str]
    """The word of the configuration for the format."""

    kind: ClassVar[str]
    """What Dagster shows next to the source."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Suffixes of paths that have this format where none is configured."""

    words: ClassVar[tuple[str, ...]]
    """Words of `PLACE_WORDS` that it understands; the others are errors."""

    place_word: ClassVar[str] = "path"
    """The required one of them, which gives the place of the source."""

    own_words: ClassVar[Mapping[str, Callable[[Entry], Any]]] = {}
    """Words that only this format has, each with the function that reads its value."""

    computes_versions: ClassVar[bool] = False
    """Whether the source itself computes data versions."""

    fetches: ClassVar[bool] = False
    """Whether rows are fetched into files before they are read."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config

    @property
    def reads_whole(self) -> bool:
        """Whether all of the source is read for any window, however short."""
        return not (self.config.by_day or self.computes_versions)

    @property
    def due_before(self) -> date | None:
        """The first day whose rows are not due yet; None where the calendar alone says that."""
        return None

    def not_due(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Rows that are not due yet and that no scan has."""
        return 0

    @abstractmethod
    def scan(
        self,
        connection: duckdb.DuckDBPyConnection,
        window: Window | None,
        calendar: Calendar,
        scratch: Path,
        *,
        careful: bool = True,
    ) -> AbstractContextManager[Scan]:
        """Open the rows of a window (or more; the load filters exactly).

        Args:
            connection: the connection that will run the relation.
            window: the days; None for all.
            calendar: the days that the sources cover.
            scratch: an empty folder for copies, removed after the scan.
            careful: prove the form of the rows first. Otherwise a reader may trust it, and sets
                `trusted` in its scan.

        Raises:
            SourceError: the source is missing, malformed as a whole, or changed while it was read.
        """

    @property
    @abstractmethod
    def place(self) -> str:
        """The place of the source, for people; without credentials."""

    @abstractmethod
    def sample(self, calendar: Calendar) -> "Sample":
        """The rows to look at before a load: all of them up to a size, else some that are spread.

        Raises:
            SourceError: the source is missing or cannot be read.
        """

    def fetch(self, seconds: float | None = None) -> None:  # noqa: B027 (most have nothing to do)
        """Fetch what is new into files of the home, where the format has to; give up in time."""

    def files(self, window: Window | None = None) -> list[SourceFile] | None:
        """The files that can have rows of a window; None if the source is not in files."""
        return None

    def files_of(self, window: Window | None, calendar: Calendar) -> list[SourceFile] | None:
        """The same, with those whose rows of no usable day count on the calendar's first day."""
        return self.files(window)

    def waiting(self, window: Window | None = None) -> list[SourceFile]:
        """The files of a window whose delivery has not ended, which `files` leaves out."""
        return []

    def scan_files(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[SourceFile],
        scratch: Path,
        *,
        careful: bool = True,
    ) -> AbstractContextManager[Scan]:
        """The rows of some of its files."""
        raise NotImplementedError

    def versions(
        self, window: Window | None, calendar: Calendar, since: Any = None
    ) -> dict[date | None, str] | None:
        """Data versions that the source itself computes; None where it cannot.

        Args:
            window: the days; None for a source without days.
            calendar: the days that the sources cover.
            since: only days with a row changed at or after this time of the source.
        """
        return None


# Up to so much check-sources looks at the whole source.
LOOKED_AT_ROWS = 2_000_000
LOOKED_AT_BYTES = 200_000_000


@dataclass(frozen=True)
class Sample:
    """What lies at a source, in words, and the scan of what is looked at of it: of all, or of a
    part, which is in words too.
    """

    found: str
    scanner: Scanner
    part: str = ""


# Values that are not names of columns: an address, a number, a time.
_VALUE = re.compile(r"@|^\d[\d\W]*$")


def mapped_columns(config: SourceConfig, columns: Sequence[str], where: str) -> dict[str, str]:
    """The source's own name of each column of the contract that it has.

    Names are compared without case and outer white space.

    Args:
        config: the source.
        columns: its columns.
        where: name of the file or table, for errors.

    Raises:
        SourceError: two columns have one name, or one that is required or mapped is missing. The
            message has no names that look like values.
    """
    no_header = SourceError(
        f"{where}: the first line looks like a row, not like a header. Add a line with the "
        "names of the columns in the source."
    )
    is_row = any(_VALUE.search(name.strip()) for name in columns)
    listed = ", ".join(column.strip() for column in columns)
    by_fold: dict[str, str] = {}
    for position, name in enumerate(columns, 1):
        fold = fold_name(name)
        if not fold:
            raise SourceError(f"{where}: column {position} has no name. Name it in the source.")
        if fold in by_fold and is_row:
            raise no_header
        if fold in by_fold:
            raise SourceError(
                f"{where}: column {by_fold[fold].strip()!r} appears twice in the header. "
                "Rename or remove one of them in the source."
            )
        by_fold[fold] = name
    # What is mapped is meant: were it missing, cancelled orders would count as sales.
    names, follows = config.source_names, config.contract.follows
    of_order = (*config.order_level, *config.order_amounts)
    of_order = tuple(name for name in of_order if name not in config.computed)
    for name in dict.fromkeys((*config.needed, *config.columns, *config.attributes, *of_order)):
        column = names[name]
        if fold_name(column) in by_fold:
            continue
        if name not in config.columns and names.get(follows.get(name, ""), "") in by_fold:
            continue
        if is_row:
            raise no_header
        word = "attributes" if name in config.attributes else "columns"
        way = WAYS.get(name, "") if name not in config.columns else ""
        raise MissingColumnError(
            f"{where}: there is no column {column!r}, which {config.source} needs as {name}. "
            f"Found: {listed}. Correct `{word}` of {config.source} in the source configuration, or "
            f"the source.{way}",
            columns,
        )
    for ours, computed in config.computed.items():
        for column in computed.columns:
            if fold_name(column) not in by_fold:
                raise MissingColumnError(
                    f"{where}: there is no column {column!r}, which {ours} is computed from. "
                    f"Found: {listed}. Correct `columns` of {config.source} in the source "
                    "configuration, or the source.",
                    columns,
                )
    return {
        name: by_fold[fold_name(column)]
        for name, column in names.items()
        if fold_name(column) in by_fold
    }


def read_columns(
    config: SourceConfig, mapped: Mapping[str, str], columns: Sequence[str]
) -> list[str]:
    """The columns of a source that are read, in its own spelling."""
    by_fold = {fold_name(name): name for name in columns}
    return list(dict.fromkeys((*mapped.values(), *(by_fold[fold_name(n)] for n in config.inputs))))


def fold_name(name: str) -> str:
    """A column name in the form in which names are compared."""
    return name.strip().casefold()
