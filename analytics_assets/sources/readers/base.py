"""What every reader keeps: the contract between a format and the loading of its rows.

Belongs here: `Reader`, what a scan hands over, and the error of a source. Does not belong here: any
one format, typing (`typed`), writing (`load`).
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
UNREAD = "columns that nothing reads: "


class SourceError(ValueError):
    """A source cannot be read; the message names file and place and what to do."""


class DoubtError(SourceError):
    """The form of a source was trusted, and something does not fit: read it again with care."""


class MissingColumnError(SourceError):
    """A source lacks a column that the contract or the mapping needs.

    Attributes:
        found: the columns that it has.
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
        reason: what is wrong with it.
        text: the row as it stands in the source.
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
        name: what `source_file` says of its rows.
        day: the day that it stands for, where each day has parts of its own.
        key: changes whenever the content does, where that is known without reading it.
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
        relation: SQL relation with the source's columns under their own names and `_load_part`
            (BIGINT, index into parts); besides `_load_row` and `_load_line` where the reader
            numbers rows itself. Where it does not, rows come in the order of their parts.
        types: DuckDB type of each column of the source. VARCHAR is text that is matched and cast.
        parts: where the rows come from.
        numbered: whether the relation has `_load_row` and `_load_line`.
        mixed: whether they are NULL for some parts, whose rows come in order.
        malformed: rows that have no columns, and so are not in the relation.
        versions: data version of each day, where the source itself computes it.
        warnings: what a person should know and what does not stop the load.
        whole: column of the relation that holds a row as JSON text; without it the row is made of
            its columns.
        may_hold_nul: whether a NUL byte may be in a text.
        trusted: whether the form of the rows was taken on trust: each file's rows are counted, but
            whether DuckDB finds them shows only when it reads them.
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
        path: where it lies, as its file system names it.
        name: path below the folder of the source: it does not change with the folder's place.
        day: the day that it stands for, where each day has files of its own.
        state: what changes when the file does: size and time of change, or the store's tag.
    """

    path: str
    name: str
    day: date | None
    state: str

    def part(self, **facts: Any) -> Part:
        """The part of a scan that the file is."""
        return Part(self.name, self.day, f"{self.path} {self.state}", **facts)


class Reader(ABC):
    """How one source is read. A new format is one subclass, registered in `readers/__init__`; the
    tests of readers run over it.

    A reader declares its format: the word for it, the words of the configuration that it
    understands, and how changes of its sources are seen. Of a source that lies in files the
    contents of each file are remembered (`files`, `scan_files`). A database computes versions of
    its days itself (`computes_versions`, `versions`). Otherwise the typed rows are read and
    compared.

    What holds for every reader: a scan is one snapshot of the source (what changes while it is
    read is an error, and nothing is loaded); every row of the window comes once, in the relation
    or among the malformed ones; text is not converted; the source is never written; messages hold
    no row values and no credentials.
    """

    format: ClassVar[str]
    """The word of the configuration for the format."""

    kind: ClassVar[str]
    """What Dagster shows beside the source."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of a path that is taken for this format where none is configured."""

    words: ClassVar[tuple[str, ...]]
    """Words of place and form that it understands; the others of `PLACE_WORDS` are errors."""

    place_word: ClassVar[str] = "path"
    """The one of them that says where the source lies, and that must be there."""

    own_words: ClassVar[Mapping[str, Callable[[Entry], Any]]] = {}
    """Words that only this format has, each with what reads its value into `config.options`."""

    computes_versions: ClassVar[bool] = False
    """Whether the source itself computes data versions."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config

    @property
    def reads_whole(self) -> bool:
        """Whether all of the source is read for any window, however short."""
        return not (self.config.by_day or self.computes_versions)

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
        """Open the rows of a window (or more than them; the load cuts exactly).

        Args:
            connection: the connection that will run the relation.
            window: days that are wanted; None for all.
            calendar: the days that the sources cover.
            scratch: an empty folder for copies, removed after the scan.
            careful: prove the form of the rows before they are handed over. A reader may
                otherwise trust it, and says so in its scan.

        Raises:
            SourceError: the source is missing, malformed as a whole, or changed while it was read.
        """

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the source lies, for people; without credentials."""

    @abstractmethod
    def sample(self, calendar: Calendar) -> "Sample":
        """The rows to look at before a load: all of them up to a size, else some that are spread.

        Raises:
            SourceError: the source is missing or cannot be read.
        """

    def files(self, window: Window | None = None) -> list[SourceFile] | None:
        """The files that can hold rows of a window; None where the source does not lie in files."""
        return None

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


