"""The contract of events: which fields an event has, as JSON Schema and as columns of Spark.

Belongs here: each field once, and when an event breaks the contract. Does not belong here: reading
a topic, or what becomes of events (`lake`).

A field is read as its text first and then converted, so that 12.10 is not a float on the way, and
a broken field has a reason of its own. Versions are `major.minor`: another major version may mean
something else, and its events are dead letters. A newer minor version may only add fields; fields
that are not declared are kept as they came.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Column

VERSION = "1.0"
MAJOR = VERSION.partition(".")[0]
TOPICS = ("customer-events", "purchase-events", "session-events")
DEAD_LETTER_TOPIC = "dead-letters"
PURCHASE = "purchase"
MOST_TEXT = 4096  # characters of a field

# What a value looks like as text. JSON Schema and Spark have the same idea of these.
TEXT = r"^[^{\[]"  # a text, not an object or a list
TIME = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$"
NUMBER = r"^\d{1,13}(\.\d+)?([eE][+-]?\d{1,2})?$"
OBJECT = r"^\{[\s\S]*\}$"
VERSION_TEXT = r"^\d{1,4}(\.\d{1,4})?$"


@dataclass(frozen=True)
class Field:
    """A field of an event.

    Attributes:
        name: of the field, and of the column in the lake.
        meaning: for people.
        sql: type of the column, in Spark and in DuckDB.
        required: an event without it is a dead letter; of purchases only, if `purchase`.
        purchase: only purchases have it.
        pattern: what its text looks like.
        types: JSON types that are read; a number or a truth value is read as its text.
    """

    name: str
    meaning: str
    sql: str = "string"
    required: bool = False
    purchase: bool = False
    pattern: str = TEXT
    types: tuple[str, ...] = ("string", "number", "boolean")


FIELDS = (
    Field(
        "event_id",
        "Identifier of the event; each copy of it has the same, and the same event_time",
        required=True,
    ),
    Field("event_type", "What happened, such as page_view; purchase is a purchase", required=True),
    Field(
        "event_time",
        "When it happened: RFC 3339, with an offset",
        sql="timestamp",
        required=True,
        pattern=TIME,
        types=("string",),
    ),
    Field("customer_id", "Customer; null when anonymous"),
    Field("session_id", "Session that the site or app has given to the visitor"),
    Field("page_url", "Page on which it happened"),
    Field("user_agent", "Browser or app"),
    Field(
        "properties",
        "Further values: a JSON object, or its text",
        pattern=OBJECT,
        types=("object", "string"),
    ),
    Field(
        "order_total",
        "Money of the purchase, rounded to four decimals",
        sql="decimal(18,4)",
        required=True,
        purchase=True,
        pattern=NUMBER,
        types=("number", "string"),
    ),
    Field("product_category", "Category of what was bought", purchase=True),
    Field("payment_method", "How it was paid", purchase=True),
    Field(
        "schema_version",
        f"Version of this contract, {VERSION} where it is missing",
        pattern=VERSION_TEXT,
        types=("string", "number"),
    ),
)
NAMES = tuple(field.name for field in FIELDS)
CORRUPT = "_corrupt_record"  # Spark's own name of the text that it cannot parse
UNKNOWN = "unknown_fields"  # the column of fields that are not declared, as a JSON object


def json_schema() -> dict[str, Any]:
    """The contract as JSON Schema (draft 2020-12), for producers."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Event, version {VERSION}",
        "type": "object",
        "properties": {field.name: _json_type(field) for field in FIELDS},
        "required": [field.name for field in FIELDS if field.required and not field.purchase],
        "anyOf": [
            {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
            for name in ("customer_id", "session_id")
        ],
        "if": {"properties": {"event_type": {"const": PURCHASE}}},
        "then": {
            "required": [field.name for field in FIELDS if field.required and field.purchase],
            "properties": {
                field.name: {"type": list(field.types)}
                for field in FIELDS
                if field.required and field.purchase
            },
        },
        # Fields that are not declared are kept.
        "additionalProperties": True,
    }


def _json_type(field: Field) -> dict[str, Any]:
    types = [*field.types, *([] if field.required and not field.purchase else ["null"])]
    declared: dict[str, Any] = {"description": field.meaning, "type": types}
    if "string" in field.types:
        declared["pattern"] = field.pattern
        declared["maxLength"] = MOST_TEXT
    if field.name == "schema_version":
        declared["pattern"] = rf"^{MAJOR}(\.\d{{1,4}})?$"
        declared |= {"minimum": int(MAJOR), "exclusiveMaximum": int(MAJOR) + 1}
    if "number" in field.types and field.pattern == NUMBER:
        declared |= {"minimum": 0, "exclusiveMaximum": 1e13}
    return declared


