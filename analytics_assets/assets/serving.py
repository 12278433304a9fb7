"""The serving group: the published copy that readers open.

Belongs here: the asset around `warehouse.publish`.
"""

import duckdb
from dagster import (
    AssetsDefinition,
    AssetSpec,
    Failure,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets.common import OWNERS, POOL, RETRY, code_version, markdown_table
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import POINTER, publish


def serving_assets(settings: Settings, upstream: list[str]) -> list[AssetsDefinition]:
    """published_warehouse, below all that it copies."""

    @multi_asset(
        name="published_warehouse",
        specs=[
            AssetSpec(
                "published_warehouse",
                group_name="serving",
                description=(
                    "The read-only copy of core, marts, churn and quality that people, BI and an "
                    "API open: built beside, verified, then swapped in. Raw and staging stay "
                    "behind: they hold personal columns."
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
        with warehouse.read() as connection:
            failed = failed_checks(connection)
        if failed:
            raise Failure(
                f"Not published, the last build stays: {', '.join(failed)} failed when last "
                "evaluated. Correct the data and load the days again, or evaluate the check again.",
                allow_retries=False,
            )
        build = publish(warehouse, settings.published_dir, settings.published_builds)
        return MaterializeResult(
            asset_key="published_warehouse",
            metadata={
                "file": MetadataValue.path(str(build.path)),
                "pointer": MetadataValue.path(str(settings.published_dir / POINTER)),
                "bytes": build.path.stat().st_size,
                "tables": markdown_table(("table", "rows"), build.rows.items()),
            },
        )

    return [published_warehouse]


# A failure counts, day by day of what it looked at, until a later verdict has looked at the same,
# unless the job that gave it has since run without the check.
_FAILED_CHECKS = """
    WITH verdicts AS (
        SELECT ledger.*, job
        FROM quality.data_quality_metrics AS ledger
        JOIN quality.pipeline_executions USING (run_id)
        WHERE day IS NULL
    ),
    last_runs AS (
        SELECT asset, job, arg_max(run_id, evaluated_at) AS run_id FROM verdicts GROUP BY ALL
    ),
    errors AS (
        FROM verdicts SEMI JOIN (
            SELECT asset, job, check_name FROM verdicts
            SEMI JOIN last_runs USING (asset, job, run_id)
        ) USING (asset, job, check_name)
        WHERE NOT passed AND severity = 'ERROR'
    ),
    failing_days AS (
        SELECT run_id, asset, check_name, list(day) AS days
        FROM quality.data_quality_metrics WHERE day IS NOT NULL AND NOT passed GROUP BY ALL
    ),
    failed AS (
        SELECT asset, check_name, evaluated_at, window_start,
            unnest(coalesce(
                days, range(window_start, window_end, INTERVAL 1 DAY)::DATE[], [NULL::DATE]
            )) AS day
        FROM errors LEFT JOIN failing_days USING (run_id, asset, check_name)
    )
    SELECT DISTINCT asset || '.' || check_name
    FROM failed
    WHERE NOT EXISTS (
        FROM verdicts AS later
        WHERE later.asset = failed.asset AND later.check_name = failed.check_name
            AND later.evaluated_at > failed.evaluated_at
            AND (
                later.window_start IS NULL
                OR (failed.day >= later.window_start AND failed.day < later.window_end)
            )
    )
    ORDER BY 1
"""


def failed_checks(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Checks whose newest verdict on some day, or on a whole table, is an error in any run.

    A failed blocking check stops its own run only; this keeps later ones from publishing what it
    found wrong. A check that passes on another day says nothing of the day on which it failed.
    """
    return [name for (name,) in connection.execute(_FAILED_CHECKS).fetchall()]
