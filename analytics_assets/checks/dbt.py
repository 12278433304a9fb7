"""The tests of the dbt project as checks of one shape with the others.

Belongs here: what each kind of test says beside its verdict: which rows fail, and what one could
do. Does not belong here: the tests (the dbt project), or the step that runs them (`assets.dbt`).

dbt gives the verdict. It counts results of the test's query, which are no rows where it groups
them, and it shows no keys: of a test that has failed the rows are looked for here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dagster import AssetCheckResult, AssetCheckSeverity

from analytics_assets.checks import reconciliation, rows
from analytics_assets.checks.base import KEYS_SHOWN, Check, Finding, rows_in_words
from analytics_assets.checks.reconciliation import Equation, Side
from analytics_assets.checks.rows import ListedRows, RowRule
from analytics_assets.checks.scans import Scans, scan
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES, Table
from analytics_assets.schemas.marts import GONE, NEW
from analytics_assets.warehouse.session import Session

WINDOWED = "in_window:"  # as the project's tests say that they look at the window
OTHER_REMEDY = "Look at the rows that the query lists, and at the model that made them."


def checks(manifest: Mapping[str, Any]) -> dict[tuple[str, str], Check]:
    """A check for each test of a model, by the model and the test's name."""
    nodes = manifest["nodes"]
    found = (
        _check(node)
        for node in nodes.values()
        if node["resource_type"] == "test" and node.get("attached_node") in nodes
    )
    return {(check.asset, check.name): check for check in found}


def told(
    session: Session,
    scans: Scans,
    check: Check,
    window: Window | None,
    verdict: AssetCheckResult,
) -> Finding:
    """What a test has found, with the rows that fail where it has failed.

    Args:
        session: to the warehouse, as dbt has left it.
        scans: of the step: the rows of a table are counted once for all its tests.
        check: the test.
        window: of the run.
        verdict: what dagster-dbt makes of dbt's result.
    """
    table = TABLES[check.asset]
    seen = window if table.day_column else None
    if verdict.passed:
        counted = scans.days(scan(table.relation, table.day_column, seen), "count(*)")
        rows_seen = sum(counted.values())
        words = rows_in_words(rows_seen, 0)
        found = Finding(check, True, words, window=seen, rows=rows_seen, failing=0, threshold=0.0)
    else:
        found = _evidence(session, check, window)
        if found.passed:
            count = verdict.metadata.get("dagster_dbt/failed_row_count")
            words = f"dbt counts {count.value} results" if count else "dbt could not evaluate it"
            found = replace(found, description=f"{words}; its log says more", failing=None)
    duration = verdict.metadata.get("Execution Duration")
    return replace(
        found,
        passed=bool(verdict.passed),
        severe=verdict.severity == AssetCheckSeverity.ERROR,
        seconds=float(str(duration.value)) if duration else 0.0,
    )


def _evidence(session: Session, check: Check, window: Window | None) -> Finding:
    scans = Scans(session)
    if isinstance(check.rule, RowRule | ListedRows):
        (finding,) = rows.evaluate(session, scans, [check], window)
        return finding
    totals: Mapping[str, Equation] = check.rule or {}
    unequal = {
        column: finding
        for column, equation in totals.items()
        for finding in reconciliation.evaluate(
            session, scans, [replace(check, rule=equation)], window
        )
        if not finding.passed
    }
    if not unequal:
        return Finding(check, passed=True, description="")
    first = next(iter(unequal.values()))
    return replace(
        first,
        check=check,
        description="; ".join(f"{name}: {one.description}" for name, one in unequal.items()),
        keys=[{"column": name, **key} for name, one in unequal.items() for key in one.keys][
            :KEYS_SHOWN
        ],
        query=";\n".join(f"-- {name}\n{one.query}" for name, one in unequal.items()),
    )


def _check(node: Mapping[str, Any]) -> Check:
    table = TABLES[node["attached_node"].split(".")[-1]]
    test = node.get("test_metadata") or {"name": "", "kwargs": {}}
    where = node["config"].get("where") or WINDOWED
    made = KINDS.get(test["name"], _other) if where.startswith(WINDOWED) else _other
    others = [
        TABLES[name.split(".")[-1]]
        for name in node["depends_on"]["nodes"]
        if name.startswith("model.") and name != node["attached_node"]
    ]
    description, dimension, remedy, rule = made(table, test["kwargs"], others)
    return Check(
        "dbt",
        table.name,
        node["name"],
        node.get("description") or description,
        dimension,
        remedy,
        rule,
        severe_share=0.0 if node["config"]["severity"].lower() == "error" else None,
    )


Made = tuple[str, str, str, Any]


