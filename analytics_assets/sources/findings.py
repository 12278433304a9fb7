"""What the rows of a source give away before they are loaded, each with the word to configure.

Belongs here: queries on what a load would write, and what they say. Does not belong here: values
that cannot be read (`readings`), the same questions after a load (`checks`).

The queries run on a view that has the name of the raw table, and what a load would put there. No
finding quotes a personal value.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import yaml

from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas.base import CUSTOMER_KEY
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.declared.base import DERIVED
from analytics_assets.sources.people import undeclared
from analytics_assets.sources.plausible import implausible
from analytics_assets.sources.whole_orders import OF_ORDERS

# What the lines of an order agree in; each line counts for its own otherwise.
OF_ONE_ORDER = ("customer_id", "currency", "status")
# What exports write on the first line of an order only.
ON_FIRST_LINE = (*OF_ORDERS, "ordered_at", "channel", "coupon", "is_test")
EXAMPLES = 3
NO_CUSTOMER = "they count in totals, and in no cohort, segment or score"


@dataclass(frozen=True)
class Finding:
    """What was seen, and what to write about it.

    Attributes:
        sentence: what was seen.
        line: line of YAML to write if it is as it seems; empty where there is none.
        top: whether the line belongs at the top of the configuration, not below the source.
    """

    sentence: str
    line: str = ""
    top: bool = False


def yaml_line(word: str, value: Any) -> str:
    """A word of the configuration and its value, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return f"{word}: {text.strip().removesuffix('...').strip()}"


def as_loaded(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, files: Sequence[str], due: date
) -> None:
    """Make the view of what a load would write, from the rows that were looked at.

    Args:
        connection: has the table `load` of a look.
        config: the source.
        files: the names of its parts.
        due: end of the days that have closed.
    """
    table = config.contract.table
    derived = "".join(f", {v} AS {name}" for name, v in DERIVED.items() if name in table.columns)
    day = f", _window_date AS {table.window_column}" if table.window_column else ""
    names = ", ".join(map(literal, files))
    connection.execute("CREATE SCHEMA IF NOT EXISTS raw")
    connection.execute(
        f"CREATE OR REPLACE VIEW {table.relation} AS "
        f"SELECT {', '.join(map(identifier, config.contract.columns))}{derived}{day}, "
        f"([{names}]::VARCHAR[])[_load_part::BIGINT + 1] AS source_file, rowid AS place "
        f"FROM load WHERE _reasons IS NULL AND coalesce(_window_date < DATE '{due}', true)"
    )


def findings(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    due: date,
    members: Collection[str],
) -> list[Finding]:
    """All that is to be said of the rows that were looked at.

    Args:
        connection: has the table `load`, the view of `as_loaded`, and a table `ids_<source>` of
            the identifiers of each of `members`.
        config: the source.
        due: end of the days that have closed.
        members: sources of customers and products that were looked at as a whole.
    """
    found = [*_people(connection, config), *_identifiers(connection, config)]
    found += _not_due(connection, config, due)
    found += _orphans(connection, config, members)
    if config.source == "orders":
        for look in (_currencies, _nobody, _implausible, _overlapping, _first_lines, _several):
            found += look(connection, config)
    return found


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.execute(query).fetchall()


def _such_as(values: Sequence[str] | None) -> str:
    """Examples of identifiers; an address is no example."""
    shown = [str(value) for value in values or () if "@" not in str(value)]
    return f", such as {', '.join(shown[:EXAMPLES])}" if shown else ""


