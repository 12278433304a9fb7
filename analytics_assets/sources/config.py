"""The source configuration: where each source lies, how it maps, and what it may do.

Belongs here: the words and their defaults. Does not belong here: reading them from YAML
(`config_file`), reading rows (`readers`).
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from analytics_assets.partitions import Calendar
from analytics_assets.sources.declared import LEADING, SOURCES, Contract, Source

# {date}, or {date:%Y%m%d} with a strftime format.
DATE_IN_PATH = re.compile(r"\{date(?::([^{}]*))?\}")
DEFAULT_FORMAT = "csv"
# What programs write for a missing identifier.
NOBODY = ("null", "none", "nan", "\\n", "n/a", "#n/a")
# Words that do not change what a row becomes.
UNREAD = (
    *("path", "format", "table", "query", "connection_env", "delimiter", "encoding", "options"),
    *("currency", "updates", "change_detection", "max_rejected_share", "max_volume_change"),
    "marker",
)


@dataclass(frozen=True)
class Rate:
    """What a unit of a currency is worth in the currency of reports.

    Attributes:
        code: the currency, in upper case.
        rate: the number, as text.
        day: since when; None of a fixed rate.
    """

    code: str
    rate: str
    day: date | None = None


@dataclass(frozen=True)
class Currency:
    """The currency of reports, and the rates that convert others to it."""

    reporting: str
    rates: tuple[Rate, ...] = ()


class SourceConfigError(ValueError):
    """The source configuration is wrong; the message names the place and what to do."""


@dataclass(frozen=True)
class Computed:
    """A column that is computed from the source's columns.

    Attributes:
        sql: SQL of its value.
        columns: the source's columns that it reads.
        numbers: those of them that are read as numbers.
        rounds: whether it is an expression, whose value is rounded to the stored decimals.
    """

    sql: str
    columns: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    rounds: bool = False


@dataclass(frozen=True)
class SourceConfig:
    """How one source is read.

    Attributes:
        source: its name (`declared`).
        path: file, glob, address in an object store, or a path with `{date}` (`{date:%Y%m%d}`)
            where each day has files of its own; absolute. For DuckDB and SQLite, the file.
            Where rows are fetched, the folder in the home that they are fetched into.
        format: the format of a reader, such as csv (`readers`).
        table: table of a database.
        query: query of a database, instead of a table.
        connection_env: environment variable that holds the address of the database.
        columns: our column name to the source's, where they differ.
        computed: our column name to what computes it, where it is no column of the source.
        attributes: further columns of the source, kept as texts in one column.
        delimiter: the CSV delimiter; by default a comma, and a tab in .tsv files.
        encoding: encoding of text files: any codec that Python knows.
        timestamp_formats: strptime formats; the first that fits reads the value. Without any, ISO
            8601 is read, with or without an offset.
        time_zone: zone of times without one; a time that it skips or has twice is rejected.
        decimal: the decimal mark.
        thousands: the thousands mark; None accepts none.
        rounding: reject numbers with more decimals than are stored, or round them half up.
        currency_signs: texts before or after an amount that are not part of the number.
        parentheses_are_negative: a number in parentheses is negative.
        decimal_quantity: quantities may have decimals, such as kilograms.
        reporting_time_zone: zone of the days, of all sources: a row's day is the shop's. None is
            UTC, and a warning where the source names a zone of its own.
        null_words: texts that stand for a missing value, besides the empty text: of all columns, or
            a list for each column. Identifiers have `NOBODY` too, unless their list is empty.
        status_map: the source's status words to ours.
        cancelled_order_pattern: regular expression; an order whose id matches is cancelled.
        late_days: a day's file may have rows dated up to so many days before it.
        marker: name of a file that is written next to a file when that is whole, such as _SUCCESS
            or `{file}.done`; without it a file does not exist yet.
        updates: whether the source keeps all versions of a row, or overwrites it; by default kept
            where each day has files of its own. Only for sources with days.
        order_level: columns of the order that the source fills on one of its lines only; they are
            carried to the others.
        order_amounts: money of the order that the source has on one of its lines, or on each of
            them; it is split over the lines by what they cost.
        order_snapshot: files are exports that overlap: the lines of an order count only in the
            last file, by name, that has the order.
        customer_key: `email` replaces the address that customer_id is mapped to by a code, so that
            no address is stored as an identifier.
        strip_plus_tags: whether addresses with and without a plus tag are one customer.
        duplicates: collapse rows that are equal in all columns of a line, or keep them.
        line_identity: columns that distinguish the lines of an order without line numbers; by
            default all that belong to the line.
        change_detection: compare all rows of a database (full), or only days with an `updated_at`
            since the newest that was loaded, which misses deletions.
        max_rejected_share: a load with a larger share of rejected rows fails.
        max_volume_change: a load fails if its rows differ from the rows loaded before by a larger
            share; None allows any.
        currency: the currency that money is converted to, for the whole configuration. It is not
            part of the fingerprint: a new rate changes the days whose money it changes.
        options: values of words that only this format has.
    """

    source: str
    path: str = ""
    format: str = DEFAULT_FORMAT
    table: str | None = None
    query: str | None = None
    connection_env: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, Computed] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str = "utf-8"
    timestamp_formats: tuple[str, ...] = ()
    time_zone: str = "UTC"
    decimal: str = "."
    thousands: str | None = None
    rounding: str = "reject"
    currency_signs: tuple[str, ...] = ()
    parentheses_are_negative: bool = False
    decimal_quantity: bool = False
    reporting_time_zone: str | None = None
    null_words: tuple[str, ...] | Mapping[str, tuple[str, ...]] = ()
    status_map: Mapping[str, str] = field(default_factory=dict)
    cancelled_order_pattern: str | None = None
    late_days: int = 0
    marker: str | None = None
    updates: str | None = None
    order_level: tuple[str, ...] = ()
    order_amounts: tuple[str, ...] = ()
    order_snapshot: bool = False
    customer_key: str | None = None
    strip_plus_tags: bool = False
    duplicates: str = "collapse"
    line_identity: tuple[str, ...] = ()
    change_detection: str = "full"
    max_rejected_share: float = 0.2
    max_volume_change: float | None = 0.9
    currency: Currency | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def declared(self) -> Source:
        """What is declared of the source."""
        return SOURCES[self.source]

    @property
    def contract(self) -> Contract:
        """The contract that the source fulfils."""
        return self.declared.contract

    @property
    def source_names(self) -> dict[str, str]:
        """The source's name of each column that is read as it is, by ours or the attribute's."""
        ours = (*self.contract.mappable, *self.attributes)
        return {n: self.columns.get(n, n) for n in ours if n not in self.computed}

    def columns_behind(self, name: str) -> tuple[str, ...]:
        """The source columns that one of our columns is read or computed from."""
        computed = self.computed.get(name)
        return computed.columns if computed else (self.columns.get(name, name),)

    @property
    def needed(self) -> list[str]:
        """Our columns that the source must have."""
        given = (*self.columns, *self.computed)
        follows = self.contract.follows
        return [
            name
            for name in self.contract.required
            if name not in self.computed and (name in given or follows.get(name) not in given)
        ]

    @property
    def inputs(self) -> list[str]:
        """Source columns that computed columns read."""
        read = (name for computed in self.computed.values() for name in computed.columns)
        return list(dict.fromkeys(read))

    def null_words_of(self, name: str) -> tuple[str, ...]:
        """Words for a missing value of a column, in lower case."""
        given = self.null_words
        if isinstance(given, Mapping):
            if name in given and not given[name]:
                return ()
            given = given.get(name, ())
        both = (*given, *(NOBODY if name.endswith("_id") else ()))
        return tuple(dict.fromkeys(word.lower() for word in both))

    def converts(self, mapped: Collection[str]) -> bool:
        """Whether money is converted, given our columns that the source has."""
        return self.currency is not None and "currency" in mapped

    @property
    def shops_zone(self) -> str:
        """The zone of the days."""
        return self.reporting_time_zone or "UTC"

    @property
    def by_day(self) -> bool:
        """Whether each day has files of its own."""
        return DATE_IN_PATH.search(self.path) is not None

    @property
    def is_committed(self) -> bool:
        """Whether what is read is whole whenever it is looked at, which a file need not be."""
        committed = self.format in ("delta", "lake")
        return committed or self.connection_env is not None or "url" in self.options

    @property
    def overwrites(self) -> bool:
        """Whether the source overwrites rows: updated_at is then when a row last changed."""
        return self.updates == "overwritten" or (self.updates is None and not self.by_day)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the mapping; it does not change with the place of the files."""
        words = {key: value for key, value in asdict(self).items() if key not in UNREAD}
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SourcesConfig:
    """All sources of a team, and the days that they cover.

    Attributes:
        calendar: the days; without meaning where no source has days.
        sources: the leading source, or one with a job of its own, or both, and all others.
    """

    calendar: Calendar
    sources: Mapping[str, SourceConfig]

    @property
    def has_days(self) -> bool:
        """Whether there are other sources than those with jobs of their own."""
        return LEADING in self.sources

    @property
    def separate(self) -> tuple[SourceConfig, ...]:
        """The sources with jobs of their own."""
        return tuple(source for source in self.sources.values() if source.declared.job)

    @property
    def absent(self) -> tuple[str, ...]:
        """Optional sources that are not configured."""
        return tuple(name for name in SOURCES if name not in self.sources)

    @property
    def stand_ins(self) -> list[str]:
        """Tables that stay empty because their source is not configured, and that others read."""
        if not self.has_days:
            return []
        built = {model for source in self.sources for model in SOURCES[source].builds}
        models = [model for source in self.absent for model in SOURCES[source].stand_ins]
        return [model for model in models if model not in built]
