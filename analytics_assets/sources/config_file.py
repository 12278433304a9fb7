"""Reading the source configuration from YAML; errors name the line.

Belongs here: validation of words and values. Does not belong here: their meaning (`config`).
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis.expr.datatypes as dt
import yaml

from analytics_assets.partitions import Calendar
from analytics_assets.schemas.raw import STATUSES
from analytics_assets.sources.config import (
    DATE_IN_PATH,
    DEFAULT_FORMAT,
    Computed,
    SourceConfig,
    SourceConfigError,
    SourcesConfig,
)
from analytics_assets.sources.declared import ATTRIBUTES, LEADING, SOURCES
from analytics_assets.sources.entry import Entry
from analytics_assets.sources.expressions import constant, expression, identifier_of, joined
from analytics_assets.sources.rates import currency_of
from analytics_assets.sources.readers import READERS
from analytics_assets.sources.readers.base import fold_name
from analytics_assets.sources.readers.http import require_fetchable
from analytics_assets.sources.readers.markers import FILE
from analytics_assets.sources.readers.places import place_of_file

# Words of place and form: each format understands some of them.
PLACE_WORDS = (
    *("path", "connection_env", "table", "query"),
    *("delimiter", "encoding", "late_days", "marker"),
)
PLACE_HINTS = {
    "path": "name a file, a glob or a {date} path.",
    "connection_env": "name the environment variable that holds the database's address.",
    "url": "name the address of the API.",
    "inputs": "name the tables of the query, each with its file.",
}
MEANING_OF_NUMBERS = "0123456789+-eE"
REPORTING = "reporting_time_zone"
AMOUNTS_OF_ORDERS = ("discount", "tax", "shipping", "cost", "refunded_amount")
NO_WORDS = ("source", "options", "computed", "reporting_time_zone", "currency")  # of a source
NO_DAYS = Calendar(date(1970, 1, 1))  # where no source has any


def load_sources(path: Path) -> SourcesConfig:
    """Read and validate a source configuration; relative paths are relative to the file.

    Raises:
        SourceConfigError: the file is no YAML, or has a word or a value that cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise SourceConfigError(f"{path} is no readable YAML: {error}") from error
    if root is None:
        raise SourceConfigError(f"{path} is empty; it needs at least `calendar` and `{LEADING}`.")
    document = Entry(path, "", root)
    given = document.mapping(("calendar", REPORTING, *SOURCES, "currency"))
    separate = [name for name, source in SOURCES.items() if source.job]
    alone = not {*given} - {*separate, REPORTING, "currency"}
    if not alone and LEADING not in given:
        raise document.error(
            f"there is no `{LEADING}`. Add it; only {', '.join(separate)} can stand alone, without "
            "a `calendar`."
        )
    if not alone and "calendar" not in given:
        raise document.error("there is no `calendar`. Add it, with the `start` of the data.")
    calendar = _calendar(document["calendar"]) if "calendar" in given else NO_DAYS
    zone = _zone(document[REPORTING]) if REPORTING in given else None
    sources = {
        name: replace(_source(name, document[name]), reporting_time_zone=zone)
        for name in SOURCES
        if name in document
    }
    calendar = replace(calendar, zone=zone or "UTC")
    if "currency" in given:
        currency = currency_of(document["currency"])
        for name, source in sources.items():
            if "currency" in source.contract.columns:
                sources[name] = replace(source, currency=currency)
    return SourcesConfig(calendar, sources)