# No name of a column: an address, a number, a time.
_VALUE = re.compile(r"@|^\d[\d\W]*$")


def mapped_columns(config: SourceConfig, found: Sequence[str], where: str) -> dict[str, str]:
    """The source's own name of each column of the contract that it has.

    Names are compared without regard to case and outer white space.

    Args:
        config: the source.
        found: its columns.
        where: what the error names: the file or table.

    Raises:
        SourceError: two columns have one name, or one that is required or mapped is missing; names
            are not told where they look like values.
    """
    no_header = SourceError(
        f"{where}: the first line looks like a row, not like a header. Add a line with the "
        "names of the columns in the source."
    )
    is_row = any(_VALUE.search(name.strip()) for name in found)
    by_fold: dict[str, str] = {}
    for position, name in enumerate(found, 1):
        fold = fold_name(name)
        if not fold:
            raise SourceError(f"{where}: column {position} has no name. Name it in the source.")
        if fold in by_fold and is_row:
            raise no_header
        if fold in by_fold:
            twice = by_fold[fold].strip()
            raise SourceError(
                f"{where}: column {twice!r} stands twice in the header. "
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
            f"Found: {', '.join(column.strip() for column in found)}. Correct `{word}` of "
            f"{config.source} in the source configuration, or the source.{way}",
            found,
        )
    for ours, computed in config.computed.items():
        for column in computed.columns:
            if fold_name(column) not in by_fold:
                raise MissingColumnError(
                    f"{where}: there is no column {column!r}, which {ours} is computed from. "
                    f"Found: {', '.join(column.strip() for column in found)}. Correct `columns` of "
                    f"{config.source} in the source configuration, or the source.",
                    found,
                )
    return {
        name: by_fold[fold_name(column)]
        for name, column in names.items()
        if fold_name(column) in by_fold
    }


def read_columns(
    config: SourceConfig, mapped: Mapping[str, str], found: Sequence[str]
) -> list[str]:
    """The columns of a source that something reads, in its own spelling."""
    by_fold = {fold_name(name): name for name in found}
    return list(dict.fromkeys((*mapped.values(), *(by_fold[fold_name(n)] for n in config.inputs))))


def unknown_columns(config: SourceConfig, found: Sequence[str]) -> list[str]:
    """Columns of a source that nothing reads."""
    known = {fold_name(name) for name in (*config.source_names.values(), *config.inputs)}
    return [name.strip() for name in found if fold_name(name) not in known]


def unread(config: SourceConfig, names: Sequence[str]) -> list[str]:
    """What to say of columns that nothing reads.

    A time of day next to the date that is read would put an order on the wrong day.
    """
    if not names:
        return []
    ours = str(config.contract.time_column)
    date = config.source_names.get(ours, "")
    time = fold_name(date).replace("date", "time")
    return [
        f"{UNREAD}{', '.join(names)}",
        *(
            f"{ours}: {name} may be the time of day of {date}. If it is, name both: "
            f"`{ours}: [{date}, {name}]`"
            for name in names
            if fold_name(name) == time
        ),
    ]


def fold_name(name: str) -> str:
    """A column name as it is compared."""
    return name.strip().casefold()
