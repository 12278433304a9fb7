"""Rows of a shop for tests of the API, made by SQL from declared tables."""

from analytics_assets.schemas import TABLES, Table
from analytics_assets.warehouse.connection import SCHEMAS
from analytics_assets.warehouse.duckdb_engine import DuckDBSession

HOSTILE = (
    "=1+1",
    "+1",
    "-1",
    "@cmd",
    "\tx",
    'a"b',
    "a,b",
    "line\nbreak",
    "",
    "Zürich",
    "'); DROP TABLE x; --",
    "<script>",
)
DAYS = 3
# How many rows of each table, for each customer; those left out are empty.
ROWS = {
    "customer_analytics_daily": DAYS,
    "churn_predictions": DAYS,
    "customer_sales": 4,
    "customer_days": 4,
    "fact_orders": 5,
}
SINGLE = ("customer_cohort_analysis", "sales_daily", "dim_products", "dim_date")
OF_DAYS = ("data_quality_scores", "data_quality_metrics", "churn_drift", "pipeline_executions")
ABSENT = (  # no source supplies them
    *("fact_user_sessions", "session_corrections", "fact_events", "event_sessions"),
    *(name for name, table in TABLES.items() if table.is_optional),
)


def fill(session: DuckDBSession, customers: int, seed: int) -> None:
    """Write the tables that a build has, the same for the same seed."""
    for schema in SCHEMAS:
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for table in TABLES.values():
        if table.is_view or table.group in ("raw", "staging") or table.name in ABSENT:
            continue
        session.execute(f"DROP TABLE IF EXISTS {table.relation}")
        session.execute(table.ddl)
        for_each = ROWS.get(table.name, 1)
        if table.name in SINGLE or table.name in OF_DAYS:
            rows, for_each = 200, 1
        elif table.name == "churn_by_contract":
            rows = 3
        else:
            rows = customers * for_each
        columns = ", ".join(_column(table, name, for_each, seed) for name in table.columns)
        session.execute(f"INSERT INTO {table.relation} SELECT {columns} FROM range({rows}) AS r(i)")


def _column(table: Table, name: str, for_each: int, seed: int) -> str:
    """SQL of a column: a value from the row's number, and null now and then where it may be."""
    type_, declared = table.sql_types[name], table.schema.columns[name]
    dice = f"(hash(i, '{table.name}.{name}', {seed}) % 1000)::INTEGER"
    keyed = name in table.key or name in ("as_of",)
    choices = next(
        (c.statistics["allowed_values"] for c in declared.checks if c.name == "isin"), ()
    )
    if name == "customer_id":
        value = f"'C' || lpad((i // {for_each})::VARCHAR, 6, '0')"
    elif keyed and type_ == "DATE":
        value = f"DATE '2024-01-01' + (i % {for_each if for_each > 1 else 100000})::INTEGER"
        if name == "month":
            value = f"DATE '2024-01-01' + INTERVAL (i % {for_each}) MONTH"
    elif choices:
        texts = [f"'{c}'" if isinstance(c, str) else str(c) for c in choices]
        value = f"[{', '.join(texts)}][1 + {dice} % {len(texts)}]"
    elif keyed and "INT" in type_:
        value = "i"
    elif keyed:
        value = f"'{name} ' || i"
    elif type_ in ("VARCHAR", "TEXT"):
        texts = ["'" + text.replace("'", "''") + "'" for text in HOSTILE]
        value = f"[{', '.join(texts)}][1 + {dice} % {len(texts)}]"
    elif type_ == "BOOLEAN":
        value = f"{dice} % 2 = 0"
    elif type_ == "DATE":
        value = f"DATE '2024-01-01' + {dice} % 90"
    elif type_.startswith("TIMESTAMP"):
        value = f"TIMESTAMP '2024-01-01 00:00:00' + INTERVAL ({dice} * 1000) MILLISECOND"
    elif type_.startswith("DECIMAL"):
        value = f"(({dice} % 40) - 5) / 7"
    elif type_ == "DOUBLE":
        value = f"({dice} % 50) / 49.0"
    else:
        value = f"{dice} % 30"
    if declared.nullable and not choices:
        value = f"CASE WHEN {dice} % 7 = 0 THEN NULL ELSE {value} END"
    if (table.name, name) == ("churn_drift", "p_value"):
        value = f"[0.5, 'NaN'::DOUBLE, 'Infinity'::DOUBLE, '-Infinity'::DOUBLE][1 + {dice} % 4]"
    return f"{value} AS {name}"
