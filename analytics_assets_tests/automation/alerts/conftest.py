"""What the tests of alerts share: an instance, runs in it, and a published copy by hand."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dagster
import duckdb
import pytest
from dagster import DagsterInstance

from analytics_assets.automation.instance import prepare_instance
from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings

DAY = date(2024, 2, 28)
FAILED = "[dev] load_days failed at fail, day 2024-02-28"


def titles(received: list[dict[str, str]]) -> list[str]:
    """The first lines of messages."""
    return [message["text"].splitlines()[0] for message in received]


@dagster.op
def fail() -> None:
    raise ValueError("customer canary@example.com has no order")


@dagster.op
def succeed() -> None:
    pass


@dagster.job(name=LOAD_DAYS)
def failing_load() -> None:
    fail()


@dagster.job(name=LOAD_DAYS)
def good_load() -> None:
    succeed()


@dagster.asset
def orders() -> None:
    pass


@dagster.asset_check(asset=orders)
def add_up(context: dagster.AssetCheckExecutionContext) -> dagster.AssetCheckResult:
    failing = int(context.run.tags.get("failing", 0))
    severity = context.run.tags.get("severity", "ERROR")
    return dagster.AssetCheckResult(
        passed=not failing,
        severity=dagster.AssetCheckSeverity(severity),
        metadata={"failing rows": failing, "remedy": "Correct the   orders."},
    )


CHECK = next(iter(add_up.check_keys))


def load(instance: DagsterInstance, *days: str, fails: bool = False) -> str:
    tags = range_tags(Window.of_days(*days)) if days else {}
    job = failing_load if fails else good_load
    result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    assert result.success != fails
    return result.run_id


def check(instance: DagsterInstance, **tags: Any) -> str:
    texts = {name: str(value) for name, value in tags.items()}
    return dagster.materialize([orders, add_up], instance=instance, tags=texts).run_id


@pytest.fixture
def instance(settings: Settings) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance


def publish(settings: Settings, build: int = 1, **rows: list[dict[str, Any]]) -> Path:
    """A build with rows of some tables; columns that are not given are empty."""
    folder = settings.published_dir / f"{build:06d}"
    folder.mkdir(parents=True)
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        fill(connection, **rows)
    pointer = settings.published_dir / "CURRENT"
    pointer.write_text(f"{folder.name}/warehouse.duckdb\n")
    return folder / "warehouse.duckdb"


def fill(connection: duckdb.DuckDBPyConnection, **rows: list[dict[str, Any]]) -> None:
    for name, of_table in rows.items():
        table = TABLES[name]
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.group}")
        connection.execute(table.ddl.replace(" NOT NULL", ""))
        for row in of_table:
            columns = ", ".join(row)
            marks = ", ".join("?" for _ in row)
            connection.execute(
                f"INSERT INTO {table.relation} ({columns}) VALUES ({marks})", [*row.values()]
            )
