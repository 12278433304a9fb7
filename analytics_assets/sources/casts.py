"""SQL that casts texts and numbers of a source to the contract's types.

Belongs here: the forms that a text must have, and the casts to each type. Does not belong here:
which column is cast to what, and the rules for a value (`typed_column`).

DuckDB casts silently where we do not want it to (2.7 to an integer gives 3, 3.505 to two decimals
3.51, a time with an offset loses it). So every text is matched against its form before it is cast,
and every number that comes typed is compared with the result.
"""

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import ibis.expr.datatypes as dt

from analytics_assets.quoting import literal
from analytics_assets.sources.config import SourceConfig

# Later days are rejected: a row of the year 9999 would wait for its window for ever.
PLAUSIBLE_END = date(2100, 1, 1)
TRUE_WORDS = ("true", "t", "yes", "y", "1")
FALSE_WORDS = ("false", "f", "no", "n", "0")
COMMON_TIME = r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?"
COMMON_OFFSET = r"(Z|[+-]\d{2}(:?\d{2})?)"
ISO_DAY = r"\d{4}(-\d{2}-|/\d{2}/)\d{2}"
ISO_TIME = ISO_DAY + r"([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
ISO_OFFSET = r" ?(Z|[+-]\d{2}(:?\d{2})?)"
# Names of zones with one meaning in exports of shops. CST and IST have several.
ZONES = {
    "UTC": "+00", "GMT": "+00", "WET": "+00", "BST": "+01", "WEST": "+01", "CET": "+01",
    "CEST": "+02", "EET": "+02", "EEST": "+03", "JST": "+09", "AEST": "+10", "AEDT": "+11",
    "EST": "-05", "EDT": "-04", "CDT": "-05", "MST": "-07", "MDT": "-06", "PST": "-08",
    "PDT": "-07",
}  # fmt: skip
# strptime directives of a time of day.
OF_DAY = re.compile(r"%-?[HIMSfpTXcrRgn]")
# Forms of values that a word of the configuration would read.
SIGN = r"\p{Sc}|^-?[A-Z]{2,3} ?[-0-9]|[0-9] ?[A-Z]{3}$"
PARENTHESES = r"^\(.*[0-9].*\)$|\([0-9].*\)$"
WHOLE = "not a whole number of 32 bits"
DAY_FIRST = r"^\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}"


def read_as(
    value: str,
    source_type: str,
    type_: dt.DataType,
    config: SourceConfig,
    *,
    common: bool = False,
) -> str:
    """SQL of a value cast to a type other than text; NULL where it does not fit.

    Args:
        value: SQL of the value.
        source_type: its type.
        type_: the type to cast to.
        config: the source.
        common: for times, only the most common forms, in a shorter statement.
    """
    if isinstance(type_, dt.Boolean):
        return _boolean(value)
    if isinstance(type_, dt.Integer):
        return _integer(value, source_type, config)
    if isinstance(type_, dt.Decimal):
        return _decimal(value, source_type, type_, config)
    return _timestamp(value, source_type, config, common)


def misfit(type_: dt.DataType, config: SourceConfig) -> str:
    """The reason to reject a value that does not fit the type."""
    if isinstance(type_, dt.Boolean):
        return f"none of {', '.join((*TRUE_WORDS, *FALSE_WORDS))}"
    if isinstance(type_, dt.Integer):
        return WHOLE
    if isinstance(type_, dt.Decimal):
        if config.rounding == "half_up":
            return "not a number"
        return f"not a number of at most {type_.scale} decimals"
    unclear = "" if config.time_zone == "UTC" else f", or not once in {config.time_zone}"
    return f"not a time in the declared format{unclear}"


def as_double(value: str, source_type: str, config: SourceConfig) -> str:
    """SQL of a value as a number to compute with; NULL where it is none."""
    if source_type != "VARCHAR":
        return f"TRY_CAST({value} AS DOUBLE)"
    return f"({_decimal(f'({value})', source_type, dt.Decimal(38, 10), config)})::DOUBLE"