def _unique(table: Table, arguments: Mapping[str, Any], others: list[Table]) -> Made:
    columns = arguments["columns"]
    key = ", ".join(columns)
    missing = " OR ".join(f"{column} IS NULL" for column in columns)
    days = f"min({table.day_column})" if table.day_column else "NULL::DATE"
    return (
        f"No {key} stands twice or is missing in {table.relation}.",
        "uniqueness",
        "A model joins a row to several, or groups by less than its key. Load the days of the "
        "listed keys again; if they still stand twice, correct the model's SQL.",
        ListedRows(
            f"SELECT {key}, {days} AS day, count(*) AS rows\nFROM {table.relation}\n"
            f"WHERE {{window}}\nGROUP BY {key}\nHAVING count(*) > 1 OR {missing}",
            total=table.relation,
            day_column=table.day_column,
            keys=tuple(columns),
        ),
    )


def _accepted(table: Table, arguments: Mapping[str, Any], others: list[Table]) -> Made:
    column = arguments["column_name"]
    quote = "'" if arguments.get("quote", True) else ""
    quoted = [str(value).replace("'", "''") for value in arguments["values"]]
    values = ", ".join(f"{quote}{value}{quote}" for value in quoted)
    return (
        f"{column} of {table.relation} is one of {', '.join(map(str, arguments['values']))}.",
        "validity",
        f"Map the word that {column} has in the source configuration (status_map), or correct the "
        "model that derives it, and load the days again; a new word that is right belongs into the "
        "test and the table's model.",
        # What holds a wrong value may hold any: it names no row.
        RowRule(
            f"{column} NOT IN ({values})",
            keys=tuple(name for name in table.key if name != column),
        ),
    )


def _relationship(table: Table, arguments: Mapping[str, Any], others: list[Table]) -> Made:
    column, field = arguments["column_name"], arguments["field"]
    (to,) = others or [table]
    return (
        f"Every {column} of {table.relation} is a member of {to.relation}.",
        "consistency",
        f"{to.name} has to be made before {table.name}: build both for the days of the listed "
        "rows, or hold the rows until the member arrives.",
        RowRule(
            f"{column} NOT IN (SELECT {field} FROM {to.relation} WHERE {field} IS NOT NULL)",
            applies=f"{column} IS NOT NULL",
        ),
    )


def _totals(table: Table, arguments: Mapping[str, Any], others: list[Table]) -> Made:
    day = arguments.get("window_column")
    (source,) = others
    return (
        f"{', '.join(arguments['totals'])} add up to the same in {table.relation} and in "
        f"{source.relation}.",
        "consistency",
        reconciliation.REMEDY,
        {
            column: Equation(
                Side(table.relation, f"coalesce(sum({column}), 0)", day),
                (Side(source.relation, f"coalesce(sum({expression}), 0)", day),),
                windowed=day is not None,
                money=True,
            )
            for column, expression in arguments["totals"].items()
        },
    )


def _missing(table: Table, arguments: Mapping[str, Any], others: list[Table]) -> Made:
    column = arguments["column_name"]
    return (
        f"{column} of {table.relation} is never missing.",
        "completeness",
        "Ask the source for the values, or correct the model that loses them.",
        RowRule(f"{column} IS NULL", keys=tuple(name for name in table.key if name != column)),
    )


def _moves(table: Table, arguments: Mapping[str, Any], others: list[Table]) -> Made:
    month_before = "(month - INTERVAL 1 MONTH)::DATE"
    months = f"(SELECT month FROM {table.relation})"
    return (
        f"Who went to a segment in a month of {table.relation} comes from it in the next.",
        "consistency",
        "Make the month again, and the months after it: late rows change how many customers were "
        "in a segment at its end.",
        ListedRows(
            "WITH sides AS (\n"
            "    SELECT (month + INTERVAL 1 MONTH)::DATE AS month, to_segment AS segment, "
            f"customers\n    FROM {table.relation} WHERE to_segment <> '{GONE}'\n    UNION ALL\n"
            f"    SELECT month, from_segment, -customers\n    FROM {table.relation} "
            f"WHERE from_segment <> '{NEW}'\n)\n"
            "SELECT month, segment, NULL::DATE AS day, sum(customers) AS surplus\nFROM sides\n"
            f"WHERE month IN {months} AND {month_before} IN {months}\n"
            "GROUP BY month, segment\nHAVING surplus <> 0",
            total=table.relation,
            day_column=None,
            keys=("month", "segment"),
        ),
    )


def _other(table: Table, arguments: Mapping[str, Any], others: list[Table]) -> Made:
    """A test that a team has added: dbt's verdict and count, and no rows."""
    return f"A test of {table.relation} in the dbt project.", "validity", OTHER_REMEDY, None


KINDS = {
    "unique_combination": _unique,
    "accepted_values": _accepted,
    "relationships": _relationship,
    "totals_equal": _totals,
    "not_null": _missing,
    "moves_add_up": _moves,
}
