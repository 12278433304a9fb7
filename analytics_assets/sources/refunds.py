"""Refunds of order lines, as rows of the day of the refund.

Belongs here: which lines have a refund, and the SQL of its row. Does not belong here: counting
(`stage`) or writing them (`load`).

A line has a refund if it has a `refunded_amount`, or if its status is `returned` and its quantity
positive. A line with a negative quantity is itself the return.
"""

from collections.abc import Collection

from analytics_assets.quoting import identifier
from analytics_assets.sources.casts import of_day, shops_day, shops_time
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.currencies import WIDE

# Columns that a refund does not have: what is refunded of them is in its amount.
LEFT_OUT = ("line_number", "discount", "tax", "shipping")


def has_refunds(config: SourceConfig, mapped: Collection[str]) -> bool:
    """Whether lines of a source can have refunds."""
    return "refunded_amount" in config.contract.door and bool(
        {"refunded_amount", "status"} & {*mapped}
    )


def refund_row(
    config: SourceConfig,
    mapped: Collection[str],
    following: Collection[str],
    inside: str,
    of_file: str | None,
) -> str:
    """SQL of the refund of a row `v` as a struct; NULL where there is none.

    Args:
        config: the source.
        mapped: our columns that the source has.
        following: columns that follow from another, such as `unit_price` from the amount.
        inside: condition that a time of the shop, written `{}`, is within the calendar.
        of_file: day of the row's file, where each day has files of its own. A refund of a later
            day, or of one before the late days, counts on the day of the file.

    Returns:
        A struct of the contract's columns, `_line`, the number of the line, and `_day`, the day of
        the refund; NULL for a refund outside of the calendar.
    """
    types = config.contract.table.sql_types
    money, count = types["amount"], types["quantity"]
    full = "coalesce(v.status = 'returned' AND v.quantity > 0, false)"
    extended = "v.amount"
    if "unit_price" not in following:
        extended = f"v.quantity::{WIDE} * v.unit_price - coalesce(v.discount, 0)"
    given = "nullif(abs(v.refunded_amount), 0)" if "refunded_amount" in mapped else "NULL"
    at = "v.ordered_at"
    if "refunded_at" in mapped:
        at = "coalesce(v.refunded_at, v.ordered_at)"
    if of_file:
        late = f"{shops_day(at, config)} BETWEEN {of_file} - {config.late_days} AND {of_file}"
        at = f"CASE WHEN {late} THEN {at} ELSE {of_day(f'{of_file}::TIMESTAMP', config)} END"
    local = shops_time(at, config)
    values = {name: f"v.{identifier(name)}" for name in config.contract.columns}
    values |= {name: f"NULL::{types[name]}" for name in LEFT_OUT}
    values |= {
        "ordered_at": at,
        "quantity": f"CASE WHEN {full} THEN -v.quantity ELSE 0 END::{count}",
        "amount": f"(-coalesce({given}, CASE WHEN {full} THEN {extended} END))::{money}",
        "cost": f"CASE WHEN {full} THEN -v.cost END::{money}",
        "_line": "v.line_number",
        "_day": f"CASE WHEN {inside.format(local)} THEN CAST({local} AS DATE) END",
    }
    listed = ", ".join(f"{identifier(name)} := {value}" for name, value in values.items())
    returned = f"coalesce({given} IS NOT NULL AND v.quantity >= 0, false) OR {full}"
    return f"CASE WHEN _reasons IS NULL AND ({returned}) THEN struct_pack({listed}) END"
