"""Tables of the quality layer: the ledgers of checks, of runs and of the stream.

Belongs here: the columns of the ledgers. Does not belong here: the checks themselves.
"""

from analytics_assets.schemas.base import (
    BigInt,
    Boolean,
    Date,
    Double,
    Integer,
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


@table(
    group="quality",
    key=("query", "batch_id", "topic", "topic_partition"),
    is_history=True,
    is_optional=True,
    may_be_empty=True,
)
class StreamBatches(TableModel):
    """Ledger of the stream: what became of the messages of each batch, by topic and partition.

    The rows come from the commits of the lake, whose log is cleaned in time; these rows stay.
    """

    query: Text = column("Identity of the stream's query; a new checkpoint is a new one")
    batch_id: BigInt = column("Number of the batch of the query", ge=0)
    topic: Text = column("Topic; the name of the file where there is no broker")
    topic_partition: Integer = column("Partition of the topic", ge=0)
    first_offset: BigInt = column("First message of the batch")
    last_offset: BigInt = column("Its last message")
    rows_read: BigInt = column("Messages", ge=0)
    rows_accepted: BigInt = column("Events that went into the lake in time", ge=0)
    rows_rejected: BigInt = column("Messages that became dead letters", ge=0)
    rows_duplicate: BigInt = column("Copies of events", ge=0)
    rows_late: BigInt = column("Events older than the watermark that went into the lake", ge=0)
    batch_rows: BigInt = column(
        "Rows that the commit of the whole batch wrote into the lake, by its log", nullable=True
    )
    watermark: Timestamp = column(
        "Events before it were late in this batch, UTC; null in the first", nullable=True
    )
    next_watermark: Timestamp = column("The same for the next batch, UTC", nullable=True)
    committed_at: Timestamp = column("When the batch was committed, UTC")
    lake_id: Text = column("Identity of the lake's table of events")
    lake_version: BigInt = column("Version of that table with the batch", ge=0)


@table(
    group="quality",
    key=("topic", "topic_partition", "topic_offset", "received_at"),
    is_optional=True,
    may_be_empty=True,
)
class DeadLetters(TableModel):
    """Messages that became no event, and why; their bytes stay in the lake."""

    topic: Text = column("Topic; the name of the file where there is no broker")
    topic_partition: Integer = column("Partition of the topic")
    topic_offset: BigInt = column("Offset in the partition")
    received_at: Timestamp = column("When it came, UTC")
    reasons: Text = column("Every rule that it breaks, `field: reason`, joined by '; '")
    batch_id: BigInt = column("Number of the batch that read it")


@table(group="quality", key=("query",), volatile=("read_at",), is_optional=True, may_be_empty=True)
class StreamQueries(TableModel):
    """The queries of the stream: how far each is, and the size of its state."""

    query: Text = column("Name of the query")
    batch_id: BigInt = column("Its last whole batch", ge=0)
    watermark: Timestamp = column("Its watermark in that batch, UTC", nullable=True)
    state_rows: BigInt = column(
        "Rows of its state; null where this machine does not run the stream", nullable=True
    )
    state_bytes: BigInt = column("Memory of its state; null as before", nullable=True)
    read_at: Timestamp = column("When the run that read this was created, UTC")


@table(
    group="quality",
    key=("day", "what"),
    partitioning="daily",
    window_column="day",
    is_optional=True,
    may_be_empty=True,
)
class StreamComparison(TableModel):
    """What the stream said of a closed day, compared with what the batch computes from its events.

    The stream leaves out events that came later than its watermark. So windows are computed
    without them, and sessions are compared that have none; the others are counted.
    """

    day: Date = column("The shop's day of the sessions, or of the end of the windows")
    what: Text = column("What is compared", isin=("sessions", "purchases", "activity"))
    stream_rows: BigInt = column("Rows that the stream said", ge=0)
    batch_rows: BigInt = column("Rows that the batch computes", ge=0)
    equal_rows: BigInt = column("Rows that are equal in both", ge=0)
    late_rows: BigInt = column("Rows of the batch that late events changed", ge=0)
    unsaid_rows: BigInt = column("Rows of the batch that the stream has not come to yet", ge=0)
    differing_rows: BigInt = column("Rows that differ, or that only one of both has", ge=0)
    late_events: BigInt = column("Events of the day that came later than the watermark", ge=0)