def parse_schema() -> str:
    """The schema that Spark reads the JSON with: each field as its text."""
    return ", ".join(f"{name} string" for name in (*NAMES, CORRUPT))


def unknown_fields(text: str) -> "Column":
    """The fields that are not declared, as a JSON object of texts; null without any.

    Args:
        text: the column with the JSON.
    """
    from pyspark.sql import functions as fn

    known = ", ".join(f"'{name}'" for name in NAMES)
    return fn.expr(
        f"CASE WHEN size(array_except(json_object_keys({text}), array({known}))) > 0 THEN "
        f"to_json(map_filter(from_json({text}, 'map<string,string>'), "
        f"(name, field) -> NOT array_contains(array({known}), name))) END"
    )


def columns(event: str) -> Mapping[str, "Column"]:
    """The typed column of each field, of a struct of texts.

    Args:
        event: the column with the struct.
    """
    from pyspark.sql import functions as fn

    return {
        field.name: (
            fn.col(f"{event}.{field.name}")
            if field.sql == "string"
            else fn.expr(f"try_cast({event}.{field.name} AS {field.sql})")
        ).alias(field.name)
        for field in FIELDS
    } | {
        "schema_version": fn.coalesce(fn.col(f"{event}.schema_version"), fn.lit(VERSION)).alias(
            "schema_version"
        )
    }


def reasons(value: str, text: str, event: str) -> "Column":
    """Why a message breaks the contract, joined by '; '; an empty text where it does not.

    Args:
        value: the column with the bytes of the message.
        text: the column with them as text; null where they are not UTF-8.
        event: the column with the struct of texts.
    """
    from pyspark.sql import functions as fn

    rules = []
    for field in FIELDS:
        own = f"{event}.{field.name}"
        if field.required:
            applies = f"{event}.event_type = '{PURCHASE}'" if field.purchase else "TRUE"
            rules.append((f"{own} IS NULL AND {applies}", f"{field.name}: is missing"))
        broken = f"NOT ({own} RLIKE '{_sql(field.pattern)}')"
        if field.pattern == OBJECT:
            broken += f" OR ({own} IS NOT NULL AND try_parse_json({own}) IS NULL)"
        if field.sql != "string":
            broken += f" OR ({own} IS NOT NULL AND try_cast({own} AS {field.sql}) IS NULL)"
        if "string" in field.types:
            broken += f" OR length({own}) > {MOST_TEXT}"
        rules.append((f"({broken})", f"{field.name}: {_wrong(field)}"))
    rules.append(
        (
            f"{event}.schema_version RLIKE '{_sql(VERSION_TEXT)}' "
            f"AND NOT ({event}.schema_version RLIKE '^{MAJOR}([.]|$)')",
            f"schema_version: only versions {MAJOR}.x are read",
        )
    )
    rules.append(
        (
            f"{event}.customer_id IS NULL AND {event}.session_id IS NULL",
            "customer_id, session_id: both are missing",
        )
    )
    parts = ", ".join(f"CASE WHEN {when} THEN '{_sql(why)}' END" for when, why in rules)
    # Spark reads the first object of a text and leaves the rest.
    outside_texts = f"""regexp_replace({text}, '"(\\\\\\\\.|[^"\\\\\\\\])*"', '')"""
    return fn.expr(
        f"CASE WHEN {value} IS NULL THEN 'no value' WHEN {text} IS NULL THEN 'not UTF-8' "
        f"WHEN {event} IS NULL OR {event}.{CORRUPT} IS NOT NULL "
        rf"OR NOT {text} RLIKE '^\\s*[{{][\\s\\S]*[}}]\\s*$' "
        rf"OR ({text} RLIKE '[}}][^\\]}},]*[{{]' AND {outside_texts} RLIKE '[}}]\\s*[{{]') "
        f"THEN 'no JSON object' ELSE concat_ws('; ', {parts}) END"
    )


def _wrong(field: Field) -> str:
    return {
        TIME: "is no time such as 2024-01-31T10:00:00Z",
        NUMBER: "is no amount from 0 up",
        VERSION_TEXT: "is no version such as 1.0",
        TEXT: f"is no text of up to {MOST_TEXT:,} characters",
    }.get(field.pattern, "is no object")


def _sql(text: str) -> str:
    return re.sub(r"(['\\])", r"\\\1", text)