def misfits(type_: dt.DataType, config: SourceConfig) -> list[tuple[str, str]]:
    """Patterns of values that a word of the configuration would read, each with the reason."""
    forms = []
    if isinstance(type_, dt.Decimal):
        forms.append((SIGN, "a currency sign that is not named in `currency_signs`"))
        if not config.parentheses_are_negative:
            forms.append((PARENTHESES, "in parentheses; see `parentheses_are_negative`"))
    elif isinstance(type_, dt.Timestamp) and not config.timestamp_formats:
        why = (
            "of the form 1/2/2024, where day or month comes first: declare `timestamp_formats`, "
            "such as ['%m/%d/%Y'] or ['%d/%m/%Y']"
        )
        forms.append((DAY_FIRST, why))
    return forms


def _boolean(value: str) -> str:
    true, false = (", ".join(map(literal, words)) for words in (TRUE_WORDS, FALSE_WORDS))
    text = f"lower({value}::VARCHAR)"
    return f"CASE WHEN {text} IN ({true}) THEN true WHEN {text} IN ({false}) THEN false END"


def _integer(value: str, source_type: str, config: SourceConfig) -> str:
    if source_type in ("FLOAT", "DOUBLE") or source_type.startswith("DECIMAL"):
        return f"CASE WHEN {value} = trunc({value}) THEN TRY_CAST({value} AS INT) END"
    if source_type != "VARCHAR":
        return f"TRY_CAST({value} AS INT)"
    text = bare(value, config)
    # 2.0 is 2, but 1.000 may be a thousand.
    zeros = rf"({re.escape(config.decimal)}(0{{1,2}}|0{{4,}}))?"
    form, plain = f"[+-]?[0-9]+{zeros}", text
    if config.thousands:
        form = f"{form}|{_grouped(config.thousands)}{zeros}"
        plain = f"replace({text}, {literal(config.thousands)}, '')"
    if config.decimal != ".":
        plain = f"replace({plain}, {literal(config.decimal)}, '.')"
    return f"CASE WHEN regexp_full_match({text}, {literal(form)}) THEN TRY_CAST({plain} AS INT) END"


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
    text = bare(value, config) if source_type == "VARCHAR" else f"{value}::VARCHAR"
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


def bare(text: str, config: SourceConfig) -> str:
    """SQL of a number without its currency sign, and with a minus for parentheses."""
    if config.currency_signs:
        blank = r"[\s\x{00A0}]*"
        signs = f"(?:{'|'.join(map(re.escape, config.currency_signs))})"
        pattern = rf"^([-+(]?){blank}{signs}{blank}|{blank}{signs}(\)?)$"
        text = f"regexp_replace({text}, {literal(pattern)}, '\\1\\2', 'g')"
    if config.parentheses_are_negative:
        text = f"regexp_replace({text}, '^\\(([0-9].*)\\)$', '-\\1')"
    return text


def _grouped(mark: str) -> str:
    return f"[+-]?[0-9]{{1,3}}({re.escape(mark)}[0-9]{{3}})+"


