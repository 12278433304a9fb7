"""What would read the values that are rejected: words of the configuration, tried on the values.

Belongs here: candidates, and which of them read the values of a look. Does not belong here: whether
all rows are read with them (`check` looks again), what else the rows give away (`findings`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.casts import read_as
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.typed_column import FRACTION

# Values of a column that candidates are tried on.
MOST_VALUES = 2_000
MOST_FORMS = 3
DAYS = (
    *("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d"),
    *("%Y%m%d", "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%b %d %Y", "%d %B %Y", "%B %d, %Y"),
    *("%a, %d %b %Y", "%A, %B %d, %Y", "%a %b %d %Y"),
)  # fmt: skip
GAPS = (" ", ", ", "T", " at ")
TIMES = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S.%f", "%H.%M")
ZONES = ("", " %z", " %Z")
# What the default reads, for values that are already read when formats are declared.
ISO = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
# Marks of numbers: decimal and thousands.
MARKS = (
    *((".", None), (".", ","), (",", None), (",", "."), (",", " "), (".", " "), (".", "'")),
    *((",", "\u00a0"), (",", "\u202f")),
)
ENCODINGS = ("utf-8", "utf-16", "cp1252", "latin-1")
DELIMITERS = (",", ";", "\t", "|")
# Ends of reasons of a value that was read, and is refused.
READABLE = ("missing", "outside the calendar", "not a day of this file", FRACTION)
NEVER = 200  # rows of a file's day before it: more are no late rows
# Words that shops use, for what they mean with us; only these are proposed.
STATUS_WORDS = {
    "completed": "complete completed paid fulfilled shipped delivered closed captured succeeded "
    "success done partially_refunded",
    "pending": "pending processing open unpaid authorized awaiting on-hold new created unfulfilled",
    "cancelled": "cancelled canceled cancel voided void failed declined expired rejected",
    "returned": "returned refunded return refund",
}
Words = dict[str, Any]


@dataclass(frozen=True)
class Rejected:
    """What a look rejected.

    Attributes:
        rows: rejected rows.
        reasons: rejected rows by reason.
        values: of each column, distinct texts that were rejected.
        unread: those of them that could not be read at all; no personal ones.
        late: days between the day of a row and of its file, where that is a reason: least, most.
    """

    rows: int
    reasons: Mapping[str, int]
    values: Mapping[str, Sequence[str]]
    unread: Mapping[str, Sequence[str]]
    late: tuple[int, int] | None = None


def rejected(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    mapped: Mapping[str, str],
    days: Sequence[Any],
) -> Rejected:
    """What was rejected of the rows in `load`.

    Args:
        connection: has the table `load`.
        config: the source.
        mapped: the source's column of each of ours.
        days: the days of the parts.
    """
    personal = config.contract.table.personal_columns
    [(rows,)] = connection.execute("SELECT count(_reasons) FROM load").fetchall()
    reasons = dict(
        connection.execute(
            "SELECT reason, count(*) FROM (SELECT unnest(_reasons) AS reason FROM load) "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )
    values: dict[str, list[str]] = {}
    unread: dict[str, list[str]] = {}
    for name in dict.fromkeys(reason.partition(": ")[0] for reason in reasons):
        if name not in mapped:
            continue
        text = _raw(config, name, mapped[name])
        of_name = f"lambda why: starts_with(why, '{name}: ')"
        readable = " OR ".join(f"ends_with(why, {literal(why)})" for why in READABLE)
        for value, all_read in connection.execute(
            "SELECT value, all_read FROM (SELECT value, bool_and(len(list_filter(reasons, "
            f"lambda why: NOT ({readable}))) = 0) AS all_read FROM (SELECT {text} AS value, "
            f"list_filter(_reasons, {of_name}) AS reasons FROM load WHERE _reasons IS NOT NULL) "
            "WHERE value <> '' AND len(reasons) > 0 GROUP BY 1) "
            f"ORDER BY hash(value) LIMIT {MOST_VALUES}"
        ).fetchall():
            values.setdefault(name, []).append(value)
            if not all_read and "@" not in value and name not in personal:
                unread.setdefault(name, []).append(value)
    late = None
    if any(reason.endswith("not a day of this file") for reason in reasons):
        time = identifier(str(config.contract.time_column))
        listed = ", ".join(f"DATE '{day}'" for day in days)
        [(least, most)] = connection.execute(
            f"SELECT min(late), max(late) FROM (SELECT ([{listed}])[_load_part::BIGINT + 1] "
            f"- {time}::DATE AS late FROM load WHERE _reasons IS NOT NULL "
            "AND list_contains(_reasons, "
            f"'{config.contract.time_column}: not a day of this file'))"
        ).fetchall()
        late = None if least is None else (least, most)
    return Rejected(rows, reasons, values, unread, late)


def _raw(config: SourceConfig, name: str, column: str) -> str:
    """SQL of a column of a rejected row, as it came."""
    computed = config.computed.get(name)
    if computed:
        # A date and a time in two columns are one text; of an expression its columns are shown.
        return f"concat_ws(' ', {', '.join(map(_member, computed.columns)) or 'NULL'})"
    return f"trim({_member(column)})"


def _member(column: str) -> str:
    pointer = literal("/" + column.replace("~", "~0").replace("/", "~1"))
    text = f"json_extract_string(_json, {pointer})"
    if column.startswith("$") or "." in column:
        path = column if column.startswith("$") else f"$.{column}"
        if re.fullmatch(r"\$(\.\w+|\[\*\])+", path):
            text = f"coalesce({text}, json_extract_string(_json, '{path.replace('[*]', '')}'))"
    return text


def instead(config: SourceConfig, error: Exception, words: Sequence[str]) -> list[Words]:
    """Words to try where a source cannot be read at all.

    Args:
        config: the source.
        error: what reading it says.
        words: words that its format understands.
    """
    said = str(error)
    if "encoding" in words and ("UTF-8" in said or "encoding" in said):
        named = re.findall(r"`encoding: ([\w-]+)`", said)
        return [{"encoding": name} for name in (*named, *ENCODINGS) if name != config.encoding]
    cut = "`delimiter" in said or (config.delimiter and "no column" in said)
    if "delimiter" in words and cut:
        return [{"delimiter": mark} for mark in DELIMITERS if mark != config.delimiter]
    return []


def options(config: SourceConfig, found: Rejected) -> list[Words]:
    """Words that would read the rejected values; several where the values alone do not decide."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        times = _times(connection, config, found)
        numbers = _numbers(connection, config, found)
    sure = {**_late(config, found), **_statuses(config, found)}
    # A fraction shows only where the marks are right.
    if any(reason.endswith(FRACTION) for reason in found.reasons):
        sure["decimal_quantity"] = True
    nothing = _nothing(config, found)
    if nothing:
        sure["null_words"] = nothing
    some = [{**sure, **one, **other} for one, other in product(times or [{}], numbers or [{}])]
    return [words for words in some if words]


