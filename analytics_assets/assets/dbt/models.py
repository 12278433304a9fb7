"""The dbt models as assets: staging, core, marts and churn.

Belongs here: the translation of the dbt project into assets, and the one step that builds the
selected models of a window. Does not belong here: running dbt (`assets.dbt.command`), SQL (the dbt
project) or columns (`schemas`).
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    DagsterExecutionInterruptedError,
    Failure,
    Output,
    PartitionsDefinition,
    ResourceParam,
    TableColumnLineage,
)

from analytics_assets.assets.common import RETRY, backfill_policy, run_started, table_spec
from analytics_assets.assets.dbt.command import DbtCommand, DbtError, prepare_manifest
from analytics_assets.assets.dbt.generations import Generation, built_from
from analytics_assets.assets.dbt.lineage import column_lineage
from analytics_assets.assets.dbt.thresholds import read_thresholds
from analytics_assets.checks import dbt as dbt_tests
from analytics_assets.checks.base import Check
from analytics_assets.checks.scans import Scans
from analytics_assets.compat.dagster import add_partition_metadata
from analytics_assets.compat.dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCoreCliEventMessage,
    DbtProject,
    dbt_assets,
    get_subset_selection_for_context,
    validate_manifest,
)
from analytics_assets.partitions import Window, run_window
from analytics_assets.reports.mart_plots import PLOTS
from analytics_assets.schemas import TABLES, Table
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared import LEADING
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.windows import partition_row_counts

# Tables that Python writes and views read. The views may be built before them, by the dbt call that
# builds the snapshot for the scores.
READ_BY_VIEWS = ("churn_predictions", "churn_model")


def absent_models(sources: SourcesConfig, manifest: Path) -> list[str]:
    """Models that depend only on sources which are not configured: they are no assets.

    Args:
        sources: the configured sources.
        manifest: dbt's manifest, with all models.
    """
    parsed = json.loads(manifest.read_text(encoding="utf-8"))
    return [
        node["name"]
        for key, node in parsed["nodes"].items()
        if _is_model(node) and not {*sources.sources} & fed_by(parsed["parent_map"], key)
    ]


def fed_by(parents: Mapping[str, list[str]], node: str) -> set[str]:
    """The sources that a model depends on, directly or through other models."""
    if not node.startswith("source."):
        return {source for parent in parents[node] for source in fed_by(parents, parent)}
    name = node.split(".")[-1]
    # The ledger of loads is not a source; models read it for the days of orders.
    return {LEADING if name == "source_loads" else name.removeprefix("raw_")}


def manifest_without(manifest: Path, absent: Collection[str]) -> dict[str, Any]:
    """Dbt's manifest without some models and their tests.

    With an exclusion instead, dagster-dbt would import dbt to evaluate the selection.
    """
    parsed = dict(validate_manifest(manifest))
    nodes: dict[str, Any] = parsed["nodes"]
    gone = {key for key, node in nodes.items() if _is_model(node) and node["name"] in absent}
    gone |= {
        key
        for key, node in nodes.items()
        if node["resource_type"] == "test" and gone & {*node["depends_on"]["nodes"]}
    }

    def left(keys: Iterable[str]) -> list[str]:
        return [key for key in keys if key not in gone]

    parsed["nodes"] = {
        key: {
            **nodes[key],
            "depends_on": {
                **nodes[key]["depends_on"],
                "nodes": left(nodes[key]["depends_on"]["nodes"]),
            },
        }
        for key in left(nodes)
    }
    for edges in ("parent_map", "child_map"):
        parsed[edges] = {key: left(parsed[edges][key]) for key in left(parsed[edges])}
    return parsed


def tests_without(manifest: Path, configured: Mapping[str, Any]) -> list[str]:
    """Names of the tests that `manifest_without` has left out."""
    nodes: dict[str, Any] = dict(validate_manifest(manifest))["nodes"]
    return [
        node["name"]
        for key, node in nodes.items()
        if node["resource_type"] == "test" and key not in configured["nodes"]
    ]


def _is_model(node: Mapping[str, Any]) -> bool:
    return bool(node["resource_type"] == "model")


def dbt_project(settings: Settings) -> DbtProject:
    """The dbt project of a deployment, its manifest under ANALYTICS_HOME."""
    return DbtProject(
        project_dir=settings.dbt_project_dir,
        profiles_dir=settings.dbt_project_dir,
        target_path=settings.dbt_target_dir,
        target=settings.deployment,
    )


class Translator(DagsterDbtTranslator):
    """Translates each dbt model into the asset of its declared table."""

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
        """The spec of a test: what is true when it passes, and what one could do otherwise."""
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        if spec is None:
            return None
        ours = self._tests[spec.asset_key.path[-1], spec.name].spec(self._policy)
        return spec._replace(
            description=ours.description, metadata={**spec.metadata, **ours.metadata}
        )

    def _deps(self, spec: AssetSpec) -> list[AssetDep]:
        deps = {dep.asset_key.path[-1]: dep for dep in spec.deps}
        for name in READ_BY_VIEWS:
            deps.pop(name, None)
        # The ledger of loads is not an asset: loads write it.
        if deps.pop("source_loads", None):
            deps.setdefault(f"raw_{LEADING}", AssetDep(f"raw_{LEADING}"))
        return [dep for name, dep in deps.items() if name in self._known]


def dbt_models(
    settings: Settings,
    sources: SourcesConfig,
    partitions: Mapping[str | None, PartitionsDefinition | None],
    checked: Collection[str] = (),
) -> AssetsDefinition:
    """All models as one multi-asset: one call of dbt builds the models that a run selects.

    A step for each layer would start dbt several times; dbt orders the models itself.

    Args:
        settings: the settings.
        sources: the configured sources.
        partitions: the partitions by their names in the declared tables.
        checked: tables with blocking checks in steps of their own.
    """
    manifest = prepare_manifest(settings)
    absent = absent_models(sources, manifest)
    known = frozenset(TABLES) - {*absent, *(f"raw_{name}" for name in sources.absent)}
    project = dbt_project(settings)
    thresholds = read_thresholds(settings.dbt_project_dir)
    overwritten = ",".join(name for name, source in sources.sources.items() if source.overwrites)
    zone = sources.calendar.zone
    given = ",".join(sources.sources)
    policy = settings.checks["dbt"]
    configured = manifest_without(manifest, absent)
    tests = dbt_tests.checks(configured)
    origins = built_from(configured)
    knobs = f"{thresholds}{settings.churn_horizon_days}{overwritten}{zone}{given}"
    translator = Translator(partitions, known, knobs, tests, policy)

    # A test between a model and an absent one would fail: the other may have no table.
    left_out = [*absent, *tests_without(manifest, configured)]

    @dbt_assets(
        manifest=configured,
        project=project,
        name="dbt_models",
        dagster_dbt_translator=translator,
        backfill_policy=backfill_policy(settings.max_run_days, sources),
        pool=POOL,
        retry_policy=RETRY,
    )
    def models(
        context: AssetExecutionContext,
        dbt: ResourceParam[DbtCommand],
        warehouse: ResourceParam[Warehouse],
    ) -> Iterator[Any]:
        selected = [TABLES[key.path[-1]] for key in context.selected_asset_keys]
        window = run_window(
            context.run.tags, monthly=any(table.partitioning == "monthly" for table in selected)
        )
        views = any(table.is_view and table.group == "churn" for table in selected)
        warehouse.prepare([*sources.stand_ins, *(READ_BY_VIEWS if views else ())])
        names = [table.name for table in selected]
        generation = Generation(warehouse, origins, checked, names, window)
        generation.begin(run_started(context))
        target = settings.dbt_target_dir / "runs" / context.run.run_id[:8]
        selection, indirect = get_subset_selection_for_context(
            context, configured, "fqn:*", "", "", translator, None
        )
        arguments = ["build", "--exclude-resource-type", "unit_test", *selection]
        if left_out:
            arguments += ["--exclude", *left_out]
        if indirect:
            arguments += ["--indirect-selection", indirect]
        environment = {
            "ANALYTICS_OVERWRITTEN_SOURCES": overwritten,
            "ANALYTICS_SHOPS_ZONE": zone,
            "ANALYTICS_CONFIGURED_SOURCES": given,
        }
        results: list[dict[str, Any]] = []
        failure: DbtError | None = None
        try:
            dbt.run(arguments, target, window, results.append, environment)
        except DbtError as error:
            failure = error  # the results before it still count
        except KeyboardInterrupt as interrupt:
            raise DagsterExecutionInterruptedError from interrupt
        events = [
            event
            for result in results
            for event in DbtCoreCliEventMessage(result, {}).to_default_asset_events(
                configured, translator, context, target, project
            )
            # A test of a table that is not selected: dagster-dbt would record it as an observation
            # of assets that do not exist. If it fails, the step fails.
            if not isinstance(event, AssetObservation)
        ]
        # Rows are counted here: dagster-dbt would leave the file locked in this process, and give
        # each partition the count of the whole range.
        lineage = column_lineage(target, selected, settings.dbt_target_dir / "lineage.json")
        built = {
            context.asset_key_for_output(event.output_name).path[-1]
            for event in events
            if isinstance(event, Output)
        }
        generation.finish(built)
        with warehouse.read() as session:
            for table in selected:
                if table.name in built:
                    _add_metadata(context, session, table, window, lineage.get(table.name))
            scans = Scans(session)
            for position, event in enumerate(events):
                if isinstance(event, AssetCheckResult):
                    test = tests[
                        str(event.asset_key and event.asset_key.path[-1]), str(event.check_name)
                    ]
                    sql = _compiled_test(target, test.name) if not event.passed else ""
                    finding = dbt_tests.finding(session, scans, test, window, event, sql)
                    events[position] = finding.result(policy)
        yield from events
        if failure and any(isinstance(e, AssetCheckResult) and not e.passed for e in events):
            raise Failure(f"dbt tests failed: {failure}", allow_retries=False) from failure
        if failure:
            raise failure
        shutil.rmtree(target, ignore_errors=True)

    return models


def _compiled_test(target: Path, name: str) -> str:
    """The compiled query of a test."""
    (compiled,) = target.glob(f"compiled/*/**/{name}.sql")
    return compiled.read_text(encoding="utf-8")


def _add_metadata(
    context: AssetExecutionContext,
    session: Session,
    table: Table,
    window: Window | None,
    lineage: TableColumnLineage | None,
) -> None:
    metadata: dict[str, Any] = {"dagster/column_lineage": lineage} if lineage else {}
    plot = PLOTS.get(table.name)
    if plot:
        metadata |= plot(session)
    if table.partitioning and window:
        counts = partition_row_counts(session, table, window)
        add_partition_metadata(
            context.get_step_execution_context(),
            AssetKey(table.name),
            {day: {"dagster/partition_row_count": rows} for day, rows in counts.items()},
            metadata,
        )
        return
    if not table.is_view:
        # Counting a view would compute it.
        metadata["dagster/row_count"] = session.count(table.relation)
    context.add_asset_metadata(metadata, table.name)


def _model_version(manifest: Mapping[str, Any], unique_id: str, knobs: str) -> str:
    """Hash of the model's SQL, all macros of the project, and the thresholds."""
    digest = hashlib.sha256(manifest["nodes"][unique_id]["raw_code"].encode())
    digest.update(knobs.encode())
    package = manifest["nodes"][unique_id]["package_name"]
    for macro_id in sorted(manifest["macros"]):
        macro = manifest["macros"][macro_id]
        if macro["package_name"] == package:
            digest.update(macro["macro_sql"].encode())
    return digest.hexdigest()[:12]
