"""The dbt models as assets: staging, core, marts and churn_features.

Belongs here: the translation of the dbt project into assets, and the one step that builds the
selected models of a window. Does not belong here: SQL (the dbt project) or columns (`schemas`).
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    Failure,
    Output,
    PartitionsDefinition,
    ResourceParam,
    TableColumnLineage,
)
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    DbtProject,
    dbt_assets,
)
from dagster_dbt.dbt_manifest import validate_manifest
from dagster_dbt.errors import DagsterDbtCliRuntimeError
from packaging.version import Version

from analytics_assets.assets.common import POOL, RETRY, run_window, table_spec
from analytics_assets.assets.lineage import column_lineage
from analytics_assets.assets.mart_plots import PLOTS
from analytics_assets.assets.thresholds import read_thresholds
from analytics_assets.checks import dbt as dbt_tests
from analytics_assets.checks.base import Check
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window, add_partition_metadata
from analytics_assets.schemas import TABLES, Table
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.windows import partition_row_counts

_DBT_FILES = (".sql", ".yml", ".md")


class DbtProjectError(RuntimeError):
    """dbt cannot parse the project; the message is dbt's."""


SUBSCRIPTION_MODELS = ("stg_subscriptions", "subscription_analytics", "churn_by_contract")
# Other models read these: an empty table stands for each whose source is not configured.
STAND_INS = {
    "customers": ("stg_customers",),
    "products": ("stg_products",),
    "user_sessions": ("stg_user_sessions", "fact_user_sessions", "session_corrections"),
}


def stand_ins(sources: SourcesConfig) -> list[str]:
    """Models in whose place an empty table is read."""
    if not sources.has_orders:
        return []
    return [model for source in sources.absent for model in STAND_INS.get(source, ())]


def absent_models(sources: SourcesConfig, manifest: Path) -> list[str]:
    """Models that only a source fills which is not configured: no assets.

    Args:
        sources: the configured sources.
        manifest: dbt's, which has all models.
    """
    absent = stand_ins(sources)
    if "subscriptions" in sources.absent:
        absent += SUBSCRIPTION_MODELS
    if not sources.has_orders:
        nodes = json.loads(manifest.read_text(encoding="utf-8"))["nodes"].values()
        models = [node["name"] for node in nodes if node["resource_type"] == "model"]
        absent += [name for name in models if name not in SUBSCRIPTION_MODELS]
    return absent


def dbt_project(settings: Settings) -> DbtProject:
    """The dbt project of a deployment, its manifest under ANALYTICS_HOME."""
    return DbtProject(
        project_dir=settings.dbt_project_dir,
        profiles_dir=settings.dbt_project_dir,
        target_path=settings.dbt_target_dir,
        target=settings.deployment,
    )


def dbt_executable() -> str:
    """The dbt beside this Python: the PATH of a service need not name the environment."""
    return str(Path(sys.executable).with_name("dbt"))