def _of_type(config: SourceConfig, found: Rejected, kind: type) -> dict[str, Sequence[str]]:
    """Unread values of the columns of a type."""
    return {
        name: values
        for name, values in found.unread.items()
        if isinstance(config.contract.declared(name).dtype.type, kind) and values
    }


def _read(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    type_: dt.DataType,
    values: Sequence[str],
) -> set[str]:
    """The values that a configuration reads."""
    connection.execute("CREATE OR REPLACE TEMP TABLE tried AS SELECT unnest(?) AS text_", [values])
    read = read_as("text_", "VARCHAR", type_, config)
    found = connection.execute(f"SELECT text_ FROM tried WHERE {read} IS NOT NULL").fetchall()
    return {value for (value,) in found}


def _forms(values: Sequence[str]) -> list[str]:
    """Forms that may read one of a few values, by the marks that they have."""
    text = " ".join(values)
    gaps = [gap for gap in GAPS if gap in text]
    times = [time for time in TIMES if ("%p" in time) == bool(re.search("[AaPp][Mm]", text))]
    zones = ZONES if re.search(r"[+-]\d\d|[A-Z]{3}", text) else ("",)
    parts = product(DAYS, gaps, times if re.search(r"\d[:.]\d", text) else (), zones)
    return [*DAYS, *(f"{day}{gap}{time}{zone}" for day, gap, time, zone in parts)]


