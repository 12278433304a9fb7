"""The ledgers of the stream, and its comparison with the batch: for events of the stream's lake.

Belongs here: the assets stream_batches, dead_letters, stream_queries and stream_comparison. Does
not belong here: reading the lake (`sources.readers`), or the SQL that compares
(`streaming.comparison`).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Failure,
    MaterializeResult,
    PartitionsDefinition,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets.common import (
    RETRY,
    backfill_policy,
    code_version,
    run_started,
    table_spec,
)
from analytics_assets.assets.sources import source_key
from analytics_assets.compat.dagster import add_partition_metadata
from analytics_assets.partitions import Window, window_of
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.readers.delta_rows import table_rows
from analytics_assets.sources.readers.lake import LakeReader
from analytics_assets.sources.readers.lake_log import Commit, commits, open_table
from analytics_assets.streaming.comparison import compared, said_columns
from analytics_assets.streaming.layout import (
    ACTIVITY,
    DEAD_LETTERS,
    EVENTS,
    PROGRESS,
    PURCHASES,
    SESSIONS,
    Lake,
)
from analytics_assets.streaming.states import query_states
from analytics_assets.warehouse.connection import POOL, Warehouse
from analytics_assets.warehouse.session import Session

BATCHES, LETTERS = TABLES["stream_batches"], TABLES["dead_letters"]
STREAM_QUERIES, COMPARISON = TABLES["stream_queries"], TABLES["stream_comparison"]
LEDGERS = (BATCHES, LETTERS, STREAM_QUERIES)
CODE = ("assets/quality/stream.py", "streaming", "schemas/quality.py")


def stream_assets(
    settings: Settings, sources: SourcesConfig, config: SourceConfig, daily: PartitionsDefinition
) -> list[AssetsDefinition]:
    """The assets of a stream; none where the events are of files.

    Args:
        settings: the settings.
        sources: the configured sources.
        config: the source of the events.
        daily: partitions of the sources that have days.
    """
    if config.format != LakeReader.format:
        return []
    lake = Lake(config.path)

    @multi_asset(
        name="stream_ledgers",
        specs=[
            table_spec(table, deps=[source_key(config.source)], code_version=code_version(*CODE))
            for table in LEDGERS
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def stream_ledgers(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[MaterializeResult]:
        warehouse.prepare(sources.stand_ins)
        try:
            with warehouse.transaction() as session:
                record_batches(session, lake)
                record_letters(session, lake)
                record_queries(session, lake, settings, run_started(context))
                for table in LEDGERS:
                    rows = session.count(table.relation)
                    yield MaterializeResult(
                        asset_key=table.name, metadata={"dagster/row_count": rows}
                    )
        except SourceError as error:
            raise Failure(str(error), allow_retries=False) from error

    @multi_asset(
        name=COMPARISON.name,
        specs=[
            table_spec(
                COMPARISON,
                deps=["fact_events", "event_sessions"],
                partitions_def=daily,
                code_version=code_version(*CODE),
            )
        ],
        backfill_policy=backfill_policy(settings.max_run_days, sources),
        pool=POOL,
        retry_policy=RETRY,
    )
    def stream_comparison(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> MaterializeResult:
        window = window_of(context)
        with warehouse.transaction() as session:
            found = compare(session, lake, window, sources.calendar.zone)
        by_day: dict[date, dict[str, Any]] = {
            day: {"dagster/partition_row_count": found.get(day, 0)} for day in window
        }
        add_partition_metadata(context.get_step_execution_context(), context.asset_key, by_day, {})
        return MaterializeResult(asset_key=COMPARISON.name)

    return [stream_ledgers, stream_comparison]


def record_batches(session: Session, lake: Lake) -> None:
    """Add the accounts of the batches that the ledger lacks."""
    session.execute(BATCHES.ddl)
    table = open_table(lake.table(EVENTS), EVENTS)
    identity = str(table.metadata().id)
    last = session.value(
        f"SELECT max(lake_version) FROM {BATCHES.relation} WHERE lake_id = ?", [identity]
    )
    rows = [
        row
        for commit in commits(table, -1 if last is None else last)
        for row in _rows_of(commit, identity)
    ]
    session.register("new_batches", pd.DataFrame(rows, columns=BATCHES.columns))
    typed = ", ".join(f"{name}::{type_} AS {name}" for name, type_ in BATCHES.sql_types.items())
    session.replace_window(BATCHES, f"(SELECT {typed} FROM new_batches)", None, where="FALSE")


def _rows_of(commit: Commit, lake: str) -> Iterator[dict[str, Any]]:
    record = commit.record
    for part in record.parts:
        yield {
            "query": record.query,
            "batch_id": record.batch,
            "topic": part.topic,
            "topic_partition": part.partition,
            "first_offset": part.first_offset,
            "last_offset": part.last_offset,
            "rows_read": part.read,
            "rows_accepted": part.accepted,
            "rows_rejected": part.rejected,
            "rows_duplicate": part.duplicates,
            "rows_late": part.late,
            "batch_rows": commit.rows,
            "watermark": _time(record.watermark),
            "next_watermark": _time(record.next_watermark),
            "committed_at": commit.at,
            "lake_id": lake,
            "lake_version": commit.version,
        }


def _time(micros: int | None) -> datetime | None:
    if micros is None:
        return None
    return datetime.fromtimestamp(micros / 1e6, UTC).replace(tzinfo=None)


def record_letters(session: Session, lake: Lake) -> None:
    """Replace the dead letters by those of the lake; their bytes stay there."""
    session.execute(LETTERS.ddl)
    columns = (
        'topic, partition AS topic_partition, "offset" AS topic_offset, '
        "received_at::TIMESTAMP AS received_at, reasons, batch_id"
    )
    rows = table_rows(lake.table(DEAD_LETTERS), columns)
    if rows is None:
        return
    session.register("letters", rows)
    session.replace_window(LETTERS, "letters", None)


def record_queries(session: Session, lake: Lake, settings: Settings, read_at: datetime) -> None:
    """Replace how far the queries are."""
    session.execute(STREAM_QUERIES.ddl)
    states = query_states(lake, settings.home / PROGRESS)
    rows = [(one.name, one.batch, one.watermark, one.rows, one.bytes, read_at) for one in states]
    frame = pd.DataFrame(rows, columns=STREAM_QUERIES.columns)
    session.register("queries", frame)
    typed = ", ".join(
        f"{name}::{type_} AS {name}" for name, type_ in STREAM_QUERIES.sql_types.items()
    )
    session.replace_window(STREAM_QUERIES, f"(SELECT {typed} FROM queries)", None)


def compare(session: Session, lake: Lake, window: Window, zone: str) -> dict[date, int]:
    """Compare the stream with the batch for the days of a window; the rows of each day."""
    session.execute(COMPARISON.ddl)
    settled = {one.name: one.watermark for one in query_states(lake)}
    low, high = (
        datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
        .astimezone(UTC)
        .replace(tzinfo=None)
        for day in (window.start, window.end)
    )
    selects = []
    for what in (SESSIONS, PURCHASES, ACTIVITY):
        # Windows of the day may begin before it, and sessions go on a little after it.
        column = "started_at" if what == SESSIONS else "window_end"
        near = f"{column} BETWEEN TIMESTAMPTZ '{low}+00' AND TIMESTAMPTZ '{high}+00'"
        rows = table_rows(lake.table(what), said_columns(what), near, (column, low, high))
        if rows is None:
            continue
        session.register(f"said_{what}", rows)
        selects.append(compared(what, f"said_{what}", window, zone, settled.get(what)))
    if not selects:
        return {}  # a lake whose other queries have never run
    union = " UNION ALL ".join(f"SELECT * FROM ({select})" for select in selects)
    session.replace_window(COMPARISON, f"({union})", window)
    return dict(
        session.rows(
            f"SELECT day, count(*) FROM {COMPARISON.relation} "
            "WHERE day >= ? AND day < ? GROUP BY 1",
            [window.start, window.end],
        )
    )
