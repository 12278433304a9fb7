"""The source configuration: a YAML file that says where each source lies and how it maps.

Belongs here: the file's words, their defaults and their validation. Does not belong here: reading
rows (`files`).
"""

import difflib
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from analytics_assets.partitions import Calendar
from analytics_assets.schemas.raw import STATUSES
from analytics_assets.settings import Settings
from analytics_assets.sources.contract import CONTRACTS, Contract

DAY = "{date}"
# What `write_sample` makes by default; its manifest says what it made.
DEFAULT_SAMPLE_CALENDAR = Calendar(date(2024, 1, 1), date(2026, 1, 1))
TIMESTAMP_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


class SourceConfigError(ValueError):
    """The source configuration is wrong; the message names the place and what to do."""


@dataclass(frozen=True)
class SourceConfig:
    """How one source is read.

    Attributes:
        source: orders, customers, products or user_sessions.
        path: file, glob, or a path with `{date}` where each day has a file of its own (absolute).
        columns: our column name to the source's, where they differ.
        delimiter: the CSV delimiter.
        timestamp_formats: strptime formats; the first that fits reads the value.
        null_words: texts that stand for a missing value, besides the empty text.
        status_map: the source's status words to ours.
        cancelled_order_pattern: regular expression; an order whose id matches is cancelled.
        late_days: a day's file may hold rows dated up to so many days before it.
    """

    source: str
    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ","
    timestamp_formats: tuple[str, ...] = TIMESTAMP_FORMATS
    null_words: tuple[str, ...] = ()
    status_map: Mapping[str, str] = field(default_factory=dict)
    cancelled_order_pattern: str | None = None
    late_days: int = 0

    @property
    def contract(self) -> Contract:
        """The contract that the source fulfils."""
        return CONTRACTS[self.source]

    @property
    def by_day(self) -> bool:
        """Whether each day has a file of its own."""
        return DAY in self.path

    @property
    def fingerprint(self) -> str:
        """Changes whenever the mapping does, and not with the place of the files."""
        words = {key: value for key, value in asdict(self).items() if key != "path"}
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class SourcesConfig:
    """All sources of a team, and the days that they cover."""

    calendar: Calendar
    sources: Mapping[str, SourceConfig]

    @property
    def absent(self) -> tuple[str, ...]:
        """Optional sources that are not configured."""
        return tuple(name for name in CONTRACTS if name not in self.sources)


def load_sources(path: Path) -> SourcesConfig:
    """Read and validate a source configuration; relative paths are relative to the file.

    Raises:
        SourceConfigError: the file is no YAML, or has a word or a value that cannot be used.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceConfigError(f"{path} is no readable YAML: {error}") from error
    document = _mapping(document, str(path), ("calendar", *CONTRACTS))
    if "orders" not in document:
        raise SourceConfigError(
            f"{path}: there is no `orders`, the one source that is required. Add it with its path."
        )
    calendar = _calendar(document.get("calendar"), str(path))
    return SourcesConfig(
        calendar,
        {name: _source(name, document[name], path) for name in CONTRACTS if name in document},
    )


def configured_sources(settings: Settings) -> SourcesConfig:
    """The sources of the settings: the team's configuration, or the generated sample.

    Raises:
        SourceConfigError: the configuration is wrong.
    """
    if settings.sources_file is not None:
        return load_sources(settings.sources_file)
    manifest = settings.sample_dir / "manifest.json"
    if not manifest.is_file():
        return sample_sources(settings.sample_dir, DEFAULT_SAMPLE_CALENDAR)
    span = json.loads(manifest.read_text(encoding="utf-8"))
    calendar = Calendar(date.fromisoformat(span["start"]), date.fromisoformat(span["end"]))
    return sample_sources(settings.sample_dir, calendar)


def sample_sources(directory: Path, calendar: Calendar) -> SourcesConfig:
    """The configuration of the generated sample in a folder."""
    return SourcesConfig(
        calendar,
        {
            "orders": SourceConfig(
                "orders", str(directory / "orders" / f"orders_{DAY}.csv"), late_days=7
            ),
            "user_sessions": SourceConfig(
                "user_sessions", str(directory / "user_sessions" / f"user_sessions_{DAY}.csv")
            ),
            "customers": SourceConfig("customers", str(directory / "customers.csv")),
            "products": SourceConfig("products", str(directory / "products.csv")),
        },
    )


def _source(name: str, value: Any, file: Path) -> SourceConfig:
    where = f"{file}: {name}"
    words = [word for word in SourceConfig.__dataclass_fields__ if word != "source"]
    options = _mapping(value, where, words)
    if not isinstance(options.get("path"), str):
        raise SourceConfigError(
            f"{where}: there is no `path`; name a file, a glob or a {DAY} path."
        )
    contract = CONTRACTS[name]
    for ours, theirs in _mapping(
        options.get("columns", {}), f"{where}.columns", contract.columns
    ).items():
        _text(theirs, f"{where}.columns.{ours}")
    if options["path"].count(DAY) > 1:
        raise SourceConfigError(f"{where}.path: {DAY} stands in it more than once.")
    if DAY in options["path"] and contract.time_column is None:
        raise SourceConfigError(f"{where}.path: {name} has no days; leave {DAY} out of the path.")
    late_days = options.get("late_days", 0)
    if not isinstance(late_days, int) or isinstance(late_days, bool) or late_days < 0:
        raise SourceConfigError(f"{where}.late_days: {late_days!r} is no whole number from 0 up.")
    for word in ("timestamp_formats", "null_words"):
        if word in options:
            if not isinstance(options[word], list):
                raise SourceConfigError(f"{where}.{word}: write a list, such as ['...'].")
            options[word] = tuple(_text(item, f"{where}.{word}") for item in options[word])
    if "delimiter" in options and len(_text(options["delimiter"], f"{where}.delimiter")) != 1:
        raise SourceConfigError(f"{where}.delimiter: write one character.")
    if "cancelled_order_pattern" in options:
        _text(options["cancelled_order_pattern"], f"{where}.cancelled_order_pattern")
    statuses = options.get("status_map", {})
    if not isinstance(statuses, dict):
        raise SourceConfigError(f"{where}.status_map: expected a mapping of the source's words.")
    for theirs, ours in statuses.items():
        _text(theirs, f"{where}.status_map")
        _mapping({ours: None}, f"{where}.status_map.{theirs}", STATUSES)
    options["path"] = str((file.parent / options["path"]).absolute())
    return SourceConfig(name, **options)


def _text(value: Any, where: str) -> str:
    """The value, where it is text: YAML reads NULL, no and 1 as something else."""
    if not isinstance(value, str):
        raise SourceConfigError(f"{where}: {value!r} is no text; put quotes around it.")
    return value


def _calendar(value: Any, where: str) -> Calendar:
    options = _mapping(value, f"{where}: calendar", ("start", "end"))
    for word in ("start", "end"):
        day = options.get(word)
        if not (type(day) is date or (word == "end" and day is None)):
            raise SourceConfigError(
                f"{where}: calendar.{word} is {day!r}; write a date such as 2024-01-31"
                + (", the first day after the data, or leave it out." if word == "end" else ".")
            )
    try:
        return Calendar(**options)
    except ValueError as error:
        raise SourceConfigError(f"{where}: calendar: {error}") from error


def _mapping(value: Any, where: str, words: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise SourceConfigError(f"{where}: expected a mapping with {', '.join(words)}.")
    for word in value:
        if word not in words:
            near = difflib.get_close_matches(str(word), words, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(words)}."
            raise SourceConfigError(f"{where}: {word!r} is no word of this place.{hint}")
    return dict(value)
