"""The declared columns as a caller sees them: types, and values read from text.

Belongs here: what a value of each type looks like in a URL. Does not belong here: filters and pages
(`query`), or how answers are written (`formats`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from analytics_assets.api.problems import bad_request
from analytics_assets.schemas import TABLES, Table
from analytics_assets.schemas.base import PersonClass
from analytics_assets.warehouse.publish import PUBLISHED_GROUPS

LONGEST_TEXT = 1000
OPERATORS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("integer", "decimal", "double", "date", "timestamp"),
        ("", "ne", "gt", "gte", "lt", "lte", "in", "is_null"),
    ),
    "text": ("", "ne", "gt", "gte", "lt", "lte", "in", "prefix", "is_null"),
    "boolean": ("", "ne", "is_null"),
}


@dataclass(frozen=True)
class Column:
    """A declared column.

    Attributes:
        name: its name.
        kind: text, integer, decimal, double, boolean, date or timestamp.
        bits: size of an integer.
        nullable: whether it may be null.
        person: what it says of a person, as the table declares it. A caller without the scope
            `personal` neither sees such columns nor filters by them.
        choices: the values it may have, where they are declared; else empty.
        bounds: its least and its greatest value, each None where none is declared.
        description: what it means.
    """

    name: str
    kind: str
    bits: int
    nullable: bool
    person: PersonClass | None
    choices: tuple[Any, ...]
    bounds: tuple[float | None, float | None]
    description: str

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators of its filters; empty for equality."""
        return OPERATORS[self.kind]

    def parse(self, text: str) -> Any:
        """A value from the text of a filter.

        Raises:
            ProblemError: it is none of this column's type, or none of its declared values.
        """
        value = _PARSERS[self.kind](self, text)
        if self.choices and value not in self.choices:
            choices = ", ".join(map(str, self.choices))
            raise bad_request(
                "wrong-value", f"{self.name} has no such value; it is one of {choices}."
            )
        return value


@cache
def columns_of(table: Table) -> dict[str, Column]:
    """The columns of a table by name, in order."""
    return {name: _column(name, declared) for name, declared in table.schema.columns.items()}


@cache
def readable_tables() -> dict[str, Table]:
    """The tables that a build may have, by name."""
    return {
        name: table
        for name, table in sorted(TABLES.items())
        if table.group in PUBLISHED_GROUPS and not table.is_view
    }


def _column(name: str, declared: Any) -> Column:
    kind, bits = "", 64
    match str(declared.dtype.type).removeprefix("!"):
        case "string":
            kind = "text"
        case "int32" | "int64" as integer:
            kind, bits = "integer", int(integer[3:])
        case "float64":
            kind = "double"
        case "boolean" | "date" as same:
            kind = same
        case other:
            kind = "timestamp" if other.startswith("timestamp") else "decimal"
    choices: tuple[Any, ...] = ()
    bounds: tuple[float | None, float | None] = (None, None)
    for check in declared.checks:
        if check.name == "isin":
            choices = tuple(check.statistics["allowed_values"])
        elif check.name == "in_range":
            bounds = (check.statistics["min_value"], check.statistics["max_value"])
        elif check.name == "greater_than_or_equal_to":
            bounds = (check.statistics["min_value"], None)
    return Column(
        *(
            name,
            kind,
            bits,
            declared.nullable,
            (declared.metadata or {}).get("person"),
            choices,
            bounds,
            declared.description or "",
        )
    )


def _wrong(column: Column, wanted: str) -> Exception:
    return bad_request("wrong-value", f"{column.name} is compared with {wanted}. Correct it.")


def _text(column: Column, text: str) -> str:
    if len(text) > LONGEST_TEXT or "\0" in text:
        raise _wrong(column, f"a text of at most {LONGEST_TEXT} characters, without zero bytes")
    return text


def _integer(column: Column, text: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,19}", text):
        value = int(text)
        if -(2 ** (column.bits - 1)) <= value < 2 ** (column.bits - 1):
            return value
    raise _wrong(column, f"a whole number of {column.bits} bits, such as 10")


def _decimal(column: Column, text: str) -> Decimal:
    # Another number of decimals would be rounded, or make a comparison of other types.
    if re.fullmatch(r"-?[0-9]{1,14}(\.[0-9]{1,4})?", text):
        return Decimal(text)
    raise _wrong(column, "a number with at most 14 digits and 4 decimals, such as 12.50")


def _double(column: Column, text: str) -> float:
    if re.fullmatch(r"-?([0-9]{1,30}(\.[0-9]{1,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?", text):
        value = float(text)
        if abs(value) != float("inf"):
            return value
    raise _wrong(column, "a number, such as 0.25")


def _boolean(column: Column, text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise _wrong(column, "true or false")


def _date(column: Column, text: str) -> date:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise _wrong(column, "a date, such as 2024-01-31")


def _timestamp(column: Column, text: str) -> datetime:
    """A time; without an offset it is UTC. A + that became a space in the URL is taken as +."""
    try:
        if re.fullmatch(
            r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,15}(Z|[+ -][0-9]{2}:[0-9]{2})?)?", text
        ):
            value = datetime.fromisoformat(text.replace(" ", "+"))
            return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        pass
    raise _wrong(column, "a time in UTC, such as 2024-01-31T12:00:00Z")


_PARSERS: dict[str, Callable[[Column, str], Any]] = {
    "text": _text,
    "integer": _integer,
    "decimal": _decimal,
    "double": _double,
    "boolean": _boolean,
    "date": _date,
    "timestamp": _timestamp,
}
