"""Values of a whole order that the source writes on one of its lines only.

Belongs here: carrying values between the lines of an order, and the warning that suggests it. Does
not belong here: typing (`typed`), refunds (`refunds`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.partitions import Window
from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.casts import read_as
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import Scan
from analytics_assets.sources.typed_column import present_text
from analytics_assets.warehouse.windows import window_predicate

SUPERSEDED = "order_id: a later file has the order"
MONEY = "DECIMAL(18, 4)"
NUMBER = dt.Decimal(18, 4)
AMOUNT = "_amount_of_"
# Columns that belong to the order in every shop.
OF_ORDERS = ("status", "country", "currency", "customer_id")


def by_order(
    config: SourceConfig, scan: Scan, mapped: Mapping[str, str], firsts: Sequence[int]
) -> Scan:
    """The scan after `order_level`, `order_amounts` and `order_snapshot`.

    A value of `order_level` comes from the first line of the same order in the same file that has
    one: other files may be read at another time. For `order_snapshot` the relation has a column
    `_superseded`.

    Args:
        config: the source.
        scan: its rows.
        mapped: the source's name of each of our columns that it has.
        firsts: for each part, the number of rows in the parts before it.
    """
    if not (config.order_level or config.order_amounts or config.order_snapshot):
        return scan

    def text(column: str) -> str:
        return present_text(
            identifier(mapped[column]),
            scan.types[mapped[column]],
            dt.string,
            config.null_words_of(column),
        )

    def present(column: str) -> str:
        return f"CASE WHEN ({text(column)}) IS NOT NULL THEN {identifier(mapped[column])} END"

    changed = [
        f"coalesce({present(name)}, CASE WHEN _order IS NOT NULL THEN first_value({present(name)} "
        f"IGNORE NULLS) OVER lines END) AS {identifier(mapped[name])}"
        for name in config.order_level
    ]
    changed += [
        f"{_share(config, scan, mapped, name)} AS {identifier(mapped[name])}"
        for name in config.order_amounts
    ]
    values = {AMOUNT + n: _number(config, scan, mapped, n) for n in config.order_amounts}
    if values:
        quantity, price, amount = (
            _number(config, scan, mapped, n) for n in ("quantity", "unit_price", "amount")
        )
        values["_cost"] = f"greatest(coalesce({quantity} * {price}, {amount}, 0), 0)"
    helpers = "".join(f", {value} AS {identifier(n)}" for n, value in values.items())
    replaced = ", ".join(changed)
    excluded = ", ".join(map(identifier, ["_order", *values]))
    superseded = ""
    if config.order_snapshot:
        names = sorted(part.name for part in scan.parts)
        place = f"{[names.index(part.name) for part in scan.parts]}[_load_part::BIGINT + 1]"
        superseded = (
            f", coalesce(_order IS NOT NULL AND {place} < max({place}) OVER "
            "(PARTITION BY _order), false) AS _superseded"
        )
    # Numbered here: after the window function the rows are in no order.
    place = f"row_number() OVER () - {[*firsts]}[_load_part::BIGINT + 1]"
    rows = (
        f"SELECT *, {place} AS _load_row, NULL::BIGINT AS _load_line FROM {scan.relation}"
        if not scan.numbered
        else f"SELECT * REPLACE (coalesce(_load_row, {place}) AS _load_row) FROM {scan.relation}"
        if scan.mixed
        else f"FROM {scan.relation}"
    )
    relation = (
        f"(SELECT * EXCLUDE ({excluded}) {replaced and f'REPLACE ({replaced})'}{superseded} "
        f"FROM (SELECT *, ({text('order_id')})::VARCHAR AS _order{helpers} FROM ({rows})) "
        "WINDOW lines AS (PARTITION BY _load_part, _order ORDER BY _load_row "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))"
    )
    return replace(scan, relation=relation, numbered=True, mixed=False)


def _number(config: SourceConfig, scan: Scan, mapped: Mapping[str, str], name: str) -> str:
    """SQL of a column of ours as a number; NULL where it is none."""
    if name not in mapped:
        return f"NULL::{MONEY}"
    source, type_ = identifier(mapped[name]), scan.types[mapped[name]]
    text = present_text(source, type_, NUMBER, config.null_words_of(name))
    return f"({read_as(f'({text})', type_, NUMBER, config)})::{MONEY}"


def _share(config: SourceConfig, scan: Scan, mapped: Mapping[str, str], name: str) -> str:
    """SQL of what a line has of an amount of its order, by what the line costs.

    What is split up to a line, less what is split up to the one before: the parts add up to the
    amount. Of an order that costs nothing, its first line has all of it.
    """
    own = identifier(AMOUNT + name)
    amount = f"first_value({own} IGNORE NULLS) OVER lines"
    place = "(PARTITION BY _load_part, _order ORDER BY _load_row)"
    upto, total = f"sum(_cost) OVER {place}", "nullif(sum(_cost) OVER lines, 0)"
    part = (
        f"coalesce(round({amount} * ({upto} / {total}), 4)::{MONEY} "
        f"- round({amount} * (({upto} - _cost) / {total}), 4)::{MONEY}, "
        f"CASE WHEN row_number() OVER {place} = 1 THEN {amount} END)"
    )
    source, type_ = identifier(mapped[name]), scan.types[mapped[name]]
    unread = f"_order IS NULL OR ({source} IS NOT NULL AND {own} IS NULL)"
    if type_ == "VARCHAR":
        # As the source writes numbers. What is no number stays, and is a reason to reject the line.
        part = f"replace(({part})::VARCHAR, '.', {literal(config.decimal)})"
        unread = f"_order IS NULL OR (trim({source}) <> '' AND {own} IS NULL)"
    return f"CASE WHEN {unread} THEN {source} ELSE ({part})::{type_} END"


def half_filled(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, window: Window | None
) -> list[str]:
    """Warnings of columns that some lines of an order have and others do not."""
    table = config.contract.table
    columns = [name for name in OF_ORDERS if name not in config.order_level]
    if not {"order_id", *columns} <= {*table.columns}:
        return []
    inside = window_predicate(str(table.window_column), window)
    counts = ", ".join(f"count({identifier(name)})" for name in columns)
    lines, *filled = connection.execute(
        f"SELECT count(*), {counts} FROM {table.relation} WHERE {inside}"
    ).fetchall()[0]
    some = [name for name, count in zip(columns, filled, strict=True) if 0 < count < lines]
    if not some:
        return []
    half = ", ".join(f"count(*) FILTER (count_{name} NOT IN (0, lines))" for name in some)
    each = ", ".join(f"count({name}) AS count_{name}" for name in some)
    orders = connection.execute(
        f"SELECT {half} FROM (SELECT count(*) AS lines, {each} FROM {table.relation} "
        f"WHERE {inside} AND NOT is_refund GROUP BY source_file, order_id)"
    ).fetchall()[0]
    return [
        f"{name}: {count:,} orders have lines with it and lines without. If it is the order's, "
        f"carry it to all of its lines: `order_level: [{name}]`"
        for name, count in zip(some, orders, strict=True)
        if count
    ]
