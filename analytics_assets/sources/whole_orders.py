"""Values of a whole order that the source writes on one of its lines only.

Belongs here: carrying values between the lines of an order, and the warning that suggests it. Does
not belong here: typing (`typed`), refunds (`refunds`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.partitions import Window
from analytics_assets.quoting import identifier
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import Scan
from analytics_assets.sources.typed_column import present_text
from analytics_assets.warehouse.windows import window_predicate

SUPERSEDED = "order_id: a later file has the order"
# Columns that belong to the order in every shop.
OF_ORDERS = ("status", "country", "currency", "customer_id")


def by_order(
    config: SourceConfig, scan: Scan, mapped: Mapping[str, str], firsts: Sequence[int]
) -> Scan:
    """The scan after `order_level` and `order_snapshot`.

    A value of `order_level` comes from the first line of the same order in the same file that has
    one: other files may be read at another time. For `order_snapshot` the relation has a column
    `_superseded`.

    Args:
        config: the source.
        scan: its rows.
        mapped: the source's name of each of our columns that it has.
        firsts: for each part, the number of rows in the parts before it.
    """
    if not config.order_level and not config.order_snapshot:
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

    carried = ", ".join(
        f"coalesce({present(name)}, CASE WHEN _order IS NOT NULL THEN first_value({present(name)} "
        f"IGNORE NULLS) OVER lines END) AS {identifier(mapped[name])}"
        for name in config.order_level
    )
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
        f"(SELECT * EXCLUDE (_order) {carried and f'REPLACE ({carried})'}{superseded} "
        f"FROM (SELECT *, ({text('order_id')})::VARCHAR AS _order FROM ({rows})) "
        "WINDOW lines AS (PARTITION BY _load_part, _order ORDER BY _load_row "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING))"
    )
    return replace(scan, relation=relation, numbered=True, mixed=False)


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
