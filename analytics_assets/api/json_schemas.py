"""Columns as JSON Schema: the values of answers, and those of filters.

Belongs here: what a column looks like in the description of the API. Does not belong here: the
description as a whole (`openapi`).
"""

from typing import Any

from analytics_assets.api.columns import Column, columns_of
from analytics_assets.schemas import Table
from analytics_assets.schemas.units import unit_of

Json = dict[str, Any]
DECIMAL = r"^-?[0-9]{1,14}(\.[0-9]{1,4})?$"
_OF_OPERATORS = {
    "": "equal to",
    "ne": "not equal to, and not null",
    "gt": "greater than",
    "gte": "greater than or equal to",
    "lt": "less than",
    "lte": "less than or equal to",
    "in": "equal to one of a list, separated by commas; a value with a comma in double quotes",
    "prefix": "begins with",
    "is_null": "whether it is null",
}


def nullable(schema: Json) -> Json:
    """A schema that also allows null."""
    return {"anyOf": [schema, {"type": "null"}]}


def value_schema(column: Column) -> Json:
    """A value in an answer, null aside."""
    if column.choices:
        kind = "string" if column.kind == "text" else "integer"
        return {"type": kind, "enum": list(column.choices)}
    match column.kind:
        case "text":
            return {"type": "string"}
        case "integer":
            return {"type": "integer"}
        case "boolean":
            return {"type": "boolean"}
        case "decimal":
            return {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,4})?$"}
        case "double":
            return {
                "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
            }
        case "date":
            return {"type": "string", "format": "date"}
    return {"type": "string", "format": "date-time"}


def example_of(column: Column) -> Any:
    """A value of a column, for readers of the document."""
    if column.choices:
        return column.choices[0]
    if column.kind == "text" and (column.person or column.name.endswith("_id")):
        return {"customer_id": "C000017", "city": "Zürich"}.get(column.name, "17")
    return {
        "text": "a text",
        "integer": 12,
        "decimal": "12.5000",
        "double": 0.25,
        "boolean": True,
        "date": "2024-01-31",
        "timestamp": "2024-01-31T12:00:00Z",
    }[column.kind]


def row_schema(table: Table) -> Json:
    """A row of a table in an answer."""
    properties = {}
    for name, column in columns_of(table).items():
        schema = value_schema(column)
        schema = nullable(schema) if column.nullable else dict(schema)
        schema["description"] = column.description
        schema["examples"] = [
            "2024-01-31T12:00:00Z" if column.kind == "timestamp" else example_of(column)
        ]
        if unit := unit_of(table, name):
            schema["x-unit"] = unit
        if column.person:
            schema["x-person"] = column.person
        properties[name] = schema
    return {
        "type": "object",
        "description": table.description,
        "properties": properties,
        "additionalProperties": False,
        "x-key": list(table.key),
    }


def parameter_schema(column: Column, operator: str) -> Json:
    """A value of a filter."""
    if operator == "is_null":
        return {"type": "boolean"}
    if operator == "prefix":
        return {"type": "string", "maxLength": 1000, "pattern": "^[^\x00]+$"}
    if operator == "in":
        item = parameter_schema(column, "")
        # A comma or a quote within a value is quoted as in CSV, which OpenAPI has no words for.
        if column.kind == "text" and not column.choices:
            item = {"type": "string", "pattern": '^[^",\x00\r\n]{1,1000}$'}
        return {"type": "array", "items": item, "minItems": 1, "maxItems": 500}
    if column.choices:
        return {"type": "string" if column.kind == "text" else "integer", "enum": [*column.choices]}
    match column.kind:
        case "text":
            return {"type": "string", "maxLength": 1000, "pattern": "^[^\x00]*$"}
        case "integer":
            bound = 2 ** (column.bits - 1)
            return {"type": "integer", "minimum": -bound, "maximum": bound - 1}
        case "decimal":
            return {"type": "string", "pattern": DECIMAL}
        case "double":
            return {"type": "number", "minimum": -1e300, "maximum": 1e300}
        case "boolean":
            return {"type": "boolean"}
        case "date":
            return {"type": "string", "format": "date"}
    return {"type": "string", "format": "date-time", "pattern": r"^[0-9]{4}-[^.]*(\.[0-9]{1,6})?Z$"}


def parameter(name: str, schema: Json, place: str = "query", example: Any = None) -> Json:
    """A parameter of a URL."""
    described: Json = {"name": name, "in": place, "schema": schema, "required": place == "path"}
    if schema.get("type") == "array":
        described |= {"style": "form", "explode": False}
    return described if example is None else {**described, "example": example}


def filters(column: Column) -> list[Json]:
    """The filters by a column, one for each operator."""
    found = []
    for operator in column.operators:
        name = f"{column.name}__{operator}" if operator else column.name
        described = parameter(name, parameter_schema(column, operator))
        described["description"] = f"{column.name} {_OF_OPERATORS[operator]}"
        if not operator:
            described["description"] = column.description
        found.append(described)
    return found
