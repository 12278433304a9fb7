"""What a failed blocking check, or a load that was cut off, holds back in later runs.

Belongs here: which failures still count, by the ledger and by runs that it does not have yet, and
the end of a step that may not go on. Does not belong here: the ledger (`quality`), the record of
unfinished loads (`warehouse.unfinished`), or what is held back (`serving`, `churn`).

A failed blocking check stops its own run only. What leaves the warehouse, the published copy and
the champion, waits in any run until the check has passed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import AssetExecutionContext, DagsterInstance, Failure

from analytics_assets.assets.quality.ledgers import record_runs
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.unfinished import UnfinishedError, require_finished, unfinished

TRAINED_ON = {"raw", "staging", "core", "churn"}  # layers that models are trained on

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


def failed_checks(session: Session) -> list[str]:
    """Checks whose newest verdict on some day, or on a whole table, is an error in any run.

    A failed blocking check stops its own run only; this keeps later ones from publishing what it
    found wrong. A check that passes on another day says nothing of the day on which it failed.
    """
    return [name for (name,) in session.rows(_FAILED_CHECKS)]


def failed_now(instance: DagsterInstance, warehouse: Warehouse, groups: set[str]) -> list[str]:
    """Failed checks of the tables of some layers, of runs that are in no ledger yet, too."""
    with warehouse.write() as session:
        session.execute("BEGIN")
        try:
            record_runs(session, instance, {})
            found = failed_checks(session)
        finally:
            # Without the checks that did not run it would be no ledger.
            session.execute("ROLLBACK")
    return [name for name in found if TABLES[name.split(".")[0]].group in groups]


@contextmanager
def unfinished_ends_the_step() -> Iterator[None]:
    """Make a failure of an unfinished load: another try of the step would find it the same.

    Raises:
        Failure: the days, and what to do.
    """
    try:
        yield
    except UnfinishedError as error:
        raise Failure(str(error), allow_retries=False) from error


def wait_for_loads(warehouse: Warehouse) -> None:
    """End a step before it reads what an unfinished load has left.

    Raises:
        Failure: the days, and what to do.
    """
    with warehouse.read() as session, unfinished_ends_the_step():
        require_finished(unfinished(session))


def hold_back_training(context: AssetExecutionContext, warehouse: Warehouse) -> None:
    """End a training before it begins, while a load or a check of what it reads has failed.

    Raises:
        Failure: The days or the checks, and what to do.

    """
    wait_for_loads(warehouse)
    failed = failed_now(context.instance, warehouse, TRAINED_ON)
    if failed:
        raise Failure(
            f"Not trained, the champion stays: {', '.join(failed)} failed when last evaluated. "
            "Correct the data and load the days again, or evaluate the check again.",
            allow_retries=False,
        )