def _source(name: str, entry: Entry) -> SourceConfig:
    contract = SOURCES[name].contract
    own_words: dict[str, Callable[[Entry], Any]] = {}
    for reader in READERS.values():
        own_words |= reader.own_words
    words = [word.name for word in fields(SourceConfig) if word.name not in NO_WORDS]
    given = entry.mapping([*words, *own_words])
    options: dict[str, Any] = {}
    readers: dict[str, Callable[[Entry], Any]] = {
        "path": place_of_file,
        "columns": lambda value: _columns(name, value),
        "status_map": _status_map,
        "timestamp_formats": lambda value: tuple(_form(item) for item in value.items()),
        "null_words": lambda value: _null_words(name, value),
        "currency_signs": lambda value: tuple(item.text() for item in value.items()),
        "parentheses_are_negative": Entry.flag,
        "decimal_quantity": Entry.flag,
        "line_identity": lambda value: tuple(
            item.one_of(item.text(), contract.columns, "is no column of the contract.")
            for item in value.items()
        ),
        "order_level": lambda value: _order_level(name, value),
        "order_amounts": lambda value: _order_amounts(name, value),
        "attributes": lambda value: _attributes(name, value),
        "format": lambda value: value.one_of(value.text(), READERS, "is no format."),
        "updates": _choice("kept", "overwritten"),
        "duplicates": _choice("collapse", "keep"),
        "customer_key": _choice("email"),
        "strip_plus_tags": Entry.flag,
        "order_snapshot": Entry.flag,
        "rounding": _choice("reject", "half_up"),
        "change_detection": _choice("full", "updated_at"),
        "late_days": lambda value: value.whole_number(0),
        "marker": _marker,
        "max_rejected_share": _share,
        "max_volume_change": lambda value: None if value.value() is None else _share(value),
        "delimiter": _delimiter,
        "decimal": lambda value: _character(value, MEANING_OF_NUMBERS),
        "thousands": lambda value: _character(value, MEANING_OF_NUMBERS),
        "encoding": lambda value: _known_to(_codec, value, "encoding, such as latin-1"),
        "time_zone": _zone,
        "cancelled_order_pattern": _pattern,
        **own_words,
    }
    for word in given:
        options[word] = readers.get(word, Entry.text)(entry[word])
    options["columns"], options["computed"] = options.get("columns", ({}, {}))
    options.setdefault("format", _format_of(options))
    _require_place(entry, options)
    options["options"] = {word: options.pop(word) for word in own_words if word in options}
    if READERS[options["format"]].fetches:
        require_fetchable(name, entry, options)
    path = options.get("path", "")
    dates = list(DATE_IN_PATH.finditer(path))
    if len(dates) > 1:
        raise entry["path"].error("{date} appears more than once.")
    if dates and contract.time_column is None:
        raise entry["path"].error(f"{name} has no days; leave {{date}} out of the path.")
    if dates and not _whole_date(dates[0][1] or "%Y-%m-%d"):
        raise entry["path"].error("the form of {date:...} needs %Y, %m and %d, and no other.")
    if "updates" in options and contract.time_column is None:
        raise entry["updates"].error(f"{name} has no days; leave it out.")
    for word in ("status_map", "cancelled_order_pattern"):
        if word in options and "status" not in contract.columns:
            raise entry[word].error(f"{name} has no status; leave it out.")
    if options.get("order_snapshot") and ("order_id" not in contract.columns or dates):
        raise entry["order_snapshot"].error(
            "is for orders in files that overlap, with a path without {date}; leave it out."
        )
    if "customer_key" in options and "customer_id" not in contract.columns:
        raise entry["customer_key"].error(f"{name} has no customers; leave it out.")
    if "strip_plus_tags" in options and "customer_key" not in options:
        raise entry["strip_plus_tags"].error("means nothing without `customer_key: email`.")
    if options.get("decimal", ".") == options.get("thousands"):
        raise entry["thousands"].error("is the decimal mark too.")
    if path and "://" not in path:
        options["path"] = str((entry.file.parent / path).absolute())
    return SourceConfig(name, **options)


def _format_of(options: dict[str, Any]) -> str:
    path = re.sub(r"\.(gz|zst|bz2|zip)$", "", options.get("path", ""))
    suffix = Path(path).suffix.lower()
    named = [name for name, one in READERS.items() if one.place_word in {*options} - {"path"}]
    fitting = [name for name, one in READERS.items() if suffix in one.suffixes]
    return next(iter([*named, *fitting]), DEFAULT_FORMAT)


