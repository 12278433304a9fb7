"""The schema check of every table: types and values as its Pandera model declares them.

Belongs here: evaluating a model's rules in the warehouse, for the window only. Pandera checks the
columns; its rules of nulls and values become conditions of one scan, which other families share.
(Pandera's own backend runs a query for each rule, and copies each view.) Does not belong here: the
rules (`schemas`).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import MetadataValue

from analytics_assets.checks.base import Check, Finding, fetch_keys
from analytics_assets.checks.scans import Scans, count_where, scan
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES, Table
from analytics_assets.sources.declared import SOURCES
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import window_predicate

CHECK_NAME = "schema"
# Tables that may have no rows: rejected rows, corrections of a later day, a churn model without
# enough history, performance before a window has closed.
MAY_BE_EMPTY = (
    *(source.corrections for source in SOURCES.values() if source.corrections),
    *(table.name for table in TABLES.values() if table.may_be_empty or table.group == "churn"),
)
# Tables that store the rows of a view unchanged: a rule that both declare is evaluated on the table
# only, because each query computes the view again. That no row is missing is checked by accounting.
STORED_IN = {
    **{f"stg_{name}": source.fact for name, source in SOURCES.items() if source.fact},
    "churn_outcomes": "churn_predictions",
}
REMEDY = (
    "Rows of a raw table: the load accepted what the model refuses; load the days again. Rows of a "
    "model: correct its SQL or the declared rule. Columns or types: analytics-assets run "
    "migrates tables of other code and loads their days again. An empty table: check whether the "
    "source has rows and whether the load ran."
)


def checks(tables: Sequence[Table]) -> Iterator[Check]:
    """One check for each table."""
    for table in tables:
        yield Check(
            "schema",
            table.name,
            CHECK_NAME,
            f"Columns, types, nulls and values of {table.relation} are as its model declares, in "
            "the run's window, and the table is not empty.",
            "validity",
            REMEDY,
            table,
        )


def want(session: Session, scans: Scans, checks: Sequence[Check], window: Window | None) -> None:
    """Request the counts of rows and of broken rules of each table that has its columns."""
    for check in checks:
        table = TABLES[check.asset]
        if not structure_problems(session, table):
            scans.want(_scan(table, window), "count(*)", *(_count(r) for r in rules(table)))


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """Validate tables, or a window of those with days, without reading rows into Python."""
    for check in checks:
        began = time.perf_counter()
        table = TABLES[check.asset]
        days = window if table.day_column else None
        problems = structure_problems(session, table)
        rows, spent = 0, time.perf_counter() - began
        if not problems:
            rows, problems = _broken_rules(scans, table, window)
            spent += scans.seconds(_scan(table, window), 1 + len(rules(table)))
        began = time.perf_counter()
        empty = not rows and not problems and table.name not in MAY_BE_EMPTY
        if empty and days:
            # A window may have no rows, but the whole table may not.
            empty = not session.rows(f"SELECT 1 FROM {table.relation} LIMIT 1")
        keys, query = _failing_rows(session, table, days, problems)
        if problems and not query:
            query = f"DESCRIBE {table.relation}"
        named = "; ".join(f"{problem['column']}: {problem['rule']}" for problem in problems)[:500]
        yield Finding(
            check,
            passed=not problems and not empty,
            description=named
            or ("the table is empty" if empty else f"{rows:,} rows keep every rule"),
            severe=not empty,
            window=days,
            rows=rows,
            failing=sum(problem["failing rows"] for problem in problems),
            keys=keys,
            query=query,
            details={"problems": MetadataValue.json(problems)} if problems else {},
            seconds=spent + time.perf_counter() - began,
        )


@dataclass(frozen=True)
class Rule:
    """A declared rule of a column, and the SQL condition of rows that break it."""

    column: str
    name: str
    broken: str


def rules(table: Table) -> list[Rule]:
    """The rules of nulls and values to evaluate on a table."""
    stored = TABLES.get(STORED_IN.get(table.name, ""))
    elsewhere = _declared(stored) if stored else []
    return [rule for rule in _declared(table) if rule not in elsewhere]


def _declared(table: Table) -> list[Rule]:
    rules = []
    for name, column in table.schema.columns.items():
        value = f'"{name}"'
        # NaN counts as missing.
        missing = f"({value} IS NULL OR isnan({value}))" if _floats(column) else f"{value} IS NULL"
        if not column.nullable:
            rules.append(Rule(name, "not_nullable", missing))
        rules += [Rule(name, check.name, _broken(value, check)) for check in column.checks]
    return rules


def _floats(column: Any) -> bool:
    return column.dtype.type.is_floating()


def _broken(value: str, check: Any) -> str:
    figures = check.statistics
    if check.name == "isin":
        allowed = ", ".join(
            str(word) if isinstance(word, int) else f"'{word}'"
            for word in sorted(figures["allowed_values"])
        )
        return f"{value} NOT IN ({allowed})"
    if check.name == "greater_than_or_equal_to":
        return f"{value} < {figures['min_value']}"
    if check.name == "in_range":
        return f"{value} NOT BETWEEN {figures['min_value']} AND {figures['max_value']}"
    raise NotImplementedError(f"no SQL for the check {check.name}")


def structure_problems(session: Session, table: Table) -> list[dict[str, Any]]:
    """Columns that are missing, unknown or of another type, as Pandera reports them.

    Pandera takes 50 ms for each table: it is called only if the columns are not as declared.
    """
    # Imported here: only a run needs them, and every load of the definitions would pay for them.
    from pandera.config import ValidationDepth, config_context
    from pandera.errors import SchemaErrors

    if not session.exists(table):
        return [{"column": "", "rule": "the table does not exist", "failing rows": 0}]
    if session.has_declared_columns(table):
        return []
    try:
        with config_context(validation_depth=ValidationDepth.SCHEMA_ONLY):
            table.schema.validate(session.ibis(table), lazy=True)
    except SchemaErrors as errors:
        return [_problem(error) for error in errors.schema_errors]
    return []


def _problem(error: Any) -> dict[str, Any]:
    rule = error.check if isinstance(error.check, str) else error.check.name
    column = str(error.schema.name or "")
    if rule in ("column_in_dataframe", "column_in_schema"):
        column = str(error.failure_cases)  # the name of the column
    return {"column": column, "rule": str(rule), "failing rows": 0}


def _scan(table: Table, window: Window | None) -> str:
    return scan(table.relation, table.day_column, window)


def _count(rule: Rule) -> str:
    value = f'"{rule.column}"'
    if rule.broken == f"{value} IS NULL":
        return f"count(*) - count({value})"  # reads no value
    return count_where(rule.broken)


def _broken_rules(
    scans: Scans, table: Table, window: Window | None
) -> tuple[int, list[dict[str, Any]]]:
    """The number of rows, and the rules that some of them break."""
    of_table = _scan(table, window)
    rows = sum(scans.days(of_table, "count(*)").values())
    problems = []
    for rule in rules(table):
        failing = sum(scans.days(of_table, _count(rule)).values())
        if failing:
            problems.append({"column": rule.column, "rule": rule.name, "failing rows": failing})
    return rows, problems


def _failing_rows(
    session: Session, table: Table, window: Window | None, problems: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], str | None]:
    """Keys of a few rows that break a value rule, and SQL that lists all of them."""
    wrong = {problem["column"] for problem in problems if problem["failing rows"]}
    broken = [rule.broken for rule in rules(table) if rule.column in wrong]
    if not broken:
        return [], None
    listing = (
        f"FROM {table.relation}\nWHERE {window_predicate(str(table.day_column), window)}\n"
        f"    AND ({' OR '.join(broken)})"
    )
    # Not from columns with wrong values: they might be personal.
    names = [name for name in table.key if name not in wrong]
    return fetch_keys(session, names, listing), f"SELECT *\n{listing}"