def _people(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    """Personal data where none is declared, so that it is neither hidden nor left behind."""
    classes = config.contract.table.person_classes
    for name, kinds in undeclared(connection, config):
        what = f"{name}: has {' and '.join(kinds)}"
        if classes.get(name) == CUSTOMER_KEY:
            yield Finding(
                f"{what}. It is in all tables, published ones too: let the source name customers "
                "by a number of its own"
            )
        else:
            yield Finding(
                f"{what}, and is no column for personal data: it is stored and published. Leave it "
                "out of the mapping, or let the source replace such values"
            )


def _identifiers(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    """Identifiers that are not as they came."""
    kinds = _rows(
        connection,
        'SELECT name, note, sum(rows)::BIGINT, min("value", 20) FROM ('
        'SELECT name, note, "value", count(*) AS rows '
        "FROM (SELECT unnest(_noted, recursive := true) FROM load WHERE _reasons IS NULL) "
        "GROUP BY ALL) GROUP BY ALL ORDER BY ALL",
    )
    for name, note, rows, values in kinds:
        if note == "missing":
            words = ", ".join(sorted({str(value) for value in values}))
            yield Finding(
                f"{name}: {words} in {rows:,} rows, read as missing. If it is an identifier, write",
                yaml_line("null_words", {name: []}),
            )
        elif note == "whole":
            example = next((value for value in values if "@" not in value), None)
            shown = f", such as {example}.0, which is read as {example}" if example else ""
            yield Finding(f"{name}: {rows:,} rows have a number with .0{shown}")
        else:
            yield Finding(f"{name}: {rows:,} rows have white space around it, which is left out")


def _not_due(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, due: date
) -> Iterator[Finding]:
    if not config.contract.time_column:
        return
    [(rows, first, last)] = _rows(
        connection,
        "SELECT count(*), min(_window_date), max(_window_date) FROM load "
        f"WHERE _reasons IS NULL AND _window_date >= DATE '{due}'",
    )
    if rows:
        yield Finding(
            f"{rows:,} rows are of days that have not closed ({first} to {last}): they are not due "
            "yet, and are loaded when their day has closed"
        )


def _orphans(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, members: Collection[str]
) -> Iterator[Finding]:
    """Identifiers that the source which lists them does not have."""
    table = config.contract.table
    for member in members:
        key = SOURCES[member].contract.required[0]
        if member == config.source or key not in config.contract.columns:
            continue
        what = "count(DISTINCT order_id)" if "order_id" in table.columns else "count(*)"
        [(rows, ids, examples)] = _rows(
            connection,
            f"WITH lacking AS (FROM {table.relation} WHERE {key} IS NOT NULL "
            f"AND {key} NOT IN (SELECT id FROM ids_{member})) "
            f"SELECT {what}, count(DISTINCT {key}), "
            f"(SELECT min(id, 20) FROM (SELECT DISTINCT {key} AS id FROM lacking)) FROM lacking",
        )
        if ids:
            unit = "orders" if "order_id" in table.columns else "rows"
            yield Finding(
                f"{rows:,} {unit} have a {key} that {member} lacks: {ids:,} of them"
                f"{_such_as(examples)}. They are kept, and inferred from what names them"
            )


def _currencies(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    codes = _rows(
        connection,
        "SELECT currency, count(*) FROM raw.raw_orders WHERE currency IS NOT NULL "
        "GROUP BY 1 ORDER BY 2 DESC, 1",
    )
    if len(codes) < 2:
        return
    counts = ", ".join(f"{code} ({lines:,} lines)" for code, lines in codes[:10])
    line = ""
    if config.currency is None:
        others = ", ".join(f"{code}: ..." for code, _ in codes[1:10])
        line = f"currency: {{reporting: {codes[0][0]}, rates: {{{others}}}}}"
    yield Finding(f"amounts are in {len(codes)} currencies: {counts}", line, top=True)


def _nobody(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    [(orders, nobody)] = _rows(
        connection,
        "SELECT count(DISTINCT order_id), "
        "count(DISTINCT order_id) FILTER (customer_id IS NULL) FROM raw.raw_orders",
    )
    if nobody:
        yield Finding(
            f"{nobody:,} of {orders:,} orders ({nobody / orders:.0%}) are of guests, without a "
            f"customer_id: {NO_CUSTOMER}"
        )


def _implausible(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    [(orders,)] = _rows(connection, "SELECT count(DISTINCT order_id) FROM raw.raw_orders")
    counted = (
        "SELECT customer_id, count(DISTINCT order_id) AS orders FROM raw.raw_orders GROUP BY 1"
    )
    for who, many in _rows(connection, f"{implausible(counted)} ORDER BY orders DESC, 1"):
        hidden = "@" in who or config.customer_key is not None
        yield Finding(
            f"customer_id: one customer ({'hidden' if hidden else who}) has {many:,} of {orders:,} "
            f"orders. If it is nobody, say so, and {NO_CUSTOMER}",
            "" if hidden else yaml_line("null_words", {"customer_id": [who]}),
        )


def _overlapping(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    """Orders that lie in several files."""
    if config.by_day or config.order_snapshot:
        return
    [(orders, repeating, lines, examples)] = _rows(
        connection,
        """
        WITH several AS (
            SELECT order_id FROM raw.raw_orders
            GROUP BY 1 HAVING min(source_file) <> max(source_file)
        ),
        lines AS (
            SELECT order_id, min(source_file) <> max(source_file) AS again
            FROM raw.raw_orders JOIN several USING (order_id)
            GROUP BY order_id, line_number, product_id, ordered_at, quantity, unit_price
        )
        SELECT count(DISTINCT order_id), count(DISTINCT order_id) FILTER (again),
            count(*) FILTER (again), (SELECT min(order_id, 20) FROM several)
        FROM lines
        """,
    )
    if not orders:
        return
    told = f"{orders:,} orders are in several files{_such_as(examples)}"
    # Files that share no line may be parts of the same orders.
    if repeating * 2 < orders:
        yield Finding(f"{told}, and their lines differ: all of them count")
        return
    yield Finding(
        f"{told}; {lines:,} of their lines are the same there. If each file is an export of all "
        "orders of its time, count those of the last file only",
        yaml_line("order_snapshot", True),
    )


def _first_lines(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    """Columns of the order that only some of its lines have."""
    columns = [name for name in ON_FIRST_LINE if name not in config.order_level]
    each = ", ".join(
        f"count({name}) AS filled_{name}, arg_min({name} IS NOT NULL, rowid) AS first_{name}"
        for name in columns
    )
    figures = ", ".join(
        f"count(*) FILTER (filled_{name} NOT IN (0, lines)), "
        f"count(*) FILTER (filled_{name} = 1 AND first_{name})"
        for name in columns
    )
    # A value that cannot be read is not missing.
    readable = "len(list_filter(_reasons, lambda why: NOT ends_with(why, ': missing'))) = 0"
    [counts] = _rows(
        connection,
        f"SELECT {figures} FROM (SELECT count(*) AS lines, {each} FROM load "
        f"WHERE order_id IS NOT NULL AND (_reasons IS NULL OR {readable}) "
        "GROUP BY _load_part, order_id HAVING count(*) > 1)",
    )
    some = {
        name: (half, first)
        for name, half, first in zip(columns, counts[::2], counts[1::2], strict=True)
        if half
    }
    if some:
        told = "; ".join(
            f"{name} in {half:,} orders{f', in {first:,} on the first' if first else ''}"
            for name, (half, first) in some.items()
        )
        yield Finding(
            f"on some lines of an order only: {told}. If it is the order's, carry it to all of its "
            "lines",
            yaml_line("order_level", [*config.order_level, *some]),
        )


def _several(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> Iterator[Finding]:
    """Orders whose lines do not agree."""
    for name in OF_ONE_ORDER:
        [(orders, examples)] = _rows(
            connection,
            "SELECT count(*), min(order_id, 20) FROM (SELECT order_id "
            f"FROM raw.raw_orders GROUP BY source_file, order_id "
            f"HAVING min({name}) <> max({name}))",
        )
        if orders:
            yield Finding(
                f"{orders:,} orders have several values of {name}{_such_as(examples)}: each line "
                "counts for its own. Correct the lines in the source, or map the column that is "
                "the order's"
            )
