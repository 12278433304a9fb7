"""The HTML profile of each table, and the link to it on the table's asset.

Belongs here: which tables have a page. Does not belong here: the page (`reports.profile`).

Drawing takes most of a second for each table, so the pages have a job of their own, and runs that
load days do not wait for them.
"""

from collections.abc import Callable

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets.common import (
    CADENCE,
    ON_DEMAND,
    OWNERS,
    RETRY,
    code_version,
    run_started,
)
from analytics_assets.reports.markdown import markdown_table
from analytics_assets.reports.profile import write_profile
from analytics_assets.schemas import TABLES, Table
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL, Warehouse

PROFILES = "table_profiles"
PROFILED_GROUPS = ("raw", "core", "marts", "churn")


def profile_assets(settings: Settings, upstream: list[str]) -> list[AssetsDefinition]:
    """table_profiles, downstream of all tables that it shows."""

    @multi_asset(
        name=PROFILES,
        specs=[
            AssetSpec(
                PROFILES,
                group_name="quality",
                description=(
                    "An HTML page for each table: exact figures of its columns, changes since the "
                    "last page, and distributions of a sample of rows. Personal columns are "
                    "hidden. Drawn by the job profile_tables, or `analytics-assets profile`."
                ),
                owners=OWNERS,
                kinds={"python", "duckdb"},
                tags={"layer": "quality", CADENCE: ON_DEMAND},
                deps=upstream,
                code_version=code_version("reports/profile.py"),
            )
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def table_profiles(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> MaterializeResult:
        pages = []
        with warehouse.read() as session:
            for table in TABLES.values():
                if _is_profiled(table) and session.kind(table):
                    changes = write_profile(
                        session,
                        table,
                        settings.profiles_dir,
                        run_started(context),
                        settings.seed,
                    )
                    pages.append((table.relation, f"{table.name}.html", "; ".join(changes[:5])))
        return MaterializeResult(
            asset_key=PROFILES,
            metadata={
                "folder": MetadataValue.path(str(settings.profiles_dir)),
                "pages": markdown_table(("table", "page", "changes"), pages),
            },
        )

    return [table_profiles]


def _is_profiled(table: Table) -> bool:
    # A view has no rows of its own.
    return table.group in PROFILED_GROUPS and not table.is_view


def with_profile(settings: Settings) -> Callable[[AssetSpec], AssetSpec]:
    """A function that adds the path of its page to the spec of a table."""

    def linked(spec: AssetSpec) -> AssetSpec:
        table = TABLES.get(spec.key.path[-1])
        if table is None or not _is_profiled(table):
            return spec
        page = MetadataValue.path(str(settings.profiles_dir / f"{table.name}.html"))
        return spec.replace_attributes(metadata={**spec.metadata, "profile": page})

    return linked