def _timestamp(value: str, source_type: str, config: SourceConfig, common: bool) -> str:
    if source_type == "TIMESTAMP WITH TIME ZONE":
        return f"CASE WHEN isfinite({value}) THEN {value} AT TIME ZONE 'UTC' END"
    if source_type == "DATE":
        return of_day(f"CASE WHEN isfinite({value}) THEN {value}::TIMESTAMP END", config)
    if source_type.startswith("TIMESTAMP"):
        naive = f"CASE WHEN isfinite({value}) THEN {value}::TIMESTAMP END"
        return in_utc(naive, config.time_zone)
    text = value if source_type == "VARCHAR" else f"{value}::VARCHAR"
    if common and not config.timestamp_formats:
        naive = in_utc(f"TRY_CAST({text} AS TIMESTAMP)", config.time_zone)
        return (
            f"CASE WHEN regexp_full_match({text}, {literal(COMMON_TIME)}) THEN {naive} "
            f"WHEN regexp_full_match({text}, {literal(COMMON_TIME + COMMON_OFFSET)}) "
            f"THEN TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END"
        )
    names = "|".join(ZONES)
    offsets = " ".join(f"WHEN '{name}' THEN '{offset}:00'" for name, offset in ZONES.items())
    # The text with the offset instead of the zone's name.
    named = (
        f"regexp_replace({text}, '({names})$', '') || "
        f"CASE regexp_extract({text}, '({names})$', 1) {offsets} ELSE '' END"
    )
    if not config.timestamp_formats:
        # Digits beyond microseconds are cut off.
        plain = f"regexp_replace(replace({text}, '/', '-'), '(\\.\\d{{6}})\\d+', '\\1')"
        joined = f"regexp_replace({plain}, ' (Z|[+-][0-9:]+)$', '\\1')"
        naive = in_utc(f"TRY_CAST({plain} AS TIMESTAMP)", config.time_zone)
        with_name = f"regexp_replace(replace({named}, '/', '-'), '(\\.\\d{{6}})\\d+', '\\1')"
        with_name = f"regexp_replace({with_name}, ' ([+-][0-9:]+)$', '\\1')"
        return (
            f"CASE WHEN regexp_full_match({text}, {literal(ISO_DAY)}) "
            f"THEN {of_day(f'TRY_CAST({plain} AS TIMESTAMP)', config)} "
            f"WHEN regexp_full_match({text}, {literal(ISO_TIME)}) THEN {naive} "
            f"WHEN regexp_full_match({text}, {literal(ISO_TIME + ISO_OFFSET)}) "
            f"THEN TRY_CAST({joined} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' "
            f"WHEN regexp_full_match({text}, {literal(f'{ISO_TIME} ?({names})')}) "
            f"THEN TRY_CAST({with_name} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END"
        )
    # One call for each format: with a list, DuckDB lets a time inherit the last row's offset.
    tries = []
    for form in config.timestamp_formats:
        if "%Z" in form:
            read = f"try_strptime({named}, {literal(form.replace('%Z', '%z'))})"
            tries.append(f"{read} AT TIME ZONE 'UTC'")
        elif "%z" in form:
            tries.append(f"try_strptime({text}, {literal(form)}) AT TIME ZONE 'UTC'")
        elif OF_DAY.search(form):
            tries.append(in_utc(f"try_strptime({text}, {literal(form)})", config.time_zone))
        else:
            tries.append(of_day(f"try_strptime({text}, {literal(form)})", config))
    # DuckDB reads words such as infinity in any format.
    return f"CASE WHEN regexp_matches({text}, '[0-9]') THEN coalesce({', '.join(tries)}) END"


def of_day(naive: str, config: SourceConfig) -> str:
    """SQL of the start of a day of the shop, in UTC."""
    zone = literal(config.shops_zone)
    if config.shops_zone == "UTC":
        return naive
    return f"({naive} AT TIME ZONE {zone}) AT TIME ZONE 'UTC'"


def shops_time(utc: str, config: SourceConfig) -> str:
    """SQL of a time in UTC as local time of the shop."""
    zone = literal(config.shops_zone)
    if config.shops_zone == "UTC":
        return utc
    return f"(({utc} AT TIME ZONE 'UTC') AT TIME ZONE {zone})"


def shops_day(utc: str, config: SourceConfig) -> str:
    """SQL of the shop's day of a time in UTC."""
    return f"CAST({shops_time(utc, config)} AS DATE)"


def in_utc(naive: str, zone: str) -> str:
    """SQL of a local time of a zone in UTC; NULL where the zone skips it or has it twice."""
    if zone == "UTC":
        return naive
    unclear = " OR ".join(
        f"(at_ >= TIMESTAMP '{start}' AND at_ < TIMESTAMP '{end}')"
        for start, end in unclear_times(zone)
    )
    if not unclear:
        return f"({naive} AT TIME ZONE {literal(zone)}) AT TIME ZONE 'UTC'"
    # The time gets a name: written out for hundreds of clock changes, the statement would take
    # DuckDB seconds to parse.
    utc = f"(at_ AT TIME ZONE {literal(zone)}) AT TIME ZONE 'UTC'"
    case = f"CASE WHEN {unclear} THEN NULL ELSE {utc} END"
    return f"list_transform([{naive}], lambda at_: {case})[1]"


@lru_cache
def unclear_times(zone: str) -> list[tuple[datetime, datetime]]:
    """Local times, half-open, that a zone skips or has twice, from 1990 to `PLAUSIBLE_END`."""
    info = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        return at.replace(tzinfo=UTC).astimezone(info).utcoffset() or timedelta()

    unclear = []
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
            unclear.append((change + min(before, behind), change + max(before, behind)))
        at = after
    return unclear
