"""The quality score of each table and day, from the ledger of checks.

Belongs here: the formula. Does not belong here: the ledger itself (`assets.quality`) or what a
check counts towards (its `dimension`).

A check scores 1 - failing rows / rows checked. If it counts no rows, it scores 1 when it passed and
0 when it failed; 0 when it did not run. A dimension scores the mean of its checks, a table the mean
of its dimensions, with equal weights. Warnings count like errors. The newest verdict on a day
counts, from whatever run.
"""

from collections.abc import Collection

from analytics_assets.checks.base import DIMENSIONS


def scores(monthly: Collection[str]) -> str:
    """SQL of `data_quality_scores` over the ledgers.

    Args:
        monthly: assets whose partitions are months: their days are the first of each.
    """
    months = ", ".join(f"'{name}'" for name in monthly) or "NULL"
    dimensions = ",\n        ".join(
        f"avg(score) FILTER (dimension = '{name}') AS {name}" for name in DIMENSIONS
    )
    weights = " + ".join(f"coalesce({name}, 0)" for name in DIMENSIONS)
    parts = " + ".join(f"({name} IS NOT NULL)::INTEGER" for name in DIMENSIONS)
    return f"""
    WITH verdicts AS (
        SELECT ledger.*, runs.window_end - 1 AS last_day,
            max(day) OVER (PARTITION BY run_id, asset, check_name) IS NOT NULL AS by_day,
            CASE
                WHEN NOT ran THEN 0
                WHEN rows_checked > 0 AND failing_rows IS NOT NULL
                    THEN greatest(0, 1 - failing_rows / rows_checked)
                ELSE ledger.passed::DOUBLE
            END AS score
        FROM quality.data_quality_metrics AS ledger
        LEFT JOIN (SELECT run_id, window_end FROM quality.pipeline_executions) AS runs
            USING (run_id)
    ),
    days AS (
        FROM verdicts WHERE day IS NOT NULL
        UNION ALL BY NAME
        SELECT * REPLACE (
            unnest(range(window_start, window_end, INTERVAL 1 DAY))::DATE AS day
        ) FROM verdicts WHERE day IS NULL AND NOT by_day AND window_start IS NOT NULL
        UNION ALL BY NAME
        SELECT * REPLACE (
            -- A run without days, such as a training, counts for the newest known day.
            coalesce(
                last_day,
                (SELECT max(window_end) - 1 FROM quality.pipeline_executions),
                evaluated_at::DATE
            ) AS day
        )
        FROM verdicts WHERE day IS NULL AND NOT by_day AND window_start IS NULL
    ),
    newest AS (
        FROM days WHERE asset NOT IN ({months}) OR day(day) = 1
        QUALIFY row_number() OVER (
            PARTITION BY asset, check_name, day ORDER BY evaluated_at DESC
        ) = 1
    ),
    by_dimension AS (
        SELECT asset, day,
        {dimensions},
        count(*) AS checks
        FROM newest GROUP BY asset, day
    )
    SELECT asset, day, {", ".join(DIMENSIONS)}, ({weights}) / ({parts}) AS score, checks
    FROM by_dimension
    """
