"""The serving group: the published copy that readers open.

Belongs here: the asset around `warehouse.publish`.
"""

from dagster import (
    AssetsDefinition,
    AssetSpec,
    Failure,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets.common import OWNERS, RETRY, code_version
from analytics_assets.assets.quality.blocking import (
    failed_checks,
    still_failing,
    unfinished_ends_the_step,
)
from analytics_assets.reports.markdown import markdown_table
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.publish import POINTER, publish


def serving_assets(settings: Settings, upstream: list[str]) -> list[AssetsDefinition]:
    """published_warehouse, downstream of all that it copies."""

    @multi_asset(
        name="published_warehouse",
        specs=[
            AssetSpec(
                "published_warehouse",
                group_name="serving",
                description=(
                    "The read-only copy of core, marts, churn and quality for people, BI and an "
                    "API: built next to the last one, verified, then swapped in. Raw and staging "
                    "are left out: they have personal columns."
                ),
                owners=OWNERS,
                kinds={"python", "duckdb"},
                tags={"layer": "serving"},
                deps=upstream,
                code_version=code_version("warehouse"),
            )
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def published_warehouse(warehouse: ResourceParam[Warehouse]) -> MaterializeResult:
        with warehouse.read() as session:
            failed = failed_checks(session)
        if failed:
            raise Failure(
                still_failing(failed, "Not published, the last build stays."),
                allow_retries=False,
            )
        with unfinished_ends_the_step():
            build = publish(warehouse, settings.published_dir, settings.published_builds)
        return MaterializeResult(
            asset_key="published_warehouse",
            metadata={
                "file": MetadataValue.path(str(build.path)),
                "pointer": MetadataValue.path(str(settings.published_dir / POINTER)),
                "bytes": build.path.stat().st_size,
                "tables": markdown_table(("table", "rows"), build.rows.items()),
                **(
                    {"dashboards": MetadataValue.url(settings.dashboards_url)}
                    if settings.dashboards_url
                    else {}
                ),
            },
        )

    return [published_warehouse]
