"""What dbt's project says of a table is what its Pandera model says."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from dbt.contracts.graph.manifest import WritableManifest as Manifest

from analytics_assets.schemas import TABLES, Table
from analytics_assets.schemas.churn import FEATURE_COLUMNS
from analytics_assets.schemas.core import UNKNOWN_MEMBER
from analytics_assets.schemas.dbt_yaml import COMMAND, write_yaml, yaml_files

from .conftest import DBT_TABLES, PROJECT

BY_NAME = pytest.mark.parametrize("table", DBT_TABLES, ids=lambda table: table.name)


@pytest.fixture(scope="module")
def manifest(manifest: Path) -> Any:
    """dbt's manifest, as dbt's own object."""
    return Manifest.from_dict(json.loads(manifest.read_text()))


def model(manifest: Any, table: Table) -> Any:
    return manifest.nodes[f"model.analytics_assets.{table.name}"]


def test_every_model_is_declared(manifest: Any) -> None:
    models = {node.name for node in manifest.nodes.values() if node.resource_type == "model"}
    assert models == {table.name for table in DBT_TABLES}


@BY_NAME
def test_descriptions_and_order_of_columns(manifest: Any, table: Table) -> None:
    node = model(manifest, table)
    assert node.description == table.summary
    described = [
        (name, column.description, column.data_type) for name, column in node.columns.items()
    ]
    declared = [
        (name, column.description, table.sql_types[name])
        for name, column in table.schema.columns.items()
    ]
    assert described == declared


@BY_NAME
def test_layer_and_window(manifest: Any, table: Table) -> None:
    node = model(manifest, table)
    assert node.schema == table.group
    assert node.config.meta.get("window_column") == table.window_column
    assert set(node.tags) == {table.group, table.partitioning or "unpartitioned"}
    assert node.config.incremental_strategy == ("window" if table.window_column else None)


def test_the_generated_files_are_up_to_date() -> None:
    for path, text in yaml_files(PROJECT).items():
        assert path.read_text() == text, f"{path.name} is out of date: run `{COMMAND}`"


def test_a_changed_file_is_written_again_and_no_other(tmp_path: Path) -> None:
    project = tmp_path / "dbt_project"
    shutil.copytree(PROJECT / "models", project / "models")
    changed = project / "models/core/core.yml"
    changed.write_text("models: []")
    assert write_yaml(project) == [changed]
    assert changed.read_text() == (PROJECT / "models/core/core.yml").read_text()


def test_sources_are_tables_that_python_writes(manifest: Any) -> None:
    assert manifest.sources
    for source in manifest.sources.values():
        table = TABLES[source.name]
        assert (source.schema, source.description) == (table.group, table.summary)


def test_the_tests_say_what_they_prove_and_what_to_do(manifest: Any) -> None:
    tests = [node for node in manifest.nodes.values() if node.resource_type == "test"]
    assert tests
    for node in tests:
        assert node.config.meta["description"].endswith("."), node.name
        assert node.config.meta["remedy"].endswith("."), node.name


def test_the_unknown_member_has_one_name() -> None:
    assert f"'{UNKNOWN_MEMBER}'" in Path(PROJECT / "macros/common.sql").read_text()


def test_scoring_and_training_share_the_features() -> None:
    for name in ("customer_analytics_daily", "churn_features"):
        assert tuple(TABLES[name].columns[3 : 3 + len(FEATURE_COLUMNS)]) == FEATURE_COLUMNS


def test_no_model_reads_the_clock() -> None:
    for path in [*PROJECT.glob("models/**/*.sql"), *PROJECT.glob("macros/**/*.sql")]:
        text = path.read_text().lower()
        assert not any(word in text for word in ("current_", "now()", "today()")), path


def test_personal_columns_end_in_staging() -> None:
    personal = {c for t in TABLES.values() if t.group == "staging" for c in t.personal_columns}
    assert personal == {"email", "first_name", "last_name", "user_agent", "properties"}
    for table in DBT_TABLES:
        if table.group != "staging":
            assert not personal & set(table.columns), table.name
