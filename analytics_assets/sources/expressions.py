"""Computed columns: a constant, an expression over a row, or two columns joined.

Belongs here: which expressions are accepted, and the relation that has their values. Does not
belong here: typing the values (`typed`).

DuckDB's own parser reads the expressions, so what is checked is what is executed.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import duckdb
import ibis.expr.datatypes as dt

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.casts import as_double
from analytics_assets.sources.config import Computed, SourceConfig
from analytics_assets.sources.readers.base import Scan, SourceError, fold_name
from analytics_assets.sources.typed_column import present_text

PREFIX = "_computed_"
NUMBER = "_number_"
ARITHMETIC = ("+", "-", "*", "/", "//", "%", "**", "^")
# Functions whose text arguments are read as numbers if another argument is a number.
OF_NUMBERS = (*ARITHMETIC, "nullif", "greatest", "least", "round", "abs", "floor", "ceil")
# DuckDB has these as macros, of which nothing says what they read.
MACROS = ("nullif", "split_part")
CLASSES = (
    *("FUNCTION", "COLUMN_REF", "CONSTANT", "OPERATOR", "CAST", "TYPE", "CASE"),
    *("COMPARISON", "CONJUNCTION", "BETWEEN"),
)


def constant(value: object) -> Computed:
    """The same text in each row."""
    return Computed(literal(str(value)))


def joined(columns: list[str]) -> Computed:
    """Columns of a date and of a time as one text, separated by a blank."""
    listed = ", ".join(f"{identifier(name)}::VARCHAR" for name in columns)
    return Computed(f"concat_ws(' ', {listed})", tuple(columns))


def identifier_of(columns: list[str]) -> Computed:
    """Columns that identify something together, as one text; missing where one of them is."""
    texts = (f"nullif(trim({identifier(name)}::VARCHAR), '')" for name in columns)
    return Computed(" || '/' || ".join(texts), tuple(columns))


def expression(text: str) -> Computed:
    """An expression over the columns of the source's row.

    Raises:
        ValueError: it is not one expression over the row alone.
    """
    with duckdb.connect() as connection:
        query = f"SELECT (\n{text}\n)"
        serialize = "SELECT json_serialize_sql(?::VARCHAR, skip_null := true)"
        tree = json.loads(_converted(connection, serialize, query))
        if tree["error"]:
            raise ValueError(tree["error_message"])
        select = tree["statements"][0]["node"]
        if (
            len(tree["statements"]) != 1
            or select["type"] != "SELECT_NODE"
            or select["from_table"]["type"] != "EMPTY"
            or len(select["select_list"]) != 1
            or any(select.get(word) for word in ("where_clause", "having", "qualify", "sample"))
        ):
            raise ValueError("it is not one expression over the columns of a row")
        root = select["select_list"][0]
        if root.get("function_name") == "row":
            raise ValueError("it is several expressions")
        columns: dict[str, None] = {}
        numbers: dict[str, None] = {}
        for node in _nodes(root):
            _require_plain(connection, node)
        _name(root, False, columns, numbers)
        sql = _converted(connection, "SELECT json_deserialize_sql(?::JSON)", json.dumps(tree))
    return Computed(sql.removeprefix("SELECT "), tuple(columns), tuple(numbers), rounds=True)


def with_computed(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, scan: Scan
) -> tuple[Scan, dict[str, str]]:
    """The scan with the computed columns, and their names in it by our names.

    Raises:
        SourceError: an expression does not fit the types of the columns.
    """
    if not config.computed:
        return scan, {}
    by_fold = {fold_name(name): name for name in scan.types}
    numbers = {
        NUMBER + name: as_double(
            present_text(identifier(by_fold[fold_name(name)]), type_, dt.float64),
            type_,
            config,
        )
        for computed in config.computed.values()
        for name in computed.numbers
        for type_ in (scan.types[by_fold[fold_name(name)]],)
    }
    more = "".join(f", {value} AS {identifier(name)}" for name, value in numbers.items())
    nulls = ", ".join(f"NULL::{type_} AS {identifier(n)}" for n, type_ in scan.types.items())
    types, values = {}, []
    for ours, computed in config.computed.items():
        value = f"TRY({computed.sql})" if computed.rounds else computed.sql
        try:
            ((_, type_, *_),) = connection.execute(
                f"DESCRIBE SELECT {value} FROM (SELECT *{more} FROM (SELECT {nulls}))"
            ).fetchall()
        except duckdb.Error as error:
            raise SourceError(
                f"{config.source}: the expression of {ours}: {str(error).splitlines()[0][:200]}. "
                "Correct it in `columns` of the source configuration; nothing was loaded."
            ) from None
        stored = config.contract.declared(ours).dtype.type
        if computed.rounds and isinstance(stored, dt.Decimal) and type_ != "VARCHAR":
            value, type_ = f"round(({value})::DOUBLE, {stored.scale})", "DOUBLE"
        types[PREFIX + ours] = type_
        values.append(f"{value} AS {identifier(PREFIX + ours)}")
    relation = f"(SELECT *, {', '.join(values)} FROM (SELECT *{more} FROM {scan.relation}))"
    names = {ours: PREFIX + ours for ours in config.computed}
    return replace(scan, relation=relation, types={**scan.types, **types}), names


def _require_plain(connection: duckdb.DuckDBPyConnection, node: dict[str, Any]) -> None:
    """Refuse a node of an expression that is not about the row alone."""
    kind = node["class"]
    if kind not in CLASSES:
        word = {"SUBQUERY": "a query", "WINDOW": "a window function", "STAR": "*"}.get(kind, kind)
        raise ValueError(f"{word.lower()} is no part of an expression over one row")
    if kind != "FUNCTION" or node.get("is_operator"):
        return
    name = node["function_name"]
    if name.lower() in MACROS:
        return
    kinds = connection.execute(
        "SELECT DISTINCT function_type, stability FROM duckdb_functions() WHERE function_name = ?",
        [name.lower()],
    ).fetchall()
    if ("scalar", "CONSISTENT") not in kinds or "aggregate" in {type_ for type_, _ in kinds}:
        raise ValueError(f"{name} is no function of one row's values")


def _name(
    node: dict[str, Any], number: bool, columns: dict[str, None], numbers: dict[str, None]
) -> None:
    """Collect the columns of an expression, and rename those that are read as numbers."""
    if node["class"] == "COLUMN_REF":
        name = node["column_names"][0]
        columns[name] = None
        if number and len(node["column_names"]) == 1:
            numbers[name] = None
            node["column_names"] = [NUMBER + name]
        return
    below = list(_children(node))
    if node["class"] == "FUNCTION":
        name = node["function_name"]
        number = name in ARITHMETIC or (name in OF_NUMBERS and (number or _has_number(below)))
    elif node["class"] == "CAST":
        number = False
    elif node["class"] == "CASE":
        results = [check["then_expr"] for check in node["case_checks"]]
        results += [node["else_expr"]] if node.get("else_expr") else []
        number = number or _has_number(results)
        for check in node["case_checks"]:
            _name(check["when_expr"], False, columns, numbers)
        below = results
    else:
        number = _has_number(below) or (number and node["class"] == "OPERATOR")
    for child in below:
        _name(child, number, columns, numbers)


def _has_number(nodes: list[dict[str, Any]]) -> bool:
    """Whether one of the nodes is a number by itself."""
    return any(
        node.get("literal", {}).get("kind") in ("INTEGER", "DECIMAL", "NUMBER")
        or (node["class"] == "FUNCTION" and node["function_name"] in ARITHMETIC)
        for node in nodes
    )


def _children(node: Any) -> Iterator[dict[str, Any]]:
    """The direct children of a node."""
    values = node.values() if isinstance(node, dict) else node
    for value in values:
        if isinstance(value, dict) and "class" in value:
            yield value
        elif isinstance(value, (dict, list)):
            yield from _children(value)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _converted(connection: duckdb.DuckDBPyConnection, query: str, text: str) -> str:
    """The result of a query over a text.

    Raises:
        ValueError: DuckDB cannot read the text.
    """
    try:
        return str(connection.execute(query, [text]).fetchall()[0][0])
    except duckdb.Error as error:
        raise ValueError(str(error).splitlines()[0]) from error
