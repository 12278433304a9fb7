"""Typing a source's rows: text is matched, then cast; a value that does not fit rejects its row.

Belongs here: the relation of a source's rows in the contract's types, and the rules of a row's day.
Does not belong here: one column (`typed_column`), reading rows (`readers`) or writing tables
(`load`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import ibis.expr.datatypes as dt

from analytics_assets.partitions import Calendar
from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.casts import PLAUSIBLE_END, shops_time
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.currencies import WIDE, converted
from analytics_assets.sources.declared import ATTRIBUTES
from analytics_assets.sources.readers.base import Scan
from analytics_assets.sources.refunds import has_refunds, refund_row
from analytics_assets.sources.typed_column import TypedColumn, quick_present_text
from analytics_assets.sources.whole_orders import SUPERSEDED


def typed_relation(
    config: SourceConfig,
    scan: Scan,
    own: Sequence[str],
    mapped: Mapping[str, str],
    following: Mapping[str, str],
    kept: Sequence[str],
    calendar: Calendar,
) -> str:
    """SQL relation of the source's rows, typed.

    Args:
        config: the source.
        scan: the scan.
        own: the source's own columns; the others of the scan are computed.
        mapped: the scan's name of each of our columns, and of each attribute, that it has.
        following: columns that follow from another, which then no row may lack.
        kept: columns of the relation that are passed on unchanged; `_load_part` is one.
        calendar: rows of other days are rejected.

    Returns:
        A relation with the contract's columns, `_reasons` (list of text, NULL for an accepted
        row), `_refund` (`refunds`; NULL for a row without one), `_window_date` (the row's day; NULL
        for sources without days), `_json` (the whole row if it is rejected), `_noted` (name, note
        and value of changed identifiers; NULL where none was changed) and the kept columns.
    """
    contract = config.contract
    columns = [
        TypedColumn(
            name,
            f"s.{identifier(mapped[name])}",
            scan.types[mapped[name]],
            contract.declared(name),
            config,
            scan.may_hold_nul,
            contract.declared(name).nullable and name not in following.values(),
        )
        for name in contract.mappable
        if name in mapped
    ]
    window_date = "NULL::DATE"
    day_rules: list[tuple[str, str]] = []
    refund = "NULL"
    if contract.time_column:
        window_date, day_rules = _day_rules(config, scan, contract.time_column, calendar)
        if has_refunds(config, mapped):
            of_file = _of_file(scan) if config.by_day else None
            refund = refund_row(config, mapped, following, _inside(calendar), of_file)

    if "_superseded" in kept:
        day_rules.append(("NOT _superseded", SUPERSEDED))
    if "unit_cost" in mapped and "unit_cost" in contract.door:
        fits = "v.unit_cost IS NULL OR v.quantity IS NULL OR v.cost IS NOT NULL"
        day_rules.append((f"({fits})", "unit_cost: too large a cost of the line"))

    # The list of reasons is built only for rows that have one.
    reasons = [reason for column in columns for reason in column.reasons]
    reasons += [(f"NOT ({rule})", reason) for rule, reason in day_rules]
    listed = ", ".join(f"CASE WHEN {rule} THEN {literal(why)} END" for rule, why in reasons)
    # Most rows pass these conditions at once, and no other is evaluated for them. A row is `_plain`
    # if all its texts are stored unchanged; only other rows need the conditions on texts.
    plain = [column.as_it_came for column in columns if column.as_it_came]
    sound = [rule for column in columns if not column.as_it_came for rule in column.sound]
    sound += [rule for rule, _ in day_rules]
    sound_texts = [rule for column in columns if column.as_it_came for rule in column.sound]
    # CASE, because OR evaluates both sides for every row.
    sound.append(f"CASE WHEN _plain THEN true ELSE {' AND '.join(sound_texts) or 'true'} END")
    notes = [(column.name, *note) for column in columns for note in column.notes]
    noted = ", ".join(
        f"CASE WHEN {rule} THEN {{'name': '{name}', 'note': '{note}', 'value': {value}}} END"
        for name, note, rule, value in notes
    )
    casts = {column.name: column.quick.cast for column in columns if column.quick}
    casts["_plain"] = " AND ".join(plain) or "false"
    values = _values(config, scan, mapped, columns)
    through = ", ".join(kept)
    source_names = [*scan.types, *([scan.whole] if scan.whole else [])]
    typed = f"""
            SELECT struct_pack({_pairs(values)}) AS v, s, c._plain AS _plain, {through}
            FROM (
                SELECT struct_pack({_pairs(casts)}) AS c, s, {through}
                FROM (SELECT {_struct("", source_names)} AS s, {through} FROM {scan.relation})
            )"""
    for step in _steps(config, mapped, following, values):
        typed = f"SELECT struct_pack({_pairs(step)}) AS v, s, _plain, {through} FROM ({typed})"
    whole = f"s.{scan.whole}" if scan.whole else f"to_json({_struct('s.', own)})::VARCHAR"
    given = [f"v.{identifier(name)}" for name in contract.columns]
    return f"""(
        SELECT
            {", ".join(given)},
            {window_date} AS _window_date,
            CASE WHEN {" AND ".join(sound)} THEN NULL
                ELSE nullif(list_filter([{listed}], lambda why: why IS NOT NULL), []) END
                AS _reasons,
            {refund} AS _refund,
            CASE WHEN _reasons IS NOT NULL THEN {whole} END AS _json,
            CASE WHEN _plain IS NOT TRUE THEN nullif(list_filter(
                [{noted}]::STRUCT("name" VARCHAR, note VARCHAR, "value" VARCHAR)[],
                lambda one: one IS NOT NULL), []) END AS _noted,
            {through}
        FROM ({typed})
    )"""


def _values(
    config: SourceConfig, scan: Scan, mapped: Mapping[str, str], columns: Sequence[TypedColumn]
) -> dict[str, str]:
    """SQL of the value of each column of the contract."""
    contract = config.contract
    values = {name: f"NULL::{contract.table.sql_types[name]}" for name in contract.columns}
    types = contract.table.sql_types
    values |= {
        column.name: f"({column.typed})::{types[contract.door.get(column.name, column.name)]}"
        if column.type != column.declared.dtype.type
        else column.typed
        for column in columns
    }
    if config.customer_key == "email":
        values["customer_id"] = _pseudonym(values["customer_id"], config.strip_plus_tags)
    if "currency" in values:
        values["currency"] = f"upper({values['currency']})"
    if ATTRIBUTES in values:
        values[ATTRIBUTES] = _packed(config, scan, mapped)
    if config.cancelled_order_pattern and "status" not in mapped:
        pattern = literal(config.cancelled_order_pattern)
        matches = f"regexp_matches({values['order_id']}, {pattern})"
        values["status"] = f"CASE WHEN {matches} THEN 'cancelled' END"
    return values


def _steps(
    config: SourceConfig,
    mapped: Collection[str],
    following: Collection[str],
    names: Collection[str],
) -> list[dict[str, str]]:
    """Values that follow from others of a typed row `v`: SQL of all columns after each step."""
    types = config.contract.table.sql_types
    same = {name: f"v.{identifier(name)}" for name in names}
    steps = []
    if config.converts(mapped):
        steps.append(converted(config, names))
    if "unit_cost" in config.contract.door and "unit_cost" in mapped:
        cost = f"TRY_CAST(v.quantity::{WIDE} * v.unit_cost AS {types['cost']})"
        steps.append(same | {"cost": f"coalesce(v.cost, {cost})"})
    if "unit_price" in following:
        # Only informative (the amount is what is added up), and the amount itself for quantity 0.
        price = f"TRY_CAST(v.amount / v.quantity AS {types['unit_price']})"
        steps.append(same | {"unit_price": f"coalesce({price}, v.amount)"})
    return steps


def _pseudonym(address: str, strip_plus_tags: bool) -> str:
    """SQL of a short code for an address, the same in any case; the address cannot be derived."""
    folded = f"lower({address})"
    if strip_plus_tags:
        folded = f"regexp_replace({folded}, '[+][^@]*@', '@')"
    return f"'c' || left(sha256({folded}), 16)"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{identifier(name)} := {value}" for name, value in values.items())


def _struct(prefix: str, names: Iterable[str]) -> str:
    quoted = [identifier(name) for name in names]
    return f"struct_pack({', '.join(f'{name} := {prefix}{name}' for name in quoted)})"


def _packed(config: SourceConfig, scan: Scan, mapped: Mapping[str, str]) -> str:
    """The attributes of a row as a JSON object of texts; NULL where none is configured."""
    texts = []
    for name in config.attributes:
        source, source_type = f"s.{identifier(mapped[name])}", scan.types[mapped[name]]
        text = quick_present_text(source, source_type, dt.String(), config.null_words_of(name))
        texts.append(f"{identifier(name)} := ({text})::VARCHAR")
    return f"to_json(struct_pack({', '.join(texts)}))::VARCHAR" if texts else "NULL::VARCHAR"


def _day_rules(
    config: SourceConfig, scan: Scan, column: str, calendar: Calendar
) -> tuple[str, list[tuple[str, str]]]:
    """SQL of a row's day, and the rules of its day with the reasons.

    A row without a usable day counts on the day of its file, or on the first day of the calendar.
    """
    time = shops_time(f"v.{identifier(column)}", config)
    start, inside = f"DATE '{calendar.start}'", _inside(calendar).format(time)
    rules = [(inside, f"{column}: outside the calendar")]
    day = f"CAST({time} AS DATE)"
    if not config.by_day:
        return f"CASE WHEN {inside} THEN {day} ELSE {start} END", rules
    of_file = _of_file(scan)
    due = f"{day} BETWEEN {of_file} - {config.late_days} AND {of_file}"
    rules.append((due, f"{column}: not a day of this file"))
    # Only the late rows of a file after the calendar are within it.
    fallback = f"greatest({of_file}, {start})"
    return f"CASE WHEN {inside} AND {due} THEN {day} ELSE {fallback} END", rules


def _inside(calendar: Calendar) -> str:
    """SQL condition that a time, written `{}`, is within the calendar."""
    start, end = f"DATE '{calendar.start}'", f"DATE '{calendar.end or PLAUSIBLE_END}'"
    return f"{{0}} >= {start}::TIMESTAMP AND {{0}} < {end}::TIMESTAMP"


def _of_file(scan: Scan) -> str:
    """SQL of the day of a row's file."""
    days = ", ".join(f"DATE '{part.day}'" for part in scan.parts)
    return f"([{days}]::DATE[])[_load_part::BIGINT + 1]"