def _times(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, found: Rejected
) -> list[Words]:
    """Formats that read the rejected times; two where day and month could change places."""
    values = [v for some in _of_type(config, found, dt.Timestamp).values() for v in some]
    left = {value for value in values if re.search(r"\d", value)}
    chosen: list[str] = []
    type_ = dt.Timestamp()
    while left and len(chosen) < MOST_FORMS:
        # Most forms do not read the first few values; only the others are tried on all.
        few = sorted(left, key=lambda value: (len(value), value))
        few = [few[0], few[len(few) // 2], few[-1]]
        reading = {}
        for form in _forms(few):
            tried = replace(config, timestamp_formats=(form,))
            if _strptime(connection, form, few):
                reading[form] = _read(connection, tried, type_, sorted(left)) & left
        best = max(reading, key=lambda form: len(reading[form]), default="")
        if not best or not reading[best]:
            break
        chosen.append(best)
        left -= reading[best]
    if not chosen:
        return []
    kept = config.timestamp_formats or ISO
    whole = [form for form in kept if form not in chosen]
    # One that reads everything alone needs no other: what is read already will show.
    first = [{"timestamp_formats": (*chosen, *whole)}, {"timestamp_formats": (*chosen,)}]
    others = [swapped(form) for form in chosen]
    if others != chosen:
        read = {form: _read(connection, replace(config, timestamp_formats=(form,)), type_, values)
                for form in (*chosen, *others)}  # fmt: skip
        if all(read[form] == read[other] for form, other in zip(chosen, others, strict=True)):
            first += [{"timestamp_formats": (*others, *whole)},
                      {"timestamp_formats": (*others,)}]  # fmt: skip
    return first


def _strptime(connection: duckdb.DuckDBPyConnection, form: str, values: Sequence[str]) -> bool:
    """Whether a form reads one of a few values."""
    if "%Z" in form:
        return any(re.search(r"[A-Z]{3,4}$", value) for value in values)
    [(found,)] = connection.execute(
        f"SELECT bool_or(try_strptime(text_, {literal(form)}) IS NOT NULL) "
        "FROM (SELECT unnest(?) AS text_)",
        [list(values)],
    ).fetchall()
    return bool(found)


def swapped(form: str) -> str:
    """The form with day and month in each other's place, where both are numbers and come first."""
    if "%m" not in form or not form.startswith(("%m", "%d")):
        return form
    return re.sub("%[md]", lambda match: "%d" if match[0] == "%m" else "%m", form)


def _numbers(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, found: Rejected
) -> list[Words]:
    """Marks, signs and so on that read the rejected numbers; several where more than one does."""
    of_type = _of_type(config, found, dt.Decimal)
    values = sorted({value for some in of_type.values() for value in some})
    values = [value for value in values if re.search(r"\d", value)]
    if not values:
        return []
    sure: Words = {}
    if not config.parentheses_are_negative and any(re.search(r"\(.*\)", v) for v in values):
        sure["parentheses_are_negative"] = True
    signs = signs_of(values)
    if len(signs) == 1 and signs[0] not in config.currency_signs:
        sure["currency_signs"] = (*config.currency_signs, *signs)
    type_ = dt.Decimal(18, 4)
    given = (config.decimal, config.thousands)
    read: dict[tuple[Any, ...], int] = {}
    for (decimal, thousands), rounding in product(
        (given, *(marks for marks in MARKS if marks != given)), ("reject", "half_up")
    ):
        words = {"decimal": decimal, "thousands": thousands, "rounding": rounding}
        tried = replace(config, **{**sure, **words})
        read[decimal, thousands, rounding] = len(_read(connection, tried, type_, values))
    most = max(read.values())
    if read[(*given, config.rounding)] == most:
        return [sure] if sure else []
    plain = {key: count for key, count in read.items() if key[2] == config.rounding}
    # Rounding is proposed only where it reads more.
    best = plain if max(plain.values()) == most else read
    some = []
    for (decimal, thousands, rounding), count in best.items():
        if count < most:
            continue
        words = {"decimal": decimal, "thousands": thousands, "rounding": rounding}
        changed = {k: v for k, v in words.items() if v != getattr(config, k) and v is not None}
        if {**sure, **changed} and {**sure, **changed} not in some:
            some.append({**sure, **changed})
    # Of those that differ only in a mark that no value has, the shortest.
    some.sort(key=len)
    return [
        words
        for place, words in enumerate(some)
        if not any(other.items() <= words.items() for other in some[:place])
    ][:3]


def signs_of(values: Sequence[str]) -> list[str]:
    """Signs and codes of currencies next to numbers, most frequent first."""
    counts: dict[str, int] = {}
    for value in values:
        sign = re.sub(r"[\d.,'()+\-\u00a0\u202f]|\s", "", value)
        if sign and len(sign) <= 4 and not re.search(r"[%/:]", sign):
            counts[sign] = counts.get(sign, 0) + 1
    return sorted(counts, key=lambda sign: (-counts[sign], sign))


def _late(config: SourceConfig, found: Rejected) -> Words:
    if found.late is None or found.late[0] < 0 or found.late[1] > NEVER:
        return {}
    return {"late_days": found.late[1]}


def _statuses(config: SourceConfig, found: Rejected) -> Words:
    """Words of a status whose meaning is common."""
    values = {value.lower() for value in found.values.get("status", ())}
    common = {word: ours for ours, words in STATUS_WORDS.items() for word in words.split()}
    known = {word: common[word] for word in sorted(values) if word in common}
    return {"status_map": {**config.status_map, **known}} if known else {}


def _nothing(config: SourceConfig, found: Rejected) -> Any:
    """Words without a digit where a number or a time may be missing."""
    words = {}
    for name, values in found.unread.items():
        declared = config.contract.declared(name)
        plain = [value for value in values if not re.search(r"\d", value) and len(value) <= 20]
        if isinstance(declared.dtype.type, dt.String) or not declared.nullable or not plain:
            continue
        if len(plain) <= 5:
            words[name] = tuple(sorted(plain))
    if not words:
        return None
    if isinstance(config.null_words, Mapping):
        return {**config.null_words, **words}
    return words if not config.null_words else None
