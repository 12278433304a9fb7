"""The stream: its account closes, it keeps up, and it says what the batch computes.

Belongs here: checks of the stream's ledgers and of its comparison with the batch. Does not belong
here: the rows of events (`validity`, `reconciliation`), or whether a day was loaded (`freshness`).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analytics_assets.checks import rows
from analytics_assets.checks.base import Check, Finding, tidy
from analytics_assets.checks.rows import ListedRows, RowRule
from analytics_assets.checks.scans import Scans
from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.streaming.layout import DELAY, in_seconds
from analytics_assets.warehouse.session import Session

BATCHES = "quality.stream_batches"
LATEST = f"committed_at > (SELECT max(committed_at) - INTERVAL 1 DAY FROM {BATCHES})"
MAX_DEAD_SHARE = 0.01
MAX_LATE_SHARE = 0.05
MAX_LAG_MINUTES = 10.0
MAX_AGE_MINUTES = 60.0
MAX_BEHIND_MINUTES = 60.0
MAX_STATE_ROWS = 5_000_000
READ = ("query", "batch_id", "topic", "topic_partition")


@dataclass(frozen=True)
class Limit:
    """A figure that may be so large.

    Attributes:
        query: SQL of the figure: one row and column, NULL where there is nothing to see yet.
        most: the largest that passes.
        words: the figure in words, with `{}` for the number.
    """

    query: str
    most: float
    words: str


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """The checks of the stream, where events come from one."""
    config = sources.sources.get("events")
    if config is None or config.format != "lake":
        return
    yield _check(
        "stream_batches",
        "read_is_accounted_for",
        "Of each topic's partition, in each batch, every message that was read was accepted, "
        "rejected, late or a copy.",
        "consistency",
        "Messages were lost or counted twice. Nothing of the stream is loaded or published until "
        "this is clear: compare the offsets of the listed batches with the events and the dead "
        "letters of the lake. To compute the lake again, move it away with its checkpoints and "
        "start the stream from the beginning of the topics.",
        RowRule("rows_read <> rows_accepted + rows_rejected + rows_duplicate + rows_late"),
        severe=0.0,
    )
    yield _check(
        "stream_batches",
        "the_lake_has_what_was_accepted",
        "Each batch wrote as many rows into the lake as its account has accepted and late events.",
        "consistency",
        "The log of the lake and its account disagree: something else writes this table, or a "
        "batch was written twice. Stop the other writer, and compare the listed batches with the "
        "events of the lake.",
        ListedRows(
            f"""
            SELECT query, batch_id, NULL::DATE AS day FROM {BATCHES} GROUP BY query, batch_id
            HAVING max(batch_rows) IS NOT NULL
                AND max(batch_rows) <> sum(rows_accepted + rows_late)
            """,
            total=BATCHES,
            day_column=None,
            keys=("query", "batch_id"),
        ),
        severe=0.0,
    )
    yield _check(
        "stream_batches",
        "offsets_have_no_gap",
        "Each batch begins with the offset after the last one of the batch before, and read each "
        "offset between its first and its last.",
        "completeness",
        "Messages that the broker had deleted were left out (--skip-lost), or the producer uses "
        "transactions, whose markers have offsets too: then it is right. Otherwise read the topic "
        "again with another lake, and compare.",
        ListedRows(
            f"""
            SELECT query, batch_id, topic, topic_partition, NULL::DATE AS day FROM (
                SELECT *, lag(last_offset) OVER (
                    PARTITION BY query, topic, topic_partition ORDER BY batch_id
                ) AS before FROM {BATCHES}
            )
            WHERE first_offset > before + 1 OR last_offset - first_offset + 1 > rows_read
            """,
            total=BATCHES,
            day_column=None,
            keys=READ,
        ),
    )
    share = "SELECT sum({}) / nullif(sum(rows_read), 0) FROM " + f"{BATCHES} WHERE {LATEST}"
    yield _check(
        "stream_batches",
        "dead_letters_are_few",
        f"At most {MAX_DEAD_SHARE:.0%} of the messages of the last day became dead letters.",
        "validity",
        "analytics-assets dead-letters list names the reasons. Correct the producer, then replay "
        "the letters.",
        Limit(share.format("rows_rejected"), MAX_DEAD_SHARE, "{:.2%} became dead letters."),
    )
    yield _check(
        "stream_batches",
        "late_events_are_few",
        f"At most {MAX_LATE_SHARE:.0%} of the messages of the last day came later than the "
        "watermark.",
        "timeliness",
        "A producer sends too late, or one has a fast clock, which makes the others late. The "
        "events are in the lake and in the days that they belong to; live numbers lack them.",
        Limit(share.format("rows_late"), MAX_LATE_SHARE, "{:.2%} came late."),
    )
    if sources.calendar.end is None:
        yield from _of_now()
    yield _check(
        "stream_queries",
        "queries_keep_up",
        f"Sessions and windows are at most {MAX_BEHIND_MINUTES:.0f} minutes behind the events of "
        "the lake.",
        "timeliness",
        "A query fails and is started again, or needs more cores: its log says so. Its numbers "
        "come later, and none is lost.",
        Limit(
            "SELECT max(date_diff('second', coalesce(q.watermark, TIMESTAMP '1970-01-01'), "
            "b.newest)) / 60.0 FROM quality.stream_queries AS q, "
            f"(SELECT max(next_watermark) AS newest FROM {BATCHES}) AS b "
            "WHERE q.query IN ('sessions', 'purchases', 'activity')",
            MAX_BEHIND_MINUTES,
            "The last query is {:,.0f} minutes behind.",
        ),
    )
    yield _check(
        "stream_queries",
        "state_is_bounded",
        f"The state of the queries has at most {MAX_STATE_ROWS:,} rows.",
        "validity",
        "Look at which query grows. A watermark that does not move on keeps all of it: a topic "
        "without events does not, an event with a far future time cannot get in. More visitors "
        "need more memory, or more parts of the state (ANALYTICS_STREAM_PARTITIONS).",
        Limit(
            "SELECT sum(state_rows) FROM quality.stream_queries",
            MAX_STATE_ROWS,
            "The state has {:,.0f} rows.",
        ),
    )
    yield _check(
        "stream_comparison",
        "stream_says_what_the_batch_computes",
        "Sessions and windows of the stream are those that the batch computes from the same "
        "events; those that late events changed are counted apart.",
        "consistency",
        "The figures of the batch count. Look for changed rules on one side, a lake that two "
        "processes write, or identifiers with blanks, which only the batch removes.",
        RowRule("differing_rows > 0", kind="what"),
    )


def _of_now() -> Iterator[Check]:
    """How old things are: of data that have ended that says nothing."""
    newest = f"FROM {BATCHES} WHERE next_watermark IS NOT NULL ORDER BY committed_at DESC LIMIT 1"
    yield _check(
        "stream_batches",
        "lag_is_small",
        f"The newest event of the last batch was in the lake within {MAX_LAG_MINUTES:.0f} minutes.",
        "timeliness",
        "The stream is behind its topics: give it more cores, and look at analytics-assets "
        "stream-status. After an interruption it catches up by itself.",
        Limit(
            "SELECT date_diff('second',  "
            f"next_watermark + INTERVAL {in_seconds(DELAY)}, committed_at) / 60.0 " + newest,
            MAX_LAG_MINUTES,
            "The newest event came into the lake after {:,.1f} minutes.",
        ),
    )
    yield _check(
        "stream_queries",
        "watermark_is_recent",
        f"When the ledger was written, the watermark was at most {MAX_AGE_MINUTES:.0f} minutes "
        "old.",
        "timeliness",
        "No event comes, or the stream does not run: look at its process and at analytics-assets "
        "stream-status. No hour closes before the watermark moves on, so newer days are not "
        "loaded.",
        Limit(
            "SELECT date_diff('second', (SELECT next_watermark "
            f"{newest}), max(read_at)) / 60.0 FROM quality.stream_queries",
            MAX_AGE_MINUTES,
            "The watermark was {:,.0f} minutes old.",
        ),
    )


def _check(
    asset: str,
    name: str,
    description: str,
    dimension: str,
    remedy: str,
    rule: RowRule | ListedRows | Limit,
    severe: float | None = None,
) -> Check:
    return Check("stream", asset, name, description, dimension, remedy, rule, severe_share=severe)


def evaluate(
    session: Session, scans: Scans, checks: Sequence[Check], window: Window | None
) -> Iterator[Finding]:
    """The findings: of rules on rows, and of figures."""
    yield from rows.evaluate(session, scans, checks, window)
    for check in checks:
        if isinstance(check.rule, Limit):
            yield _figure(session, check, check.rule)


def _figure(session: Session, check: Check, limit: Limit) -> Finding:
    began = time.perf_counter()
    figure = session.value(limit.query)
    return Finding(
        check,
        passed=figure is None or figure <= limit.most,
        description="Nothing to see yet." if figure is None else limit.words.format(figure),
        severe=False,
        figure=None if figure is None else float(figure),
        threshold=limit.most,
        query=tidy(limit.query),
        seconds=time.perf_counter() - began,
    )
