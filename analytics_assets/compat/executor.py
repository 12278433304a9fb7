"""Hooks into Dagster's executor and its run storage in PostgreSQL.

The executor is where a run begins in its process, before its first step: nothing public is.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from dagster import DagsterInstance, ExecutorDefinition, InitExecutorContext, executor
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.in_process import InProcessExecutor
from sqlalchemy import text

# What goes on while a run executes, from the instance and the id of the run.
During = Callable[[DagsterInstance, str], AbstractContextManager[Any]]


def in_process_executor(during: During) -> ExecutorDefinition:
    """Dagster's executor of one process, with something that goes on during the run."""

    class Accompanied(InProcessExecutor):
        def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
            with during(plan_context.instance, plan_context.dagster_run.run_id):
                yield from super().execute(plan_context, execution_plan)

    @executor(name="in_process", config_schema=IN_PROC_CONFIG)
    def in_process(context: InitExecutorContext) -> InProcessExecutor:
        config: Any = context.executor_config
        return Accompanied(
            retries=RetryMode.from_config(config["retries"]),  # type: ignore[arg-type]
            step_dependency_config=StepDependencyConfig.from_config(
                config.get("step_dependency_config")
            ),
        )

    return in_process


def in_postgres(instance: DagsterInstance) -> bool:
    """Whether the instance has its records in PostgreSQL, which other machines can share."""
    return type(instance.run_storage).__name__ == "PostgresRunStorage"


def seconds_since(instance: DagsterInstance, beat: float) -> float:
    """Seconds since a time of the database's clock; those that the server was away do not count."""
    statement = text(
        "SELECT extract(epoch FROM clock_timestamp() - "
        "greatest(to_timestamp(:beat), pg_postmaster_start_time()))"
    )
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        return float(connection.execute(statement, {"beat": beat}).scalar())


def now(instance: DagsterInstance) -> float:
    """The time by the database's clock."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        statement = text("SELECT extract(epoch FROM clock_timestamp())")
        return float(connection.execute(statement).scalar())


def forget(instance: DagsterInstance, key: str) -> None:
    """Delete a value of the storage's key-value table; the public interface cannot."""
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(text("DELETE FROM kvs WHERE key = :key"), {"key": key})
