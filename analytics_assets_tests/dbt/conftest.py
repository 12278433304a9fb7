"""A small warehouse, built once by dbt; each test that changes it gets its own copy."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dbt.cli.main import dbtRunnerResult

from analytics_assets.assets.dbt.models import READ_BY_VIEWS
from analytics_assets.compat.dbt import call_dbt
from analytics_assets.schemas import TABLES
from analytics_assets_tests.conftest import made_once, share_parsed

PROJECT = Path(__file__).parents[2] / "dbt_project"
DBT_TABLES = [
    table
    for table in TABLES.values()
    if table.group in ("staging", "core", "marts")
    or table.name in ("churn_features", "churn_windows", "churn_outcomes")
]
SPAN = ("2024-01-01", "2024-03-01")

# 60 days from 2024-01-01, six orders a day of up to three lines: customers and products with and
# without a row in their own source, missing ones, copies, corrections, returns, cancellations.
FILL = """
insert into raw.raw_orders by name
with lines as (
    select
        date '2024-01-01' + cast(d as integer) as order_date,
        format('O{}-{}', d, o) as order_id,
        cast(l as integer) as line_number,
        case when (d + o) % 7 = 0 then null else format('C{}', (d * 5 + o * o) % 23) end
            as customer_id,
        case when (d + l) % 11 = 0 then null else format('P{}', (d + o * l) % 9) end as product_id,
        cast(case when (d + o + l) % 10 = 0 then -1 else 1 + (d * l) % 4 end as decimal(18, 4))
            as quantity,
        cast(1 + (d * 3 + o * 7 + l) % 50 + 0.335 as decimal(18, 4)) as unit_price,
        case when (d + o) % 13 = 0 then 'cancelled' else 'completed' end as status,
        case when o % 2 = 0 then 'France' else 'Spain' end as country,
        case when o < 4 then 'Channel ' || (o % 2) end as channel,
        d % 17 = 16 and l = 2 as is_refund, false as amount_is_total,
        case when d % 3 > 0 then 2.5 end as cost, case when l = 3 then 0.5 end as discount,
        0.25 as tax, 1 as shipping,
        order_date + to_hours(cast(8 + o as integer)) as ordered_at,
        d, o, l
    from range(60) days (d), range(6) orders (o), range(1, 4) lines (l)
    where l <= 1 + (d + o) % 3
)
select
    * exclude (d, o, l), 'Name' as product_name, 'Kind ' || (d % 3) as product_category,
    case when l = 1 then cast(quantity * unit_price as decimal(18, 4)) end as amount,
    ordered_at as updated_at, 'a.csv' as source_file,
    row_number() over (order by d, o, l) as source_row, ordered_at as loaded_at
from lines
union all by name
select
    * exclude (d, o, l) replace (quantity + 1 as quantity),
    ordered_at + interval 1 hour as updated_at, 'b.csv' as source_file,
    row_number() over (order by d, o, l) as source_row, ordered_at as loaded_at
from lines where (d + o + l) % 17 = 0;

insert into raw.raw_user_sessions by name
select
    format('S{}-{}', d, s) as session_id,
    case when s = 0 then null else format('C{}', (d * 3 + s) % 27) end as customer_id,
    date '2024-01-01' + cast(d as integer) as session_date,
    session_date + to_hours(cast(s as integer)) as started_at,
    case when s <> 1 then started_at + interval 5 minute end as ended_at,
    3 as page_views, 'Mobile' as device, 'email' as channel, 's.csv' as source_file,
    row_number() over (order by d, s) as source_row, started_at as loaded_at
from range(60) days (d), range(4) sessions (s);

insert into raw.raw_support_tickets by name
with opened as (
    select
        format('T{}-{}', d, t) as ticket_id,
        case when t = 0 and d % 5 = 0 then null else format('C{}', (d * 7 + t) % 25) end
            as customer_id,
        date '2024-01-01' + cast(d as integer) as ticket_date,
        ticket_date + to_hours(cast(9 + t as integer)) as opened_at, d, t
    from range(60) days (d), range(3) tickets (t)
)
select
    * exclude (d, t), 'Open' as status, 'Email' as channel, 'normal' as priority,
    opened_at as updated_at, 't.csv' as source_file,
    row_number() over (order by d, t) as source_row, opened_at as loaded_at
from opened
union all by name
-- Resolved after some days, which is also when that became known.
select
    * exclude (d, t), opened_at + to_hours(cast(5 + 30 * (d % 4) as integer)) as resolved_at,
    'Solved' as status, 4 as satisfaction, resolved_at as updated_at, 'u.csv' as source_file,
    row_number() over (order by d, t) as source_row, opened_at as loaded_at
from opened where t < 2;

insert into raw.raw_customers by name
select
    format('C{}', c) as customer_id, format('secret{}@example.com', c) as email,
    'Secretfirst' as first_name, 'Secretlast' as last_name,
    timestamp '2023-12-20 12:00:00' + to_days(cast(c * 2 as integer)) as registered_at,
    case when c % 4 > 0 then 'France' end as country, 'Paris' as city, 'c.csv' as source_file,
    c + 1 as source_row, registered_at as loaded_at
