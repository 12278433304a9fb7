"""Hooks into dbt, dbt-duckdb and dagster-dbt.

dagster-dbt imports dbt where it is installed, for a handful of constants, and so would every load
of the definitions: as long again as all the rest. `dbt.version` is hidden from it while it is
imported; it then has the same words of its own. Import its names from here.

`DbtCoreCliEventMessage` and `get_subset_selection_for_context` are what dagster-dbt's own
`DbtCliResource` translates events and selections with; that one starts a process for each call.
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
    """Run a command of dbt in this process, and leave nothing of it open.

    dbt-duckdb keeps the file open when dbt is done, and with it the file's lock, and dbt its
    listeners: no public call closes either.

    Args:
        command: the arguments of dbt's command line.
        listen: takes each event of dbt's.

    Returns:
        dbt's result of the command.
    """
    # Imported here: dbt costs two seconds, and loading the definitions needs none of it.
    handlers = [*logging.getLogger().handlers]
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import cleanup_connections
    from dbt.cli.main import dbtRunner
    from dbt_common.events.event_manager_client import cleanup_event_logger

    # Some import of dbt's adds one, which would print Dagster's log again.
    logging.getLogger().handlers = handlers
    try:
        return dbtRunner(callbacks=[listen]).invoke([*command])
    finally:
        cleanup_connections()
        with suppress(Exception):  # there is none where dbt has opened no file
            DuckDBConnectionManager.env().close()
        DuckDBConnectionManager.close_all_connections()
        cleanup_event_logger()
