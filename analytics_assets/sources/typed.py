"""Typing at the door: text is matched, then cast; what does not fit is a reason, never a guess.

Belongs here: the SQL that turns a source's text into the contract's types, and the rules that a row
must keep. Does not belong here: reading files (`files`) or writing tables (`load`).

DuckDB casts silently where we do not want it to (2.7 into an integer gives 3, 3.505 into two
decimals 3.51), so every text is matched against its form before it is cast.
"""

from collections.abc import Collection
from datetime import date
from typing import Any

import ibis.expr.datatypes as dt

from analytics_assets.partitions import Calendar
from analytics_assets.schemas.core import UNKNOWN_MEMBER
from analytics_assets.sources.config import SourceConfig

# No day from here on will come: a row of the year 9999 would wait for its window for ever.
PLAUSIBLE_END = date(2100, 1, 1)
# What staging strips too: an identifier of nothing else is missing, and has to be so at the door.
WHITE_SPACE = "' \t\v\f\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff'"


def typed_relation(
    config: SourceConfig, relation: str, columns: Collection[str], calendar: Calendar
) -> str:
    """SQL relation of the source's rows, typed.

    Args:
        config: the source.
        relation: its rows as text (`files.text_relation`).
        columns: the columns of that relation under the source's own names.
        calendar: days outside of it are rejected.

    Returns:
        A relation with the contract's columns, `_reasons` (list of text, empty for an accepted
        row), `_window_date` (day that the row is accounted to; NULL for unpartitioned sources),
        `_json` (the whole row where it is rejected), `source_file` and `source_row`.
    """
    contract = config.contract
    schema = contract.table.schema.columns
    source_of = {
        name: config.columns.get(name, name)
        for name in contract.columns
        if config.columns.get(name, name) in columns
    }
    words = ", ".join(_literal(word.lower()) for word in ("", *config.null_words))

    texts, values, reasons = [], [], []
    for name in contract.columns:
        type_ = schema[name].dtype.type
        if name not in source_of:
            texts.append(f'NULL::VARCHAR AS "{name}"')
            values.append(f'NULL::{contract.table.sql_types[name]} AS "{name}"')
            continue
        text = f"trim({_name(source_of[name])}, {WHITE_SPACE})"
        texts.append(f'CASE WHEN lower({text}) IN ({words}) THEN NULL ELSE {text} END AS "{name}"')
        values.append(f'{_cast(name, type_, config)} AS "{name}"')
        if not schema[name].nullable:
            reasons.append((f't."{name}" IS NULL', f"{name}: missing"))
        if isinstance(type_, dt.String):
            reasons.append((f'contains(t."{name}", chr(0))', f"{name}: a NUL byte"))
        else:
            reasons.append(
                (f't."{name}" IS NOT NULL AND v."{name}" IS NULL', f"{name}: {_form(type_)}")
            )
        reasons += [
            (f'v."{name}" IS NOT NULL AND NOT ({rule})', f"{name}: {reason}")
            for rule, reason in _rules(f'v."{name}"', schema[name])
        ]
        if name.endswith("_id"):
            reasons.append(
                (f"v.\"{name}\" = '{UNKNOWN_MEMBER}'", f"{name}: a reserved word of the warehouse")
            )
    if config.cancelled_order_pattern and "status" not in source_of:
        pattern = _literal(config.cancelled_order_pattern)
        values[contract.columns.index("status")] = (
            f"CASE WHEN regexp_matches(t.order_id, {pattern}) THEN 'cancelled' END AS status"
        )

    window_date = "NULL::DATE"
    if contract.time_column:
        day = f'CAST(v."{contract.time_column}" AS DATE)'
        start = f"DATE '{calendar.start}'"
        end = f"DATE '{calendar.end or PLAUSIBLE_END}'"
        inside = f"{day} >= {start} AND {day} < {end}"
        reasons.append((f"NOT ({inside})", f"{contract.time_column}: outside the calendar"))
        # A row without a usable day is accounted to the day of its file, or to the first day: it
        # is counted once, and lost never.
        fallback = start
        if config.by_day:
            # Of a file after the calendar only the late rows are ours.
            fallback = f"greatest(v._load_day, {start})"
            inside += f" AND {day} BETWEEN v._load_day - {config.late_days} AND v._load_day"
            reasons.append(
                (
                    f"NOT ({day} BETWEEN v._load_day - {config.late_days} AND v._load_day)",
                    f"{contract.time_column}: not a day of this file",
                )
            )
        window_date = f"CASE WHEN {inside} THEN {day} ELSE {fallback} END"

    listed = ", ".join(f"CASE WHEN {rule} THEN {_literal(why)} END" for rule, why in reasons)
    pairs = ", ".join(f"{_name(column)} := t._source.{_name(column)}" for column in columns)
    packed = ", ".join(f"{_name(column)} := {_name(column)}" for column in columns)
    return f"""(
        SELECT
            v.* EXCLUDE (_load_file, _load_row, _load_day, t),
            _load_file AS source_file,
            _load_row AS source_row,
            {window_date} AS _window_date,
            list_filter([{listed}], lambda reason: reason IS NOT NULL) AS _reasons,
            CASE WHEN len(_reasons) > 0 THEN to_json(struct_pack({pairs}))::VARCHAR END AS _json
        FROM (
            SELECT {", ".join(values)}, t._load_file, t._load_row, t._load_day, t
            FROM (
                SELECT {", ".join(texts)}, _load_file, _load_row, _load_day,
                    struct_pack({packed}) AS _source
                FROM {relation}
            ) AS t
        ) AS v
    )"""