def _require_place(entry: Entry, options: dict[str, Any]) -> None:
    """Require the words for the place that the format needs, and refuse all others."""
    reader = READERS[options["format"]]
    if reader.place_word not in options:
        raise entry.error(f"there is no `{reader.place_word}`; {PLACE_HINTS[reader.place_word]}")
    if "table" not in reader.words and "query" in reader.words and "query" not in options:
        raise entry.error("there is no `query`; write the SELECT that joins the inputs.")
    if "table" in reader.words and ("table" in options) == ("query" in options):
        raise entry.error("a database needs either `table` or `query`.")
    understood = (*reader.words, *reader.own_words)
    own_words = [word for other in READERS.values() for word in other.own_words]
    for word in (*PLACE_WORDS, *own_words):
        if word in options and word not in understood:
            raise entry[word].error(f"means nothing for the format {reader.format}; leave it out.")


def _columns(source: str, entry: Entry) -> tuple[dict[str, str], dict[str, Computed]]:
    """The source's names of our columns, and what computes the others."""
    names, computed = {}, {}
    contract = SOURCES[source].contract
    for word in entry.mapping(contract.mappable):
        value = entry[word]
        if isinstance(value.node, yaml.SequenceNode):
            names_of_it = [item.text() for item in value.items()]
            if word.endswith("_id"):
                computed[word] = identifier_of(names_of_it)
            elif isinstance(contract.declared(word).dtype.type, dt.Timestamp):
                computed[word] = joined(names_of_it)
            else:
                raise value.error("only a time or an identifier can be of several columns.")
        elif isinstance(value.node, yaml.MappingNode):
            computed[word] = _computed(value)
        else:
            names[word] = value.text()
    return names, computed


def _computed(entry: Entry) -> Computed:
    given = entry.mapping(("value", "sql"))
    if len(given) != 1:
        raise entry.error("write either {value: ...}, the same for each row, or {sql: ...}.")
    value = entry[given[0]]
    if given == ["value"]:
        if not isinstance(value.value(), (str, int, float, date)):
            raise value.error("write a text or a number; leave out a column that has no value.")
        return constant(value.value())
    try:
        return expression(value.text())
    except ValueError as error:
        raise value.error(f"no expression over the columns of a row: {error}.") from error


def _attributes(source: str, entry: Entry) -> tuple[str, ...]:
    """Further columns of the source; none has the name of another or of a contract column."""
    contract = SOURCES[source].contract
    if ATTRIBUTES not in contract.columns:
        raise entry.error(f"means nothing for {source}; leave it out.")
    taken = {*contract.columns}
    names = []
    for item in entry.items():
        name = item.text()
        if fold_name(name) in taken:
            raise item.error(
                f"{name!r} appears twice, or is a column of the contract: map it there."
            )
        if '"' in name:
            raise item.error(f"{name!r} has a quote in it; rename the column in the source.")
        taken.add(fold_name(name))
        names.append(name)
    return tuple(names)


def _order_level(source: str, entry: Entry) -> tuple[str, ...]:
    """Columns that belong to the whole order."""
    columns = SOURCES[source].contract.mappable
    if "order_id" not in columns:
        raise entry.error(f"{source} has no orders; leave it out.")
    of_order = [name for name in columns if name not in ("order_id", "line_number")]
    return tuple(
        item.one_of(item.text(), of_order, "is no column of an order.") for item in entry.items()
    )


def _order_amounts(source: str, entry: Entry) -> tuple[str, ...]:
    """Money of an order that is split over its lines."""
    if "order_id" not in SOURCES[source].contract.columns:
        raise entry.error(f"{source} has no orders; leave it out.")
    return tuple(
        item.one_of(item.text(), AMOUNTS_OF_ORDERS, "is no amount of an order.")
        for item in entry.items()
    )


