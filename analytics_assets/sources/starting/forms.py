"""What values look like: forms of times, marks of numbers, zones; each is tried on the values.

Belongs here: which words read the values of a column. Does not belong here: which column is what
(`draft`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from zoneinfo import ZoneInfo

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.quoting import literal
from analytics_assets.sources.casts import PLAUSIBLE_END, ZONES, read_as
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readings import MARKS, swapped
from analytics_assets.sources.systems.base import Word

DAYS = (
    *("%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y"),
    *("%m-%d-%Y", "%d-%m-%Y", "%m-%d-%y", "%d-%m-%y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%b-%d-%y", "%b-%d-%Y", "%d-%b-%y", "%d-%b-%Y", "%b %d, %Y", "%d %b %Y", "%B %d, %Y"),
    *("%d %B %Y", "%b %d %Y"),
)
TIMES = ("", *(f"{gap}{time}" for gap, time in product(
    (" ", ", ", "T"), ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%H:%M:%S.%f")
)))  # fmt: skip
# What a time may end in.
ZONED = {" %Z": r" (" + "|".join(ZONES) + ")$", " %z": r" [+-]\d{2}:?\d{2}$", "%z": r"[+-]\d{4}$"}
MOST_SIGN = 4
# Zones that are tried where times have offsets or short names of zones, the larger first.
SHOPS_ZONES = (
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"),
    *("Europe/London", "Europe/Berlin", "Europe/Helsinki", "Australia/Sydney", "Asia/Tokyo"),
    *("Asia/Kolkata", "Asia/Shanghai", "America/Sao_Paulo", "Pacific/Auckland"),
)
# Names of zones as tills show them.
SHOWN_ZONES = {
    "eastern time (us & canada)": "America/New_York",
    "central time (us & canada)": "America/Chicago",
    "mountain time (us & canada)": "America/Denver",
    "arizona": "America/Phoenix",
    "pacific time (us & canada)": "America/Los_Angeles",
    "alaska": "America/Anchorage",
    "hawaii": "Pacific/Honolulu",
    "atlantic time (canada)": "America/Halifax",
    "london": "Europe/London",
    "dublin": "Europe/Dublin",
    "paris": "Europe/Paris",
    "madrid": "Europe/Madrid",
    "sydney": "Australia/Sydney",
    "melbourne": "Australia/Melbourne",
    "tokyo": "Asia/Tokyo",
}
TRIED = 40  # values on which all forms are tried, before those that fit are on all


@dataclass(frozen=True)
class TimeForm:
    """How times are read.

    Attributes:
        formats: for `timestamp_formats`; empty where the default reads them.
        other: a form with day and month the other way around that reads all of them too.
        unread: values that are not read.
        example: one of the values.
    """

    formats: tuple[str, ...]
    other: str | None
    unread: int
    example: str


def time_form(
    connection: duckdb.DuckDBPyConnection, texts: str, preferred: Sequence[str] = ()
) -> TimeForm:
    """The form that reads all times, else the fewest that read most.

    Args:
        connection: where the texts are.
        texts: a query of the distinct texts, of one column `text`.
        preferred: forms that the system writes, the usual one first.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE times AS {texts}")
    ((example,),) = connection.execute("SELECT min(text) FROM times").fetchall()
    unread = _unread_times(connection, [None], "times")[None]
    if not unread:
        return TimeForm((), None, 0, str(example))
    exact: list[str] = []
    left: dict[str | None, int] = {}
    for forms in (list(preferred), _likely_forms(connection)):
        turned = map(swapped, forms)
        left |= _unread_times(connection, list(dict.fromkeys([*forms, *turned])), "times")
        exact = [form for form in left if form is not None and not left[form]]
        if exact:
            break
    if exact:
        other = swapped(exact[0])
        undecided = other != exact[0] and other in exact
        return TimeForm((exact[0],), other if undecided else None, 0, str(example))
    best = min((form for form in left if form), key=lambda form: left[form], default=None)
    if best is None or left[best] >= unread:
        return TimeForm((), None, unread, str(example))
    return TimeForm((best,), None, left[best], str(example))


