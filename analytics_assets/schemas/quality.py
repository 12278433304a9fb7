"""Tables of the quality layer: the ledger of every check and every run.

Belongs here: the columns of the ledgers. Does not belong here: the checks themselves.
"""

from analytics_assets.schemas.base import (
    BigInt,
    Boolean,
    Date,
    Double,
    TableModel,
    Text,
    Timestamp,
    column,
    table,
)


@table(
    group="quality",
    key=("run_id", "asset", "check_name"),
    volatile=("evaluated_at", "run_id"),
)
class DataQualityMetrics(TableModel):
    """Ledger of asset checks: one row for each check of each run; survives rebuilds."""

    run_id: Text = column("Dagster run that evaluated the check")
    evaluated_at: Timestamp = column("When the check was evaluated, UTC")
    asset: Text = column("Asset (table) that was checked")
    check_name: Text = column("Name of the check")
    passed: Boolean = column("Verdict")
    severity: Text = column("WARN or ERROR: what a failure means", isin=("WARN", "ERROR"))
    window_start: Date = column("First day of the run's window", nullable=True)
    window_end: Date = column("Day after the last of the run's window", nullable=True)
    failing_rows: BigInt = column(
        "Rows that break the rule, where the check counts them", nullable=True
    )
    description: Text = column("What the check found, in words; never row values", nullable=True)


@table(group="quality", key=("run_id",), volatile=("run_id", "started_at", "ended_at", "seconds"))
class PipelineExecutions(TableModel):
    """Ledger of runs, from Dagster's own records: one row a run; survives rebuilds."""

    run_id: Text = column("Dagster run")
    job: Text = column("Job of the run")
    status: Text = column("Dagster's status of the run; STARTED for the one that writes the row")
    started_at: Timestamp = column("Start, UTC", nullable=True)
    ended_at: Timestamp = column("End, UTC; null while the run goes on", nullable=True)
    seconds: Double = column("Duration", nullable=True, ge=0)
    window_start: Date = column("First day of the run's window", nullable=True)
    window_end: Date = column("Day after the last of the run's window", nullable=True)
    assets: BigInt = column("Assets that the run materialized", ge=0)
    checks_passed: BigInt = column("Checks that passed", ge=0)
    checks_failed: BigInt = column("Checks that failed, warnings included", ge=0)