def _status_map(entry: Entry) -> dict[str, str]:
    statuses = {}
    for word in entry.mapping():
        key = next(key for key, _ in entry.node.value if key.value == word)
        value = entry[word]
        statuses[Entry(entry.file, entry.keys, key).text()] = value.one_of(
            value.text(), STATUSES, "is no status."
        )
    return statuses


def _null_words(source: str, entry: Entry) -> Any:
    """Null words of all columns, or of each column by name."""
    if not isinstance(entry.node, yaml.MappingNode):
        return tuple(item.text() for item in entry.items())
    names = entry.mapping(SOURCES[source].contract.mappable)
    return {name: tuple(item.text() for item in entry[name].items()) for name in names}


def _choice(*words: str) -> Callable[[Entry], str]:
    return lambda value: value.one_of(value.value(), words, "is no choice here.")


def _share(entry: Entry) -> float:
    value = entry.value()
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise entry.error(f"{value!r} is no share from 0 to 1.")
    return float(value)


def _character(entry: Entry, taken: str) -> str:
    value = entry.text()
    if len(value) != 1 or value in taken:
        raise entry.error("write one character. It may not mean something else.")
    return value


def _marker(entry: Entry) -> str:
    value = entry.text()
    if "/" in value or value == FILE or re.search(r"[*?\[{]", value.replace(FILE, "")):
        raise entry.error("write the name of a file, such as _SUCCESS, or '{file}.done'.")
    return value


def _delimiter(entry: Entry) -> str:
    """A character; in YAML's single quotes a tab is two."""
    return "\t" if entry.value() == "\\t" else _character(entry, '"\r\n')


def _codec(name: str) -> None:
    """Raise LookupError where Python has no text encoding of that name."""
    "x".encode(name)
    codecs.getincrementaldecoder(name)


def _form(entry: Entry) -> str:
    value = entry.text()
    try:
        _ask("SELECT strptime('', ?)", value)
    except duckdb.InvalidInputException as error:
        # An empty text fits no format; what matters is that the format can be read.
        if "Failed to parse format" in str(error):
            raise entry.error(f"{value!r} is no strptime format, such as '%d/%m/%Y'.") from error
    if "%" not in value:
        raise entry.error(f"{value!r} is no strptime format, such as '%d/%m/%Y %H:%M'.")
    return value


def _ask(query: str, value: str) -> None:
    """Let DuckDB evaluate a query of one value, and raise what it raises."""
    with duckdb.connect() as connection:
        connection.execute(query, [value]).fetchall()


def _pattern(entry: Entry) -> str:
    value = entry.text()
    try:
        _ask("SELECT regexp_matches('', ?)", value)
    except duckdb.Error as error:
        why = str(error).removeprefix("Invalid Input Error: ")
        raise entry.error(f"{value!r} is no regular expression: {why}") from error
    return value


def _known_to(lookup: Callable[[str], object], entry: Entry, what: str) -> str:
    value = entry.text()
    try:
        lookup(value)
    except (LookupError, ValueError, OSError) as error:
        raise entry.error(f"{value!r} is no known {what}.") from error
    return value


def _zone(entry: Entry) -> str:
    return _known_to(ZoneInfo, entry, "time zone, such as Europe/Berlin")


def _whole_date(form: str) -> bool:
    return sorted(re.findall("%(.)", form)) == ["Y", "d", "m"]


def _calendar(entry: Entry) -> Calendar:
    given = entry.mapping(("start", "end"))
    options = {word: entry[word].value() for word in given}
    for word in ("start", "end"):
        day = options.get(word)
        if not (type(day) is date or (word == "end" and day is None)):
            place = entry[word] if word in given else entry
            raise place.error(
                f"{word} is {day!r}; write a date such as 2024-01-31"
                + (", the first day after the data, or leave it out." if word == "end" else ".")
            )
    try:
        return Calendar(**options)
    except ValueError as error:
        raise entry.error(str(error)) from error
