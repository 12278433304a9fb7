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
    key=("run_id", "asset", "check_name", "day"),
    volatile=("evaluated_at", "run_id", "seconds"),
    is_history=True,
)
class DataQualityMetrics(TableModel):
    """Ledger of asset checks: the results of each run, and of each day; survives rebuilds.

    A check of a run has one row without a day, with Dagster's verdict. A check that counts by day
    also has a row for each day of the run's window. A check that should have run and did not has a
    row that says so. All rows come from Dagster's own records, so a new warehouse has the whole
    history again.
    """

    run_id: Text = column("Dagster run that evaluated the check")
    evaluated_at: Timestamp = column("When the check was evaluated, UTC")
    asset: Text = column("Asset (table) that was checked")
    check_name: Text = column("Name of the check")
    family: Text = column("Family of the check, by which the settings block, warn or switch off")
    dimension: Text = column("Dimension of the quality score that it counts towards")
    day: Date = column("Day of the figures; null: everything that was checked", nullable=True)
    ran: Boolean = column("Whether the check ran")
    passed: Boolean = column("Verdict; of a day: no row of it fails")
    severity: Text = column("WARN or ERROR: what a failure means", isin=("WARN", "ERROR"))
    window_start: Date = column("First day that was checked; null: the whole table", nullable=True)
    window_end: Date = column("Day after the last that was checked", nullable=True)
    rows_checked: BigInt = column("Rows that were checked", nullable=True, ge=0)
    failing_rows: BigInt = column(
        "Rows that break the rule, where the check counts them", nullable=True, ge=0
    )
    share: Double = column("failing_rows / rows_checked", nullable=True)
    figure: Double = column(
        "Number that was compared with the threshold, if not the share", nullable=True
    )
    threshold: Double = column("Share or figure up to which the check passes", nullable=True)
    seconds: Double = column("Duration of the check; of shared queries its part", nullable=True)
    description: Text = column("Result in words; never row values", nullable=True)


@table(group="quality", key=("asset", "day"))
class DataQualityScores(TableModel):
    """Quality of each table on each day, from 0 to 1, by the newest verdicts on that day.

    A check scores 1 less its share of failing rows; one that counts no rows scores 1 or 0. A
    dimension is the mean of its checks, the score the mean of the dimensions that have any. A
    check of a whole table counts for the newest day of its run.
    """

    asset: Text = column("Asset (table)")
    day: Date = column("Day; of monthly tables the first of the month")
    completeness: Double = column("No value, row or day is missing", nullable=True)
    validity: Double = column("Values are possible", nullable=True)
    consistency: Double = column("Tables agree with each other", nullable=True)
    uniqueness: Double = column("Nothing is duplicate", nullable=True)
    timeliness: Double = column("The newest day is loaded", nullable=True)
    score: Double = column("Mean of the dimensions", in_range={"min_value": 0, "max_value": 1})
    checks: BigInt = column("Checks that count towards it", ge=1)


@table(
    group="quality",
    key=("run_id",),
    volatile=("run_id", "started_at", "ended_at", "seconds"),
    is_history=True,
)
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
