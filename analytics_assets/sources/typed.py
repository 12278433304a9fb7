"""Typing at the door: text is matched, then cast; what does not fit is a reason, never a guess.

Belongs here: the SQL that turns a source's columns into the contract's types, and the rules that a
row must keep. Does not belong here: reading rows (`readers`) or writing tables (`load`).

DuckDB casts silently where we do not want it to (2.7 into an integer gives 3, 3.505 into two
decimals 3.51, a time with an offset loses it), so every text is matched against its form before it
is cast, and every number that comes typed is compared with what it became.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import ibis.expr.datatypes as dt

from analytics_assets.partitions import Calendar
from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas.core import UNKNOWN_MEMBER
from analytics_assets.schemas.raw import STATUSES
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.declared import ATTRIBUTES
from analytics_assets.sources.readers.base import Scan

# No day from here on will come: a row of the year 9999 would wait for its window for ever.
PLAUSIBLE_END = date(2100, 1, 1)
MAX_BYTES = 1_000_000
# What staging strips too: an identifier of nothing else is missing, and has to be so at the door.
WHITE_SPACE = "' \t\v\f\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff'"
TRUE_WORDS = ("true", "t", "yes", "y", "1")
FALSE_WORDS = ("false", "f", "no", "n", "0")
# Trimming costs more than reading, and so does finding out at once: most texts are ASCII and end in
# no blank; of the others, those whose ends are visible ASCII need none either. (`!` negates.)
PLAINLY_TRIMMED = "{0} BETWEEN '!' AND '~' AND strlen({0}) = length({0}) AND reverse({0}) >= '!'"
# Letters, digits and `-._~` alone, as most codes are: they need none, in one look.
CODE = "url_encode({0}) = {0}"
TRIMMED = """{0} GLOB '["-~]*' AND {0} GLOB '*["-~]'"""
ISO_TIME = r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?"
ISO_OFFSET = r"(Z|[+-]\d{2}(:?\d{2})?)"


def typed_relation(
    config: SourceConfig,
    scan: Scan,
    relation: str,
    mapped: Mapping[str, str],
    kept: Sequence[str],
    calendar: Calendar,
) -> str:
    """SQL relation of the source's rows, typed.

    Args:
        config: the source.
        scan: what is read.
        relation: its rows, with the source's columns and those that are kept.
        mapped: the source's name of each of our columns, and of each attribute, that it has.
        kept: columns of the relation that go through as they are; `_load_part` is one.
        calendar: days outside of it are rejected.

    Returns:
        A relation with the contract's columns, `_reasons` (list of text, NULL for an accepted
        row), `_window_date` (day that the row is accounted to; NULL for unpartitioned sources),
        `_json` (the whole row where it is rejected), `_trimmed` (name and value of identifiers
        that had white space around them; NULL where none had) and what is kept.
    """
    contract = config.contract
    schema = contract.table.schema.columns

    values, reasons, trimmed = [], [], []
    casts: dict[str, str] = {}
    # What most rows are, at a glance: nothing more is asked of them. Texts are `plain` where they
    # are taken as they came; of others, it is asked what `sound_texts` says.
    sound: list[str] = []
    plain: list[str] = []
    sound_texts: list[str] = []
    for name in contract.columns:
        type_ = schema[name].dtype.type
        if name == ATTRIBUTES:
            values.append((name, _packed(config, scan, mapped)))
            continue
        if name not in mapped:
            values.append((name, f"NULL::{contract.table.sql_types[name]}"))
            continue
        source, source_type = f"s.{identifier(mapped[name])}", scan.types[mapped[name]]
        present = _present(source, source_type, type_, config)
        value = f'v."{name}"'
        typed = _typed(name, source, source_type, type_, config)
        quick = _quick(name, source, source_type, type_, config)
        if quick:
            casts[name], holds, cast_value = quick
            typed = f"CASE WHEN {holds} THEN {cast_value} ELSE {typed} END"
        as_it_came = _as_it_came(name, source, source_type, schema[name], config, scan)
        if as_it_came:
            plain.append(as_it_came)
            typed = f"CASE WHEN c._plain THEN {source} ELSE {typed} END"
        values.append((name, typed))
        sound_here = sound_texts if as_it_came else sound
        if not schema[name].nullable:
            sound_here.append(f"{value} IS NOT NULL")
        elif not isinstance(type_, dt.String):
            empty = f" OR {source} = ''" if source_type == "VARCHAR" else ""
            sound_here.append(f"({value} IS NOT NULL OR {source} IS NULL{empty})")
        # CASE looks at the text again only where there is no value.
        if not schema[name].nullable:
            rule = f"CASE WHEN {value} IS NULL THEN ({present}) IS NULL END"
            reasons.append((rule, f"{name}: missing"))
        if not isinstance(type_, dt.String):
            rule = f"CASE WHEN {value} IS NULL THEN ({present}) IS NOT NULL END"
            reasons.append((rule, f"{name}: {_form(type_, config)}"))
        elif scan.may_hold_nul:
            reasons.append((f"contains({value}, chr(0))", f"{name}: a NUL byte"))
            sound_here.append(f"({value} IS NULL OR NOT contains({value}, chr(0)))")
        if isinstance(type_, dt.String):
            too_long = f"strlen({value}) > {MAX_BYTES}"
            reasons.append((too_long, f"{name}: longer than {MAX_BYTES:,} bytes"))
            sound_here.append(f"({value} IS NULL OR NOT {too_long})")
        for rule, reason in _rules(value, schema[name]):
            reasons.append((f"{value} IS NOT NULL AND NOT ({rule})", f"{name}: {reason}"))
            sound_here.append(f"({value} IS NULL OR {rule})")
        if name.endswith("_id"):
            reasons.append(
                (f"{value} = '{UNKNOWN_MEMBER}'", f"{name}: a reserved word of the warehouse")
            )
            sound_here.append(f"({value} IS NULL OR {value} <> '{UNKNOWN_MEMBER}')")
            if source_type == "VARCHAR":
                trimmed.append((f"{value} <> {source}", name))
    if config.cancelled_order_pattern and "status" not in mapped:
        order_id = dict(values)["order_id"]
        matches = f"regexp_matches({order_id}, {literal(config.cancelled_order_pattern)})"
        values[contract.columns.index("status")] = (
            "status",
            f"CASE WHEN {matches} THEN 'cancelled' END",
        )

    window_date = "NULL::DATE"
    if contract.time_column:
        inside, fallback, rules = _day_rules(config, scan, contract.time_column, calendar)
        reasons += [(f"NOT ({rule})", reason) for rule, reason in rules]
        sound += [rule for rule, _ in rules]
        day = f'CAST(v."{contract.time_column}" AS DATE)'
        window_date = f"CASE WHEN {inside} THEN {day} ELSE {fallback} END"

    # The reasons of a row are put together only where it has one.
    listed = ", ".join(f"CASE WHEN {rule} THEN {literal(why)} END" for rule, why in reasons)
    sound.append(f"(_plain OR ({' AND '.join(sound_texts) or 'true'}))")
    cut = ", ".join(
        f"CASE WHEN {rule} THEN {{'name': '{name}', 'value': v.\"{name}\"}} END"
        for rule, name in trimmed
    )
    any_cut = " OR ".join(rule for rule, _ in trimmed) or "false"
    whole = scan.whole and f"s.{scan.whole}"
    whole = whole or "to_json(struct_pack({}))::VARCHAR".format(
        ", ".join(f"{identifier(name)} := s.{identifier(name)}" for name in scan.types)
    )
    source_columns = "struct_pack({}) AS s".format(
        ", ".join(
            f"{identifier(name)} := {identifier(name)}"
            for name in [*scan.types, *([scan.whole] if scan.whole else [])]
        )
    )
    columns = ", ".join(f'v."{name}"' for name in contract.columns)
    packed = ", ".join(f'"{name}" := {value}' for name, value in values)
    through = ", ".join(kept)
    casts["_plain"] = " AND ".join(plain) or "false"
    tried = ", ".join(f'"{name}" := {cast}' for name, cast in casts.items())
    return f"""(
        SELECT
            {columns},
            {window_date} AS _window_date,
            CASE WHEN {" AND ".join(sound)} THEN NULL
                ELSE nullif(list_filter([{listed}], lambda why: why IS NOT NULL), []) END
                AS _reasons,
            CASE WHEN _reasons IS NOT NULL THEN {whole} END AS _json,
            CASE WHEN _plain IS NOT TRUE AND ({any_cut})
                THEN list_filter([{cut}]::STRUCT("name" VARCHAR, "value" VARCHAR)[],
                    lambda held: held IS NOT NULL) END AS _trimmed,
            {through}
        FROM (
            SELECT struct_pack({packed}) AS v, s, c._plain AS _plain, {through}
            FROM (
                SELECT struct_pack({tried}) AS c, s, {through}
                FROM (SELECT {source_columns}, {through} FROM {relation})
            )
        )
    )"""


def _packed(config: SourceConfig, scan: Scan, mapped: Mapping[str, str]) -> str:
    """The attributes of a row as a JSON object of texts; NULL where none is configured."""
    texts = []
    for name in config.attributes:
        source, source_type = f"s.{identifier(mapped[name])}", scan.types[mapped[name]]
        text = _quickly_present(source, source_type, dt.String(), config)
        texts.append(f"{identifier(name)} := ({text})::VARCHAR")
    return f"to_json(struct_pack({', '.join(texts)}))::VARCHAR" if texts else "NULL::VARCHAR"


def _day_rules(
    config: SourceConfig, scan: Scan, column: str, calendar: Calendar
) -> tuple[str, str, list[tuple[str, str]]]:
    """When a row counts for its own day, the day it counts for otherwise, and the reasons.

    A row without a usable day is accounted to the day of its file, or to the first day: it is
    counted once, and lost never.
    """
    time = f'v."{column}"'
    start, end = f"DATE '{calendar.start}'", f"DATE '{calendar.end or PLAUSIBLE_END}'"
    inside = f"{time} >= {start}::TIMESTAMP AND {time} < {end}::TIMESTAMP"
    rules = [(inside, f"{column}: outside the calendar")]
    if not config.by_day:
        return inside, start, rules
    days = ", ".join(f"DATE '{part.day}'" for part in scan.parts)
    of_file = f"([{days}]::DATE[])[_load_part::BIGINT + 1]"
    due = f"CAST({time} AS DATE) BETWEEN {of_file} - {config.late_days} AND {of_file}"
    rules.append((due, f"{column}: not a day of this file"))
    # Of a file after the calendar only the late rows are ours.
    return f"{inside} AND {due}", f"greatest({of_file}, {start})", rules


def _present(
    source: str, source_type: str, type_: dt.DataType, config: SourceConfig, trimmed: str = ""
) -> str:
    """The column as it came, trimmed, with NULL for what stands for a missing value."""
    if source_type != "VARCHAR":
        # An identifier that a frame with gaps has turned into a float is none with a `.0`.
        if isinstance(type_, dt.String) and source_type in ("FLOAT", "DOUBLE"):
            return (
                f"CASE WHEN {source} = trunc({source}) AND abs({source}) < 1e15 "
                f"THEN TRY_CAST({source} AS BIGINT)::VARCHAR "
                f"ELSE nullif({source}::VARCHAR, 'nan') END"
            )
        return source
    text = trimmed or f"nullif(trim({source}, {WHITE_SPACE}), '')"
    if not config.null_words:
        return text
    words = ", ".join(literal(word.lower()) for word in config.null_words)
    return f"CASE WHEN lower({text}) IN ({words}) THEN NULL ELSE {text} END"


def _quickly_present(
    source: str, source_type: str, type_: dt.DataType, config: SourceConfig
) -> str:
    """The same, in more words and less time: for what is asked of every row."""
    trimmed = (
        f"CASE WHEN {PLAINLY_TRIMMED.format(source)} THEN {source} "
        f"WHEN {TRIMMED.format(source)} THEN {source} "
        f"ELSE nullif(trim({source}, {WHITE_SPACE}), '') END"
    )
    return _present(source, source_type, type_, config, trimmed)


def _as_it_came(
    name: str, source: str, source_type: str, column: Any, config: SourceConfig, scan: Scan
) -> str | None:
    """When a text is its own value and keeps every rule; None where that takes a closer look.

    A row of which all texts do is looked at once, and not text by text for each rule.
    """
    if source_type != "VARCHAR" or not isinstance(column.dtype.type, dt.String):
        return None
    if name == "status":
        if config.status_map or config.null_words:
            return None
        holds = f"{source} IN ({', '.join(map(literal, STATUSES))})"
    else:
        holds = PLAINLY_TRIMMED.format(source)
        if scan.may_hold_nul:
            holds += f" AND NOT contains({source}, chr(0))"
        if not name.endswith("_name"):
            holds = f"CASE WHEN {CODE.format(source)} THEN true ELSE {holds} END"
        holds += f" AND strlen({source}) BETWEEN 1 AND {MAX_BYTES}"
        if name.endswith("_id"):
            holds += f" AND {source} <> '{UNKNOWN_MEMBER}'"
        for rule, _ in _rules(source, column):
            holds += f" AND {rule}"
        if config.null_words:
            words = ", ".join(literal(word.lower()) for word in config.null_words)
            holds += f" AND lower({source}) NOT IN ({words})"
    return f"({source} IS NULL OR {holds})" if column.nullable else holds


def _typed(
    name: str,
    source: str,
    source_type: str,
    type_: dt.DataType,
    config: SourceConfig,
) -> str:
    """The value of a column; NULL where it is missing or does not fit."""
    if isinstance(type_, dt.String):
        text = _quickly_present(source, source_type, type_, config)
        if source_type != "VARCHAR":
            text = f"({text})::VARCHAR"
        if name != "status":
            return text
        if source_type == "VARCHAR" and not config.null_words and not config.status_map:
            ours = ", ".join(literal(word) for word in STATUSES)
            return f"CASE WHEN {source} IN ({ours}) THEN {source} ELSE lower({text}) END"
        cases = "".join(
            f" WHEN {literal(theirs.lower())} THEN {literal(ours)}"
            for theirs, ours in config.status_map.items()
        )
        return f"CASE lower({text}){cases} ELSE lower({text}) END" if cases else f"lower({text})"

    def read(value: str) -> str:
        if isinstance(type_, dt.Boolean):
            return _boolean(value)
        if isinstance(type_, dt.Integer):
            return _integer(value, source_type, config)
        if isinstance(type_, dt.Decimal):
            return _decimal(value, source_type, type_, config)
        return _timestamp(value, source_type, config)

    # Most values need no trimming and are read as they came. A word for a missing value may be a
    # number too.
    if source_type != "VARCHAR" or any(re.search("[0-9]", word) for word in config.null_words):
        return read(f"({_quickly_present(source, source_type, type_, config)})")
    present = _present(source, source_type, type_, config)
    return f"coalesce({read(source)}, {read(f'({present})')})"


def _boolean(value: str) -> str:
    true, false = (", ".join(map(literal, words)) for words in (TRUE_WORDS, FALSE_WORDS))
    text = f"lower({value}::VARCHAR)"
    return f"CASE WHEN {text} IN ({true}) THEN true WHEN {text} IN ({false}) THEN false END"


def _quick(
    name: str, source: str, source_type: str, type_: dt.DataType, config: SourceConfig
) -> tuple[str, str, str] | None:
    """A way around the matching for text in the form in which DuckDB itself writes the type.

    What is written again as it came was read for what it is; comparing costs a fraction of
    matching. Of a number the decimals may be left out that are zeros.

    Returns:
        The cast, the condition under which it is the value, and the value; None where the
        configuration has forms of its own.
    """
    if source_type != "VARCHAR" or any(re.search("[0-9]", word) for word in config.null_words):
        return None
    cast = f'c."{name}"'
    if isinstance(type_, dt.Integer):
        return f"TRY_CAST({source} AS INT)", f"{cast}::VARCHAR = {source}", cast
    if isinstance(type_, dt.Decimal) and config.decimal == ".":
        stored = f"DECIMAL({type_.precision}, {type_.scale})"
        holds = f"starts_with({cast}::VARCHAR, {source})"
        return f"TRY_CAST({source} AS {stored})", holds, cast
    if isinstance(type_, dt.Timestamp) and not config.timestamp_formats:
        # Not infinity, nor the years before Christ.
        holds = f"{cast} BETWEEN TIMESTAMP '0001-01-01' AND TIMESTAMP '9999-12-31'"
        holds += f" AND {cast}::VARCHAR = {source}"
        return f"TRY_CAST({source} AS TIMESTAMP)", holds, _in_utc(cast, config.time_zone)
    return None


def _integer(value: str, source_type: str, config: SourceConfig) -> str:
    if source_type in ("FLOAT", "DOUBLE") or source_type.startswith("DECIMAL"):
        return f"CASE WHEN {value} = trunc({value}) THEN TRY_CAST({value} AS INT) END"
    if source_type != "VARCHAR":
        return f"TRY_CAST({value} AS INT)"
    form, plain = "[+-]?[0-9]+", value
    if config.thousands:
        form = f"{form}|{_grouped(config.thousands)}"
        plain = f"replace({value}, {literal(config.thousands)}, '')"
    return (
        f"CASE WHEN regexp_full_match({value}, {literal(form)}) THEN TRY_CAST({plain} AS INT) END"
    )


def _decimal(value: str, source_type: str, type_: dt.Decimal, config: SourceConfig) -> str:
    stored = f"DECIMAL({type_.precision}, {type_.scale})"
    rounds = config.rounding == "half_up"
    if source_type == "DOUBLE":
        exact = f"isfinite({value})" if rounds else f"round({value}, {type_.scale}) = {value}"
        return f"CASE WHEN {exact} THEN TRY_CAST({value} AS {stored}) END"
    if source_type.startswith("DECIMAL"):
        precision, scale = map(int, re.findall(r"\d+", source_type))
        cast = f"TRY_CAST({value} AS {stored})"
        fits = scale <= type_.scale and precision - scale <= type_.precision - type_.scale
        return cast if rounds or fits else f"CASE WHEN {cast} = {value} THEN {cast} END"
    if source_type not in ("VARCHAR", "FLOAT"):
        return f"TRY_CAST({value} AS {stored})"
    text = value if source_type == "VARCHAR" else f"{value}::VARCHAR"
    point = re.escape(config.decimal)
    decimals = "[0-9]*" if rounds else f"[0-9]{{0,{type_.scale}}}0*"
    form, plain = f"[+-]?[0-9]*({point}{decimals})?", text
    if config.thousands:
        form = f"{form}|{_grouped(config.thousands)}({point}{decimals})?"
        plain = f"replace({plain}, {literal(config.thousands)}, '')"
    if config.decimal != ".":
        plain = f"replace({plain}, {literal(config.decimal)}, '.')"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(form)}) "
        f"THEN TRY_CAST({plain} AS {stored}) END"
    )


def _grouped(mark: str) -> str:
    return f"[+-]?[0-9]{{1,3}}({re.escape(mark)}[0-9]{{3}})+"


def _timestamp(value: str, source_type: str, config: SourceConfig) -> str:
    if source_type == "TIMESTAMP WITH TIME ZONE":
        return f"CASE WHEN isfinite({value}) THEN {value} AT TIME ZONE 'UTC' END"
    if source_type.startswith("TIMESTAMP") or source_type == "DATE":
        naive = f"CASE WHEN isfinite({value}) THEN {value}::TIMESTAMP END"
        return _in_utc(naive, config.time_zone)
    text = value if source_type == "VARCHAR" else f"{value}::VARCHAR"
    if not config.timestamp_formats:
        naive = _in_utc(f"TRY_CAST({text} AS TIMESTAMP)", config.time_zone)
        return (
            f"CASE WHEN regexp_full_match({text}, {literal(ISO_TIME)}) THEN {naive} "
            f"WHEN regexp_full_match({text}, {literal(ISO_TIME + ISO_OFFSET)}) "
            f"THEN TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END"
        )
    # A call a format: given a list, DuckDB lets a time inherit the offset of the row before.
    tries = ", ".join(
        f"try_strptime({text}, {literal(form)}) AT TIME ZONE 'UTC'"
        if "%z" in form.lower()
        else _in_utc(f"try_strptime({text}, {literal(form)})", config.time_zone)
        for form in config.timestamp_formats
    )
    # DuckDB reads words such as infinity in any format.
    return f"CASE WHEN regexp_matches({text}, '[0-9]') THEN coalesce({tries}) END"


def _in_utc(naive: str, zone: str) -> str:
    """A time of a zone in UTC; NULL where the zone skips it or has it twice."""
    if zone == "UTC":
        return naive
    unclear = " OR ".join(
        f"(at_ >= TIMESTAMP '{start}' AND at_ < TIMESTAMP '{end}')"
        for start, end in unclear_times(zone)
    )
    if not unclear:
        return f"({naive} AT TIME ZONE {literal(zone)}) AT TIME ZONE 'UTC'"
    # The time has a name here: written out for each of hundreds of changes, DuckDB takes seconds
    # to read the statement.
    utc = f"(at_ AT TIME ZONE {literal(zone)}) AT TIME ZONE 'UTC'"
    case = f"CASE WHEN {unclear} THEN NULL ELSE {utc} END"
    return f"list_transform([{naive}], lambda at_: {case})[1]"


@lru_cache
def unclear_times(zone: str) -> list[tuple[datetime, datetime]]:
    """Local times, half-open, that a zone skips or has twice, from 1990 to `PLAUSIBLE_END`."""
    info = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        return at.replace(tzinfo=UTC).astimezone(info).utcoffset() or timedelta()

    found = []
    at = datetime(1990, 1, 1)  # noqa: DTZ001 (naive UTC)
    while at.date() < PLAUSIBLE_END:
        after = at + timedelta(days=1)
        before, behind = offset(at), offset(after)
        if before != behind:
            low, high = at, after
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if offset(middle) == before else (low, middle)
            change = high.replace(microsecond=0)
            found.append((change + min(before, behind), change + max(before, behind)))
        at = after
    return found


def _form(type_: dt.DataType, config: SourceConfig) -> str:
    if isinstance(type_, dt.Boolean):
        return f"none of {', '.join((*TRUE_WORDS, *FALSE_WORDS))}"
    if isinstance(type_, dt.Integer):
        return "not a whole number of 32 bits"
    if isinstance(type_, dt.Decimal):
        if config.rounding == "half_up":
            return "not a number"
        return f"not a number of at most {type_.scale} decimals"
    unclear = "" if config.time_zone == "UTC" else f", or not once in {config.time_zone}"
    return f"not a time in the declared format{unclear}"


def _rules(value: str, column: Any) -> list[tuple[str, str]]:
    """The value checks of the table's model as row rules: (SQL condition, reason)."""
    rules = []
    for check in column.checks:
        if check.name == "isin":
            allowed = sorted(check.statistics["allowed_values"])
            rules.append(
                (
                    f"{value} IN ({', '.join(literal(word) for word in allowed)})",
                    f"none of {', '.join(allowed)}",
                )
            )
        elif check.name == "greater_than_or_equal_to":
            least = check.statistics["min_value"]
            rules.append((f"{value} >= {least}", f"less than {least}"))
        else:
            raise NotImplementedError(f"no row rule for the check {check.name}")
    return rules