class DbtCommand(DbtCliResource):
    """`DbtCliResource` without the 3 seconds that it adds to each call.

    It asks dbt for its version in a process of its own, and makes an adapter in this one to fetch
    row counts and columns with; the version is known, and we count rows ourselves.
    """

    @cached_property
    def _cli_version(self) -> Version:
        return Version(metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        return None


def dbt_command(settings: Settings) -> DbtCommand:
    """The resource that calls dbt."""
    project: Any = dbt_project(settings)  # taken in place of a path, whatever the annotation says
    return DbtCommand(project_dir=project, dbt_executable=dbt_executable())


def prepare_manifest(settings: Settings) -> Path:
    """Parse the dbt project unless it has been parsed as it is.

    Dagster's own `prepare_if_dev` acts only under its dev command line.

    Raises:
        DbtProjectError: dbt cannot parse the project; the message is dbt's.
    """
    manifest = settings.dbt_target_dir / "manifest.json"
    parsed = settings.dbt_target_dir / "parsed.txt"
    # Whether tests block, warn or are off is read when the project is parsed.
    content = f"{_project_hash(settings.dbt_project_dir)} {settings.checks['dbt']}"
    # By content: an image or a rollback brings new code with old times.
    if manifest.is_file() and parsed.is_file() and parsed.read_text() == content:
        return manifest
    settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        [dbt_executable(), "--quiet", "parse", "--target", settings.deployment],
        cwd=settings.dbt_project_dir,
        env={
            **os.environ,
            **_dbt_environment(settings, settings.dbt_target_dir),
            "DBT_LOG_PATH": str(settings.dbt_target_dir),
        },
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise DbtProjectError(f"dbt cannot parse the project:\n{result.stdout}{result.stderr}")
    parsed.write_text(content)
    return manifest


def _project_hash(project_dir: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(project_dir.rglob("*")):
        if path.suffix in _DBT_FILES:
            digest.update(f"{path.relative_to(project_dir)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


class Translator(DagsterDbtTranslator):
    """Makes of each dbt model the asset that its declared table describes."""

    def __init__(
        self,
        partitions: Mapping[str | None, PartitionsDefinition | None],
        known: frozenset[str],
        knobs: str,
        tests: Mapping[tuple[str, str], Check],
        policy: str,
    ) -> None:
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))
        self._partitions = partitions
        self._known = known
        self._knobs = knobs
        self._tests = tests
        self._policy = policy

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        """The spec of a model; its key is the table's name."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        name = unique_id.split(".")[-1]
        if not unique_id.startswith("model."):
            return spec.replace_attributes(key=AssetKey(name))
        table = TABLES[name]
        ours = table_spec(
            table,
            kinds={"dbt", "duckdb"},
            deps=[],
            partitions_def=self._partitions[table.partitioning],
            code_version=_model_version(manifest, unique_id, self._knobs),
        )
        return spec.replace_attributes(
            key=ours.key,
            group_name=ours.group_name,
            description=ours.description,
            owners=ours.owners,
            kinds=ours.kinds,
            tags=ours.tags,
            partitions_def=ours.partitions_def,
            code_version=ours.code_version,
            metadata={**spec.metadata, **ours.metadata},
            deps=self._deps(spec),
        )

    def get_asset_check_spec(
        self,
        asset_spec: AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> AssetCheckSpec | None:
        """The spec of a test: what holds when it passes, and what one could do."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        if spec is None:
            return None
        ours = self._tests[spec.asset_key.path[-1], spec.name].spec(self._policy)
        return spec._replace(
            description=ours.description, metadata={**spec.metadata, **ours.metadata}
        )

    def _deps(self, spec: AssetSpec) -> list[AssetDep]:
        deps = {dep.asset_key.path[-1]: dep for dep in spec.deps}
        # The ledger of loads is no asset: the load of orders writes it.
        if deps.pop("source_loads", None):
            deps.setdefault("raw_orders", AssetDep("raw_orders"))
        return [dep for name, dep in deps.items() if name in self._known]


def dbt_models(
    settings: Settings,
    sources: SourcesConfig,
    partitions: Mapping[str | None, PartitionsDefinition | None],
) -> AssetsDefinition:
    """All models as one multi-asset: one call of dbt builds whatever a run selects of it.

    A step for each layer would cost a dbt start each; the models' order is dbt's business.
    """
    manifest = prepare_manifest(settings)
    absent = absent_models(sources, manifest)
    empty = stand_ins(sources)
    known = frozenset(TABLES) - {*absent, *(f"raw_{name}" for name in sources.absent)}
    project = dbt_project(settings)
    thresholds = read_thresholds(settings.dbt_project_dir)
    overwritten = ",".join(name for name, source in sources.sources.items() if source.overwrites)
    policy = settings.checks["dbt"]
    tests = dbt_tests.checks(validate_manifest(manifest))
    knobs = f"{thresholds}{settings.churn_horizon_days}{overwritten}"
    translator = Translator(partitions, known, knobs, tests, policy)

    @dbt_assets(
        manifest=manifest,
        project=project,
        name="dbt_models",
        exclude=" ".join(["resource_type:unit_test", *absent]),
        dagster_dbt_translator=translator,
        backfill_policy=BackfillPolicy.single_run(),
        pool=POOL,
        retry_policy=RETRY,
    )
    def models(
        context: AssetExecutionContext, dbt: DbtCliResource, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[Any]:
        selected = [TABLES[key.path[-1]] for key in context.selected_asset_keys]
        window = run_window(
            context.run.tags, monthly=any(table.partitioning == "monthly" for table in selected)
        )
        warehouse.prepare(empty)
        target = settings.dbt_target_dir / "runs" / context.run.run_id[:8]
        events: list[Any] = []
        failure: DagsterDbtCliRuntimeError | None = None
        environment = _dbt_environment(settings, settings.dbt_target_dir, window)
        with _environment({**environment, "ANALYTICS_OVERWRITTEN_SOURCES": overwritten}):
            invocation = dbt.cli(
                ["build", "--exclude-resource-type", "unit_test"],
                context=context,
                target_path=target,
            )
            try:
                for event in invocation.stream():
                    events.append(event)  # noqa: PERF402  (what came before a failure counts)
            except DagsterDbtCliRuntimeError as error:
                failure = error
        # Row counts are asked for here: dagster-dbt's own way leaves the file locked in this
        # process, and stamps the whole range's count on each partition.
        lineage = column_lineage(target, selected, settings.dbt_target_dir / "lineage.json")
        built = {
            context.asset_key_for_output(event.output_name).path[-1]
            for event in events
            if isinstance(event, Output)
        }
        with warehouse.read() as connection:
            for table in selected:
                if table.name in built:
                    _add_metadata(context, connection, table, window, lineage.get(table.name))
            scans = Scans(connection)
            for position, event in enumerate(events):
                if isinstance(event, AssetCheckResult):
                    test = tests[
                        str(event.asset_key and event.asset_key.path[-1]), str(event.check_name)
                    ]
                    found = dbt_tests.told(connection, scans, test, window, event)
                    events[position] = found.result(policy)
        yield from events
        if failure and any(isinstance(e, AssetCheckResult) and not e.passed for e in events):
            raise Failure(f"dbt tests failed: {failure}", allow_retries=False) from failure
        if failure:
            raise failure
        shutil.rmtree(target, ignore_errors=True)

    return models


def _add_metadata(
    context: AssetExecutionContext,
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    window: Window | None,
    lineage: TableColumnLineage | None,
) -> None:
    metadata: dict[str, Any] = {"dagster/column_lineage": lineage} if lineage else {}
    plot = PLOTS.get(table.name)
    if plot:
        metadata |= plot(connection)
    if table.partitioning and window:
        counts = partition_row_counts(connection, table, window)
        add_partition_metadata(
            context.get_step_execution_context(),
            AssetKey(table.name),
            {day: {"dagster/partition_row_count": rows} for day, rows in counts.items()},
            metadata,
        )
        return
    if table.group != "staging":
        # Counting a view would run it.
        row = connection.execute(f"SELECT count(*) FROM {table.relation}").fetchone()
        metadata["dagster/row_count"] = row[0] if row else 0
    context.add_asset_metadata(metadata, table.name)


def _dbt_environment(
    settings: Settings, target: Path, window: Window | None = None
) -> dict[str, str]:
    environment = {**settings.dbt_environment, "DBT_TARGET_PATH": str(target)}
    if window:
        environment["ANALYTICS_WINDOW_START"] = window.start.isoformat()
        environment["ANALYTICS_WINDOW_END"] = window.end.isoformat()
    return environment


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the dbt process; vars would throw away dbt's partial parse."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _model_version(manifest: Mapping[str, Any], unique_id: str, knobs: str) -> str:
    """Changes with the model's SQL, with any macro of the project, and with its thresholds."""
    digest = hashlib.sha256(manifest["nodes"][unique_id]["raw_code"].encode())
    digest.update(knobs.encode())
    package = manifest["nodes"][unique_id]["package_name"]
    for macro_id in sorted(manifest["macros"]):
        macro = manifest["macros"][macro_id]
        if macro["package_name"] == package:
            digest.update(macro["macro_sql"].encode())
    return digest.hexdigest()[:12]
