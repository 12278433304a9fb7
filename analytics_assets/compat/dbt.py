"""Hooks into dbt, dbt-duckdb and dagster-dbt.

dagster-dbt imports dbt, where it is installed, for a few constants. That would double the time to
load the definitions, so `dbt.version` is hidden while dagster-dbt is imported; it then uses its own
copies of the constants. Import its names from here.

`DbtCoreCliEventMessage` and `get_subset_selection_for_context` translate events and selections for
dagster-dbt's `DbtCliResource`, which starts a process for each call.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def _without_dbt() -> Iterator[None]:
    absent = "dbt.version" not in sys.modules
    if absent:
        sys.modules["dbt.version"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if absent:
            del sys.modules["dbt.version"]


with _without_dbt():
    from dagster_dbt import (
        DagsterDbtTranslator,
        DagsterDbtTranslatorSettings,
        DbtProject,
        dbt_assets,
    )
    from dagster_dbt.asset_utils import get_subset_selection_for_context
    from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
    from dagster_dbt.dbt_manifest import validate_manifest

__all__ = [
    "DagsterDbtTranslator",
    "DagsterDbtTranslatorSettings",
    "DbtCoreCliEventMessage",
    "DbtProject",
    "call_dbt",
    "dbt_assets",
    "get_subset_selection_for_context",
    "validate_manifest",
]


def call_dbt(command: Sequence[str], listen: Callable[[Any], None]) -> Any:
    """Run a dbt command in this process, and close everything that it opened.

    After a command dbt-duckdb keeps the file and its lock open, and dbt its listeners: no public
    call closes either.

    Args:
        command: the arguments of dbt's command line.
        listen: receives each event of dbt.

    Returns:
        dbt's result of the command.
    """
    # Imported here: dbt costs two seconds, and loading the definitions needs none of it.
    handlers = [*logging.getLogger().handlers]
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import cleanup_connections
    from dbt.cli.main import dbtRunner
    from dbt_common.events.event_manager_client import cleanup_event_logger

    # Importing dbt adds one, which would print Dagster's log again.
    logging.getLogger().handlers = handlers
    try:
        return dbtRunner(callbacks=[listen]).invoke([*command])
    finally:
        cleanup_connections()
        with suppress(Exception):  # there is none where dbt has opened no file
            DuckDBConnectionManager.env().close()
        DuckDBConnectionManager.close_all_connections()
        cleanup_event_logger()
