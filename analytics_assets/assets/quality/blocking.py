"""Failed blocking checks and unfinished loads of earlier runs, which stop publishing and training.

Belongs here: which failures still count, by the ledger and by runs that are not in it yet, and the
end of a step that may not go on. Does not belong here: the ledger (`ledgers`), the record of
unfinished loads (`warehouse.unfinished`), publishing or training.

Dagster stops only the run in which a blocking check fails. Publishing and training have to wait in
any later run, too, until the check has passed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from dagster import AssetExecutionContext, DagsterInstance, Failure

from analytics_assets.assets.quality.ledgers import record_runs
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.session import Session
from analytics_assets.warehouse.unfinished import (
    DAYS_NAMED,
    UnfinishedError,
    is_load,
    is_snapshot,
    require_finished,
    unfinished,
)

TRAINED_ON = {"raw", "staging", "core", "churn"}  # layers that models are trained on

# A failure counts for each day that it checked, until a later verdict on the same day, or until its
# job has run without the check.
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
    SELECT asset, check_name, list(DISTINCT day ORDER BY day) FILTER (day IS NOT NULL)
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
    GROUP BY ALL
    ORDER BY ALL
"""


@dataclass(frozen=True)
class FailedCheck:
    """A check whose failure still counts, and on which days; none of a whole table."""

    asset: str
    check: str
    days: tuple[date, ...] = ()

    def __str__(self) -> str:
        if not self.days:
            return f"the check {self.check} of {self.asset}"
        named = ", ".join(map(str, self.days[:DAYS_NAMED]))
        more = len(self.days) - DAYS_NAMED
        further = f" and {more:,} more days up to {self.days[-1]}" if more > 0 else ""
        return f"the check {self.check} of {self.asset} on {named}{further}"


def still_failing(failed: Sequence[FailedCheck], kept: str) -> str:
    """What stops a step, and what to do.

    Args:
        failed: the checks.
        kept: what was not done, and what stays instead.
    """
    return (
        f"{kept} These failed when they were last evaluated on their days: "
        f"{'; '.join(map(str, failed))}. Their pages may show a later verdict on other days. "
        "Correct the data and load these days again, with analytics-assets backfill or the job "
        "load_days; a check of a whole table is evaluated by the job check_tables."
    )


def failed_checks(session: Session) -> list[FailedCheck]:
    """Checks whose newest verdict on some day, or on a whole table, is an error, of any run.

    A check that passes on another day says nothing about the day on which it failed.
    """
    return [
        FailedCheck(asset, check, tuple(days or ()))
        for asset, check, days in session.rows(_FAILED_CHECKS)
    ]


def failed_now(
    instance: DagsterInstance, warehouse: Warehouse, groups: set[str]
) -> list[FailedCheck]:
    """Failed checks of the tables of some layers, also of runs that are not in the ledger yet."""
    with warehouse.write() as session:
        session.execute("BEGIN")
        try:
            record_runs(session, instance, {})
            failed = failed_checks(session)
        finally:
            # The rows are not complete: checks that did not run are missing.
            session.execute("ROLLBACK")
    return [one for one in failed if TABLES[one.asset].group in groups]


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


def wait_for_loads(warehouse: Warehouse, of: Callable[[str], bool] = is_load) -> None:
    """End a step before it reads what an unfinished load has left.

    Args:
        warehouse: the warehouse.
        of: the entries of the record that count: those of loads. Checks that are to be evaluated
            stop training and publishing only.

    Raises:
        Failure: the days, and what to do.
    """
    with warehouse.read() as session, unfinished_ends_the_step():
        require_finished(unfinished(session, of))


def hold_back_training(context: AssetExecutionContext, warehouse: Warehouse) -> None:
    """Refuse to train while a load or a check of the tables that it reads has failed.

    Raises:
        Failure: a load is unfinished, or a check has failed; the message names the days or the
            checks, and what to do.
    """
    wait_for_loads(warehouse, lambda entry: not is_snapshot(entry))
    failed = failed_now(context.instance, warehouse, TRAINED_ON)
    if failed:
        raise Failure(
            still_failing(failed, "Not trained, the champion stays."),
            allow_retries=False,
        )
