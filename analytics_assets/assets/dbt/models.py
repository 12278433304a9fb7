"""The dbt models as assets: staging, core, marts and churn_features.

Belongs here: the translation of the dbt project into assets, and the one step that builds the
selected models of a window. Does not belong here: how dbt is called (`assets.dbt.command`), SQL
(the dbt project) or columns (`schemas`).
"""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    BackfillPolicy,
    DagsterExecutionInterruptedError,
    Failure,
    Output,
    PartitionsDefinition,
    ResourceParam,
    TableColumnLineage,
)

from analytics_assets.assets.common import RETRY, run_started, table_spec
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

# Python writes these, and views read them when they are read themselves: the views may be built
# before, in the one call of dbt that builds the snapshot from which the scores come.
READ_BY_VIEWS = ("churn_predictions", "churn_model")


def absent_models(sources: SourcesConfig, manifest: Path) -> list[str]:
    """Models that only sources feed which are not configured: no assets.

    Args:
        sources: the configured sources.
        manifest: dbt's, which has all models.
    """
    parsed = json.loads(manifest.read_text(encoding="utf-8"))
    return [
        node["name"]
        for key, node in parsed["nodes"].items()
        if _is_model(node) and not {*sources.sources} & fed_by(parsed["parent_map"], key)
    ]


def fed_by(parents: Mapping[str, list[str]], node: str) -> set[str]:
    """The sources that a model is made from, directly or through other models."""
    if not node.startswith("source."):
        return {source for parent in parents[node] for source in fed_by(parents, parent)}
    name = node.split(".")[-1]
    # The ledger of loads is no source: it says which days there are.
    return {LEADING if name == "source_loads" else name.removeprefix("raw_")}


def manifest_without(manifest: Path, absent: Collection[str]) -> dict[str, Any]:
    """The manifest of dbt without some models and their tests.

    Asked to leave them out, dagster-dbt would import dbt to evaluate the selection.
    """
    parsed = dict(validate_manifest(manifest))
    nodes: dict[str, Any] = parsed["nodes"]
    gone = {key for key, node in nodes.items() if _is_model(node) and node["name"] in absent}
    gone |= {
        key
        for key, node in nodes.items()
        if node["resource_type"] == "test" and gone & {*node["depends_on"]["nodes"]}
    }
    parsed["nodes"] = {
        key: {**node, "depends_on": {**node["depends_on"], "nodes": _without(gone, node)}}
        for key, node in nodes.items()
        if key not in gone
    }
    for edges in ("parent_map", "child_map"):
        parsed[edges] = {
            key: [other for other in others if other not in gone]
            for key, others in parsed[edges].items()
            if key not in gone
        }
    return parsed


def _is_model(node: Mapping[str, Any]) -> bool:
    return bool(node["resource_type"] == "model")


def _without(gone: set[str], node: Mapping[str, Any]) -> list[str]:
    return [key for key in node["depends_on"]["nodes"] if key not in gone]


def dbt_project(settings: Settings) -> DbtProject:
    """The dbt project of a deployment, its manifest under ANALYTICS_HOME."""
    return DbtProject(
        project_dir=settings.dbt_project_dir,
        profiles_dir=settings.dbt_project_dir,
        target_path=settings.dbt_target_dir,
        target=settings.deployment,
    )


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
        for name in READ_BY_VIEWS:
            deps.pop(name, None)
        # The ledger of loads is no asset: loads write it.
        if deps.pop("source_loads", None):
            deps.setdefault(f"raw_{LEADING}", AssetDep(f"raw_{LEADING}"))
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
    known = frozenset(TABLES) - {*absent, *(f"raw_{name}" for name in sources.absent)}
    project = dbt_project(settings)
    thresholds = read_thresholds(settings.dbt_project_dir)
    overwritten = ",".join(name for name, source in sources.sources.items() if source.overwrites)
    policy = settings.checks["dbt"]
    present = manifest_without(manifest, absent)
    tests = dbt_tests.checks(present)
    origins = built_from(present)
    knobs = f"{thresholds}{settings.churn_horizon_days}{overwritten}"
    translator = Translator(partitions, known, knobs, tests, policy)

    exclude = " ".join(["resource_type:unit_test", *absent])

    @dbt_assets(
        manifest=present,
        project=project,
        name="dbt_models",
        dagster_dbt_translator=translator,
        backfill_policy=BackfillPolicy.single_run(),
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
        generation = Generation(warehouse, origins, [table.name for table in selected], window)
        generation.begin(run_started(context))
        target = settings.dbt_target_dir / "runs" / context.run.run_id[:8]
        # The whole: dbt runs the tests between a selected model and an absent one, too.
        parsed = validate_manifest(manifest)
        selection, indirect = get_subset_selection_for_context(
            context, parsed, "fqn:*", exclude, "", translator, None
        )
        arguments = ["build", "--exclude-resource-type", "unit_test", *selection]
        if indirect:
            arguments += ["--indirect-selection", indirect]
        environment = {"ANALYTICS_OVERWRITTEN_SOURCES": overwritten}
        results: list[dict[str, Any]] = []
        failure: DbtError | None = None
        try:
            dbt.run(arguments, target, window, results.append, environment)
        except DbtError as error:
            failure = error  # what came before it counts
        except KeyboardInterrupt as interrupt:
            raise DagsterExecutionInterruptedError from interrupt
        events = [
            event
            for result in results
            for event in DbtCoreCliEventMessage(result, {}).to_default_asset_events(
                parsed, translator, context, target, project
            )
        ]
        # Row counts are asked for here: dagster-dbt's own way leaves the file locked in this
        # process, and stamps the whole range's count on each partition.
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
                    found = dbt_tests.finding(session, scans, test, window, event, sql)
                    events[position] = found.result(policy)
        yield from events
        if failure and any(isinstance(e, AssetCheckResult) and not e.passed for e in events):
            raise Failure(f"dbt tests failed: {failure}", allow_retries=False) from failure
        if failure:
            raise failure
        shutil.rmtree(target, ignore_errors=True)

    return models


def _compiled_test(target: Path, name: str) -> str:
    """The query of a test as dbt has sent it."""
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
        # Counting a view would run it.
        metadata["dagster/row_count"] = session.count(table.relation)
    context.add_asset_metadata(metadata, table.name)


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
