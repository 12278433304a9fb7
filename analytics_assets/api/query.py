"""A request for rows of a table: filters, sort, columns and page, and the SQL for them.

Belongs here: what may be asked, and SQL built from declared names with bound values. Does not
belong here: who may ask (`access`), or how answers are written (`formats`).

`column=value` is equality, `column__operator=value` the rest. Conditions are joined by AND. Nulls
come last in every order. Rows with equal sort values are ordered by the table's key, then by their
place in the build, so that each order is total.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from analytics_assets.api.columns import Column, columns_of
from analytics_assets.api.problems import ProblemError, bad_request
from analytics_assets.quoting import identifier
from analytics_assets.schemas import Table

WORDS = ("columns", "sort", "limit", "cursor", "build")
DEFAULT_LIMIT = 100
MOST_CONDITIONS = 200
MOST_VALUES = 500
ROW = "_row"  # the place of a row in the build
_SIGNS = {"": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass(frozen=True)
class Condition:
    """A filter: a column, an operator and its values."""

    column: Column
    operator: str
    values: tuple[Any, ...]

    def sql(self) -> tuple[str, list[Any]]:
        """SQL with its parameters."""
        name = stored(self.column.name)
        if self.operator == "is_null":
            return f"{name} IS {'' if self.values[0] else 'NOT '}NULL", []
        if self.operator == "in":
            return f"{name} IN ({', '.join('?' * len(self.values))})", [*self.values]
        if self.operator == "prefix":
            return f"starts_with({name}, ?)", [*self.values]
        return f"{name} {_SIGNS[self.operator]} ?", [*self.values]


@dataclass(frozen=True)
class TableQuery:
    """What is asked of a table.

    Attributes:
        table: the table.
        columns: the columns of the answer, in order.
        conditions: the filters.
        sort: columns to sort by, each with whether it descends; the key is not part of it.
        limit: rows of a page.
        cursor: the cursor, as it came; None for the first page.
        build: number of the build that is asked for; None for the current one.
    """

    table: Table
    columns: tuple[Column, ...]
    conditions: tuple[Condition, ...]
    sort: tuple[tuple[Column, bool], ...]
    limit: int
    cursor: str | None
    build: str | None

    @property
    def order(self) -> list[tuple[str, bool]]:
        """All columns of the order, with whether they descend: those of sort, then the key."""
        order = [(column.name, descends) for column, descends in self.sort]
        named = {name for name, _ in order}
        return [*order, *((name, False) for name in self.table.key if name not in named)]

    @property
    def fingerprint(self) -> str:
        """Hash of what a cursor goes with: everything but the page's size and place."""
        parts = [
            self.table.name,
            [column.name for column in self.columns],
            [(c.column.name, c.operator, [repr(v) for v in c.values]) for c in self.conditions],
            [(column.name, descends) for column, descends in self.sort],
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def anchor_sql(self) -> str:
        """The values of the order in the row whose place is bound."""
        names = ", ".join(identifier(name) for name, _ in self.order)
        return f"SELECT {names} FROM {self.table.relation} WHERE rowid = ?"

    def page_sql(
        self, selected: Sequence[str], after: tuple[Sequence[Any], int] | None, extra: int = 1
    ) -> tuple[str, list[Any]]:
        """The rows of a page, and one more where there is one.

        Args:
            selected: SQL expressions of the columns.
            after: values of the order, and the place, of the last row of the page before.
            extra: rows beyond the limit.

        Returns:
            SQL, whose last column is the place of the row, and its parameters.
        """
        conditions, parameters = [], []
        for condition in self.conditions:
            sql, values = condition.sql()
            conditions.append(sql)
            parameters += values
        if after is not None:
            sql, values = self._after(*after)
            conditions.append(f"({sql})")
            parameters += values
        order = [
            f"{stored(name)} {'DESC' if descends else 'ASC'} NULLS LAST"
            for name, descends in self.order
        ]
        by = f"ORDER BY {', '.join([*order, 'rowid'])}"
        # Which rows first, then their columns: to sort whole rows takes ten times as long.
        return (
            f"SELECT {', '.join([*selected, f'rowid AS {ROW}'])} FROM {self.table.relation} t "
            f"WHERE rowid IN (SELECT rowid FROM {self.table.relation} t "
            f"WHERE {' AND '.join(conditions) or 'TRUE'} {by} LIMIT {self.limit + extra}) {by}"
        ), parameters

    def _after(self, values: Sequence[Any], place: int) -> tuple[str, list[Any]]:
        """The condition of the rows that come later than one, in the order."""
        later: list[str] = []
        parameters: list[Any] = []
        same: list[str] = []
        of_same: list[Any] = []
        for (name, descends), value in zip(self.order, values, strict=True):
            column = stored(name)
            if value is None:
                # Nulls are last: no row is later by this column.
                same.append(f"{column} IS NULL")
                continue
            sign = "<" if descends else ">"
            nulls = f" OR {column} IS NULL" if columns_of(self.table)[name].nullable else ""
            later.append(" AND ".join([*same, f"({column} {sign} ?{nulls})"]))
            parameters += [*of_same, value]
            same.append(f"{column} = ?")
            of_same.append(value)
        later.append(" AND ".join([*same, "rowid > ?"]))
        return " OR ".join(f"({part})" for part in later), [*parameters, *of_same, place]


def stored(name: str) -> str:
    """A column of the table, where the answer has an expression of the same name."""
    return f"t.{identifier(name)}"


def parse_query(
    table: Table, pairs: Iterable[tuple[str, str]], allowed: Sequence[Column], most: int
) -> TableQuery:
    """Read the parameters of a URL.

    Args:
        table: the table.
        pairs: names and values, in order; a name may come again.
        allowed: the columns that the caller may read, which are the answer's by default.
        most: most rows of a page.

    Raises:
        ProblemError: a name, a type, an operator or a number is wrong.
    """
    words: dict[str, str] = {}
    conditions: list[Condition] = []
    of_table, by_name = columns_of(table), {column.name: column for column in allowed}
    for name, text in pairs:
        if name in WORDS:
            if name in words:
                raise bad_request("repeated", f"{name} is given twice; give it once.")
            words[name] = text
            continue
        base, _, operator = name.partition("__")
        column = _named(base, table, of_table, by_name)
        if operator not in column.operators or name.endswith("__"):
            known = ", ".join(f"{base}__{o}" if o else base for o in column.operators)
            raise bad_request("unknown-operator", f"{base} has no such operator; use {known}.")
        conditions.append(Condition(column, operator, _values(column, operator, text)))
        if len(conditions) > MOST_CONDITIONS:
            raise bad_request("too-many", f"Use at most {MOST_CONDITIONS} filters.")
    columns = tuple(allowed)
    if "columns" in words:
        names = words["columns"].split(",")
        if len(set(names)) < len(names):
            raise bad_request("repeated", "columns names one twice; name each once.")
        columns = tuple(_named(name, table, of_table, by_name) for name in names)
    sort: list[tuple[Column, bool]] = []
    for name in words["sort"].split(",") if "sort" in words else ():
        column = _named(name.removeprefix("-"), table, of_table, by_name)
        if column in [one for one, _ in sort]:
            raise bad_request("repeated", f"sort names {column.name} twice; name it once.")
        sort.append((column, name.startswith("-")))
    return TableQuery(
        table,
        columns,
        tuple(conditions),
        tuple(sort),
        _limit(words.get("limit"), most),
        words.get("cursor"),
        _build(words.get("build")),
    )


def _named(
    name: str, table: Table, of_table: dict[str, Column], allowed: dict[str, Column]
) -> Column:
    if name in allowed:
        return allowed[name]
    if name in of_table:
        raise ProblemError(
            403,
            "column-not-allowed",
            f"Column {name} of {table.name} is not in the scopes of this caller, or not in this "
            "build. Leave it out, or ask for a key with that column; personal columns need the "
            "scope personal.",
        )
    raise bad_request(
        "unknown-column",
        f"{table.name} has no such column; GET /v1/tables/{table.name} without parameters, or "
        "/v1/tables, shows its columns.",
    )


def _values(column: Column, operator: str, text: str) -> tuple[Any, ...]:
    if operator == "is_null":
        if text not in ("true", "false"):
            raise bad_request("wrong-value", f"{column.name}__is_null is true or false.")
        return (text == "true",)
    if operator == "prefix":
        if not text or len(text) > 1000 or "\0" in text:
            raise bad_request("wrong-value", f"{column.name}__prefix needs 1 to 1000 characters.")
        return (text,)
    if operator != "in":
        return (column.parse(text),)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[""]]
    except csv.Error:
        lines = []
    if len(lines) != 1:
        raise bad_request(
            "wrong-value",
            f"{column.name}__in cannot be read; separate values by commas, and put a value with a "
            'comma, a quote or a line break into double quotes, as in "a,b",c.',
        )
    texts = lines[0] or [""]
    if len(texts) > MOST_VALUES:
        raise bad_request("too-many", f"{column.name}__in has at most {MOST_VALUES} values.")
    return tuple(column.parse(one) for one in texts)


def _limit(text: str | None, most: int) -> int:
    if text is None:
        return min(DEFAULT_LIMIT, most)
    if re.fullmatch(r"[0-9]{1,9}", text) and 1 <= int(text) <= most:
        return int(text)
    raise bad_request("wrong-value", f"limit is a whole number from 1 to {most}.")


def _build(text: str | None) -> str | None:
    if text is None or re.fullmatch(r"[0-9]{6,12}", text):
        return text
    raise bad_request("wrong-value", "build is the number of a build, such as 000012.")