def _likely_forms(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The forms that read most of some values, as Python reads them."""
    some = f"SELECT text FROM times ORDER BY hash(text) LIMIT {TRIED}"
    values = [str(text) for (text,) in connection.execute(some).fetchall()]
    zone = next((form for form, end in ZONED.items() if re.search(end, values[0])), "")
    plain = [re.sub(ZONED[zone], "", value) if zone else value for value in values]
    forms = (f"{day}{time}" for time, day in product(TIMES, DAYS))
    return [
        f"{form}{zone}" for form in forms if sum(_reads(form, v) for v in plain) * 2 > len(plain)
    ]


def _reads(form: str, value: str) -> bool:
    try:
        datetime.strptime(value, form)  # noqa: DTZ007 (only whether it fits)
    except ValueError:
        return False
    return True


def _unread_times(
    connection: duckdb.DuckDBPyConnection, forms: Sequence[str | None], relation: str
) -> dict[str | None, int]:
    """How many texts each form does not read; None is the default."""
    if not forms:
        return {}
    counts = []
    for form in forms:
        config = SourceConfig("orders", timestamp_formats=(form,) if form else ())
        value = read_as("text", "VARCHAR", dt.Timestamp(), config)
        # %Y reads the year 24 too.
        plausible = f"({value}) BETWEEN TIMESTAMP '1980-01-01' AND TIMESTAMP '{PLAUSIBLE_END}'"
        counts.append(f"count(*) FILTER (NOT coalesce({plausible}, false))")
    found = connection.execute(f"SELECT {', '.join(counts)} FROM {relation}").fetchall()[0]
    return dict(zip(forms, found, strict=True))


def zone_of_offsets(connection: duckdb.DuckDBPyConnection) -> str | None:
    """The zone that the offsets of the `times` agree with; UTC where all of them are 0.

    None where they have none, or none of the zones that are tried has them.
    """
    utc = read_as("text", "VARCHAR", dt.Timestamp(), SourceConfig("orders"))
    offset = r"regexp_extract(text, '[0-9] ?([+-]\d{2}:?\d{2}|Z)$', 1)"
    found = connection.execute(
        f"SELECT DISTINCT {offset}, {utc} FROM times WHERE ({utc}) IS NOT NULL LIMIT 20000"
    ).fetchall()
    if not found or any(not text for text, _ in found):
        return None
    minutes = [(_minutes(text), at) for text, at in found]
    if not any(value for value, _ in minutes):
        return "UTC"
    return next(
        (
            zone
            for zone in SHOPS_ZONES
            if all(_offset(zone, at) == value for value, at in minutes)
        ),
        None,
    )  # fmt: skip


def _minutes(offset: str) -> int:
    if offset == "Z":
        return 0
    hours, rest = int(offset[1:3]), int(offset[-2:])
    return (hours * 60 + rest) * (-1 if offset[0] == "-" else 1)


def _offset(zone: str, utc: datetime) -> int:
    delta = utc.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
    return int(delta.total_seconds() // 60) if delta is not None else 0


def zone_of_names(names: Sequence[str]) -> tuple[str | None, bool]:
    """The zone that a column of zones names, and whether its short names stand in each time."""
    if names and all(name in ZONES for name in names):
        january, july = datetime(2024, 1, 15, tzinfo=UTC), datetime(2024, 7, 15, tzinfo=UTC)
        for zone in SHOPS_ZONES:
            short = {at.astimezone(ZoneInfo(zone)).tzname() for at in (january, july)}
            if {*names} <= short:
                return zone, True
        return None, True
    if len(names) == 1:
        shown = SHOWN_ZONES.get(names[0].lower(), names[0])
        try:
            ZoneInfo(shown)
        except (ValueError, OSError, LookupError):
            return None, False
        return shown, False
    return None, False


def number_words(connection: duckdb.DuckDBPyConnection, texts: str) -> tuple[list[Word], int]:
    """Words that read numbers, and how many distinct texts stay unread.

    Args:
        connection: where the texts are.
        texts: a query of the distinct texts, of one column `text`.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE numbers AS {texts}")
    config = SourceConfig("orders")
    if not _unread_numbers(connection, config):
        return [], 0
    values = [text for (text,) in connection.execute("SELECT text FROM numbers").fetchall()]
    signs = sorted({sign for value in values for sign in _signs(value)}, key=lambda s: (-len(s), s))
    negative = any(re.match(r"\(.*[0-9].*\)$", value) for value in values)
    config = replace(config, currency_signs=tuple(signs), parentheses_are_negative=negative)
    counts = {}
    for decimal, thousands in MARKS:
        tried = replace(config, decimal=decimal, thousands=thousands)
        counts[decimal, thousands] = _unread_numbers(connection, tried)
        if not counts[decimal, thousands]:
            break
    decimal, thousands = min(counts, key=lambda marks: counts[marks])
    unread = counts[decimal, thousands]
    words = []
    if decimal != ".":
        words.append(Word("decimal", decimal, _with(values, decimal)))
    if thousands:
        words.append(Word("thousands", thousands, _with(values, thousands)))
    if signs:
        words.append(Word("currency_signs", signs, _with(values, signs[0])))
    if negative:
        words.append(Word("parentheses_are_negative", True, _with(values, "(")))
    rounded = replace(config, decimal=decimal, thousands=thousands, rounding="half_up")
    if unread and (still := _unread_numbers(connection, rounded)) < unread:
        words.append(Word("rounding", "half_up", "there are numbers of more than four decimals"))
        unread = still
    return words, unread


def _with(values: Sequence[str], mark: str) -> str:
    """An example, the shortest value that has a mark."""
    return f"such as {min((v for v in values if mark in v), key=lambda v: (len(v), v))}"


def _signs(value: str) -> Iterator[str]:
    """What stands before and behind the digits of an amount, if it may be a currency sign."""
    match = re.fullmatch(r"[-+(]*\s*([^\d(]*?)[\s\u00a0]*[-+]?\(?(\d[\d.,'\s]*)([^\d)]*)\)?", value)
    for sign in (match[1], match[3]) if match else ():
        text = sign.strip(" \u00a0-+.,")
        if text and len(text) <= MOST_SIGN:
            yield text


def _unread_numbers(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> int:
    value = read_as("text", "VARCHAR", dt.Decimal(18, 4), config)
    ((count,),) = connection.execute(
        f"SELECT count(*) FROM numbers WHERE ({value}) IS NULL"
    ).fetchall()
    return int(count)


def present(text: str, relation: str) -> str:
    """A query of the distinct texts of a value that are no blanks, as `text`."""
    return (
        f"SELECT DISTINCT trim(({text})::VARCHAR) AS text FROM {relation} "
        f"WHERE trim(({text})::VARCHAR) <> {literal('')}"
    )