from range(18) customers (c);

insert into raw.raw_products by name
select
    format('P{}', p) as product_id, 'Product' as product_name, 'Toys' as category,
    9.99 as list_price, 5 as unit_cost, 'p.csv' as source_file, p + 1 as source_row,
    timestamp '2024-01-01' as loaded_at
from range(6) products (p);

insert into raw.source_loads
select source, date '2024-01-01' + cast(d as integer), 'v1', 0, 0, 0, 0, 0,
    timestamp '2024-03-01', timestamp '2024-03-01'
from range(60) days (d),
    (values ('orders'), ('user_sessions'), ('support_tickets')) sources (source);
"""


class Warehouse:
    """A DuckDB file and the dbt runs on it, of the project as the fixture `manifest` parsed it."""

    def __init__(self, directory: Path, manifest: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "warehouse.duckdb"
        self.template = self.path  # what a change is undone from
        self.target = directory / "target"
        share_parsed(manifest, self.path, self.target)
        self.compiled: dict[str, str] = {}  # SELECT of each model over SPAN, by name

    def create(self, *statements: str) -> None:
        """A new file with the raw tables, then the statements."""
        self.path.unlink(missing_ok=True)
        groups = sorted({table.group for table in TABLES.values()})
        self.execute(*(f"CREATE SCHEMA IF NOT EXISTS {group}" for group in groups))
        of_python = [TABLES[name] for name in READ_BY_VIEWS]
        of_python += [table for table in TABLES.values() if table.group == "raw"]
        self.execute(*(table.ddl for table in of_python), *statements)

    def execute(self, *statements: str) -> None:
        with duckdb.connect(str(self.path)) as connection:
            for statement in statements:
                connection.execute(statement)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def rows(self, relation: str) -> list[tuple[Any, ...]]:
        return self.query(f"select * from {relation} order by all")

    def types(self, relation: str) -> dict[str, str]:
        return {row[0]: row[1] for row in self.query(f"describe {relation}")}

    def dbt(
        self,
        *arguments: str,
        window: tuple[str, str] | None = None,
        listen: Callable[[Any], None] = lambda event: None,
        **variables: str,
    ) -> dbtRunnerResult:
        """Run dbt in this process, for speed; all that it takes from outside is given."""
        environment = {
            "ANALYTICS_WAREHOUSE": str(self.path),
            "ANALYTICS_DBT_TESTS": "block",  # as it was parsed
            **variables,
        }
        if window:
            environment["ANALYTICS_WINDOW_START"], environment["ANALYTICS_WINDOW_END"] = window
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("ANALYTICS_", "DBT_"))]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            result: dbtRunnerResult = call_dbt(
                [
                    *arguments,
                    *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
                    *("--target", "dev", "--target-path", str(self.target)),
                    *("--log-path", str(self.path.parent / "logs")),
                    *("--quiet", "--no-write-json"),
                ],
                listen,
            )
            return result

    def built(
        self, *arguments: str, window: tuple[str, str] | None = None, **variables: str
    ) -> None:
        """Run dbt, which has to succeed."""
        result = self.dbt(*arguments, window=window, **variables)
        assert result.success, failures(result)


def failures(result: dbtRunnerResult) -> str:
    """What dbt says about everything that did not pass."""
    if result.exception:
        return str(result.exception)
    results = getattr(result.result, "results", [])
    return "\n".join(
        f"{r.node.name}: {r.message}" for r in results if r.status not in ("success", "pass")
    )


@pytest.fixture(scope="session")
def built_warehouse(
    shared: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> Warehouse:
    """The small warehouse with every model and every data test of dbt run: only for reading."""

    def built(folder: Path) -> tuple[Path, dict[str, str]]:
        warehouse = Warehouse(folder, manifest)
        warehouse.create(FILL)
        warehouse.built("build", "--exclude-resource-type", "unit_test", window=SPAN)
        models = warehouse.target / "compiled" / "analytics_assets" / "models"
        return warehouse.path, {file.stem: file.read_text() for file in models.rglob("*.sql")}

    warehouse = Warehouse(tmp_path_factory.mktemp("dbt"), manifest)
    warehouse.template, warehouse.compiled = made_once(shared / "dbt", built)
    shutil.copy(warehouse.template, warehouse.path)
    return warehouse


@pytest.fixture
def warehouse(built_warehouse: Warehouse) -> Iterator[Warehouse]:
    """The small warehouse, to be changed."""
    yield built_warehouse
    shutil.copy(built_warehouse.template, built_warehouse.path)
    built_warehouse.path.with_name("warehouse.duckdb.wal").unlink(missing_ok=True)


@pytest.fixture
def empty_warehouse(warehouse: Warehouse) -> Warehouse:
    """Raw tables without a row, and nothing else."""
    warehouse.create()
    return warehouse