def _cast(name: str, type_: dt.DataType, config: SourceConfig) -> str:
    text = f't."{name}"'
    if isinstance(type_, dt.Integer):
        return (
            f"CASE WHEN regexp_full_match({text}, '[+-]?[0-9]+') THEN TRY_CAST({text} AS INT) END"
        )
    if isinstance(type_, dt.Decimal):
        form = rf"[+-]?[0-9]*\.?[0-9]{{0,{type_.scale}}}0*"
        return (
            f"CASE WHEN regexp_full_match({text}, '{form}') "
            f"THEN TRY_CAST({text} AS DECIMAL({type_.precision}, {type_.scale})) END"
        )
    if isinstance(type_, dt.Timestamp):
        # A call a format: given a list, DuckDB lets a time inherit the offset of the row before.
        tries = ", ".join(
            f"try_strptime({text}, {_literal(form)})" for form in config.timestamp_formats
        )
        # DuckDB reads words such as infinity in any format.
        return f"CASE WHEN {text} SIMILAR TO '.*[0-9].*' THEN coalesce({tries}) END"
    if name == "status" and config.status_map:
        cases = " ".join(
            f"WHEN {_literal(source.lower())} THEN {_literal(ours)}"
            for source, ours in config.status_map.items()
        )
        return f"CASE lower({text}) {cases} ELSE lower({text}) END"
    return f"lower({text})" if name == "status" else text


def _form(type_: dt.DataType) -> str:
    if isinstance(type_, dt.Integer):
        return "not a whole number of 32 bits"
    if isinstance(type_, dt.Decimal):
        return f"not a number of at most {type_.scale} decimals"
    return "not a time in the declared format"


def _rules(value: str, column: Any) -> list[tuple[str, str]]:
    """The value checks of the table's model as row rules: (SQL condition, reason)."""
    rules = []
    for check in column.checks:
        if check.name == "isin":
            allowed = sorted(check.statistics["allowed_values"])
            rules.append(
                (
                    f"{value} IN ({', '.join(_literal(word) for word in allowed)})",
                    f"none of {', '.join(allowed)}",
                )
            )
        elif check.name == "greater_than_or_equal_to":
            least = check.statistics["min_value"]
            rules.append((f"{value} >= {least}", f"less than {least}"))
        else:
            raise NotImplementedError(f"no row rule for the check {check.name}")
    return rules


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
