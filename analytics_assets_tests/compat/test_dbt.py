"""Each hook into dbt, dbt-duckdb and dagster-dbt still does what we use it for."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import (
    AssetExecutionContext,
    AssetMaterialization,
    AssetSelection,
    Output,
    materialize,
)
from dagster_dbt import get_asset_key_for_model
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt_common.events.event_manager_client import get_event_manager

from analytics_assets.assets.dbt.command import DbtCommand
from analytics_assets.assets.dbt.models import dbt_project
from analytics_assets.compat.dbt import (
    DagsterDbtTranslator,
    DbtCoreCliEventMessage,
    dbt_assets,
    get_subset_selection_for_context,
    validate_manifest,
)
from analytics_assets.definitions import build_warehouse
from analytics_assets.partitions import Window
from analytics_assets.settings import Settings
from analytics_assets_tests.dbt.conftest import Warehouse
from analytics_assets_tests.test_definitions import python

WITHOUT_DBT = """
import logging, sys
from analytics_assets.compat.dbt import call_dbt
from analytics_assets.definitions import defs
assert defs().get_repository_def().asset_graph
assert not [name for name in sys.modules if name.split(".")[0] == "dbt"]
handlers = [*logging.getLogger().handlers]
call_dbt(["no such command"], print)  # imports dbt
assert logging.getLogger().handlers == handlers
from dagster_dbt import compat
from dbt.contracts.results import NodeStatus, TestStatus
from dbt.node_types import REFABLE_NODE_TYPES, NodeType
for ours, of_dbt in (
    (compat.NodeStatus, NodeStatus), (compat.TestStatus, TestStatus), (compat.NodeType, NodeType)
):
    assert ours is not of_dbt
    words = {member.name: str(member) for member in of_dbt}
    assert {m.name: str(m) for m in ours if m.name in words}.items() <= words.items()
assert set(map(str, REFABLE_NODE_TYPES)) - {"function"} == set(map(str, compat.REFABLE_NODE_TYPES))
"""


def test_definitions_load_without_dbt_whose_words_dagster_dbt_has(
    parsed_settings: Settings,
) -> None:
    result = python(WITHOUT_DBT, ANALYTICS_HOME=str(parsed_settings.home))
    assert result.returncode == 0, result.stderr


def test_call_dbt_leaves_nothing_open(manifest: Path, tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path, manifest)
    warehouse.create()
    left = []

    def leave_a_handle(event: Any) -> None:
        # As an interrupted statement does; dbt-duckdb counts the handles, and closes with the last.
        if event.info.name == "ShowNode":
            left.append(DuckDBConnectionManager.env().handle())

    result = warehouse.dbt("show", "--inline", "select 1 as one", listen=leave_a_handle)
    assert result.success
    assert left
    # DuckDB refuses other options while the file is open in this process.
    duckdb.connect(str(warehouse.path), config={"threads": 1}).close()
    assert get_event_manager().callbacks == []
    with pytest.raises(Exception, match="before creation"):
        DuckDBConnectionManager.env()


def test_dbt_core_cli_event_message(parsed_settings: Settings) -> None:
    build_warehouse(parsed_settings).prepare(["stg_orders"])
    results: list[dict[str, Any]] = []
    target = parsed_settings.home / "target"
    window = Window(date(2024, 1, 1), date(2024, 1, 2))
    command = ["run", "--select", "fact_orders"]
    DbtCommand(parsed_settings).run(command, target, window, results.append)
    (event,) = DbtCoreCliEventMessage(results[0], {}).to_default_asset_events(
        validate_manifest(parsed_settings.dbt_target_dir / "manifest.json"),
        DagsterDbtTranslator(),
        None,
        target,
        dbt_project(parsed_settings),
    )
    assert isinstance(event, AssetMaterialization)
    assert event.asset_key.path[-1] == "fact_orders"


def test_get_subset_selection_for_context(manifest: Path) -> None:
    parsed = validate_manifest(manifest)
    selections = []

    @dbt_assets(manifest=parsed)
    def models(context: AssetExecutionContext) -> Any:
        selections.append(
            get_subset_selection_for_context(
                context, parsed, "fqn:*", "", "", DagsterDbtTranslator(), None
            )
        )
        for name in context.op_execution_context.selected_output_names:
            yield Output(None, name)

    key = get_asset_key_for_model([models], "fact_orders")
    assert materialize([models], selection=AssetSelection.assets(key).without_checks()).success
    (((flag, selected), _),) = selections
    assert (flag, selected) == ("--select", "analytics_assets.core.fact_orders")
