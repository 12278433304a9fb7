"""Hooks into Dagster's event log, which is private as a whole.

A separate module: it imports SQLAlchemy, which loading the definitions does not need.

Dagster's own `store_event` uses `INDEX_SHARD_NAME`, `SqlEventLogStorageTable` and the sets of
events; a batch has to write the same rows to the same files. Pruning deletes rows, for which
Dagster has nothing but the deletion of whole runs, with the newest materializations in them.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, BATCH_WRITABLE_EVENTS
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from sqlalchemy import Connection, Engine, and_, delete, exists, or_, select

__all__ = [
    "ASSET_CHECK_EVENTS",
    "ASSET_EVENTS",
    "BATCH_WRITABLE_EVENTS",
    "INDEX_SHARD_NAME",
    "SqlEventLogStorageTable",
    "SqliteEventLog",
    "delete_file",
    "prune_events",
    "runs_with_events",
]

OF_PARTITIONS = (
    DagsterEventType.ASSET_MATERIALIZATION.value,
    DagsterEventType.ASSET_OBSERVATION.value,
)
RUNS_AT_ONCE = 500  # in a statement


def prune_events(storage: Any, run_ids: Sequence[str]) -> int:
    """Delete the events of runs, except what tells the state of a partition or a check.

    The newest materialization and observation of each partition stays, and the newest verdict of
    each check.

    Args:
        storage: an event log in SQLite or PostgreSQL; of another none are deleted.
        run_ids: the runs; they have ended.

    Returns:
        The number of deleted events.
    """
    if not isinstance(storage, SqlEventLogStorage):
        return 0
    events, tags, checks = (
        table.c
        for table in (SqlEventLogStorageTable, AssetEventTagsTable, AssetCheckExecutionsTable)
    )
    later = SqlEventLogStorageTable.alias("later").c
    later_check = AssetCheckExecutionsTable.alias("later_check").c
    # Two conditions, so that each finds its rows in an index. One for both read all later events of
    # the asset, for each event, and for those that had stayed before again with each portion.
    newer = and_(
        later.asset_key == events.asset_key,
        later.dagster_event_type == events.dagster_event_type,
        later.id > events.id,
    )
    superseded = or_(
        exists().where(and_(newer, later.partition == events.partition)),
        and_(events.partition.is_(None), exists().where(and_(newer, later.partition.is_(None)))),
    )
    superseded_check = exists().where(
        and_(
            later_check.asset_key == checks.asset_key,
            later_check.check_name == checks.check_name,
            or_(
                later_check.partition == checks.partition,
                and_(later_check.partition.is_(None), checks.partition.is_(None)),
            ),
            later_check.id > checks.id,
        )
    )
    deleted = 0
    for first in range(0, len(run_ids), RUNS_AT_ONCE):
        of_runs = events.run_id.in_(run_ids[first : first + RUNS_AT_ONCE])
        where = and_(
            of_runs,
            or_(
                events.dagster_event_type.is_(None),
                events.dagster_event_type.notin_(OF_PARTITIONS),
                superseded,
            ),
        )
        with storage.index_connection() as connection:
            connection.execute(
                delete(AssetEventTagsTable).where(tags.event_id.in_(select(events.id).where(where)))
            )
            deleted += connection.execute(delete(SqlEventLogStorageTable).where(where)).rowcount
            connection.execute(
                delete(AssetCheckExecutionsTable).where(
                    and_(checks.run_id.in_(run_ids[first : first + RUNS_AT_ONCE]), superseded_check)
                )
            )
    return deleted


def runs_with_events(storage: Any, run_ids: Collection[str]) -> set[str]:
    """Those of the runs that have events of assets, or whose storage cannot be looked into."""
    if not isinstance(storage, SqlEventLogStorage):
        return {*run_ids}
    ids, found = list(run_ids), set()
    with storage.index_connection() as connection:
        for first in range(0, len(ids), RUNS_AT_ONCE):
            some = ids[first : first + RUNS_AT_ONCE]
            run_id = SqlEventLogStorageTable.c.run_id
            found |= {*connection.scalars(select(run_id).where(run_id.in_(some)).distinct())}
    return found


def delete_file(storage: Any, run_id: str) -> None:
    """Delete the file of a run's events; only SQLite has one for each run."""
    if isinstance(storage, SqliteEventLogStorage):
        if isinstance(storage, SqliteEventLog):
            storage.close_file(run_id)
        storage._initialized_dbs.discard(run_id)  # whoever opens it again creates its tables
        file = Path(storage.path_for_shard(run_id))
        for path in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)


class SqliteEventLog(SqliteEventLogStorage):
    """Dagster's storage, with public names for the private methods that our subclass needs."""

    def connection(self, shard: str) -> Any:
        """A transaction on a file; Dagster would open the file for each."""
        raise NotImplementedError

    def _connect(self, shard: str) -> Any:
        return self.connection(shard)

    def close_file(self, shard: str) -> None:
        """Close the connection to a file, if it is open."""
        raise NotImplementedError

    def event_row(self, entry: EventLogEntry) -> dict[str, Any]:
        """The columns of an event."""
        return self._event_to_row(entry)

    def store_asset_tags(
        self, index: Connection, entries: Sequence[EventLogEntry], numbers: Sequence[int]
    ) -> None:
        """Write the tags of events of assets into the index."""
        self._store_asset_event_tags(index, entries, numbers)

    def store_asset_row(self, index: Connection, entry: EventLogEntry, number: int) -> None:
        """Write the newest event of an asset into its row in the index."""
        self._store_asset_event(index, entry, number)

    def prepare_file(self, engine: Engine, shard: str) -> None:
        """Create the tables of a file, once in a process; pruning may have deleted it since."""
        if not Path(self.path_for_shard(shard)).exists():
            self._initialized_dbs.discard(shard)
        if shard not in self._initialized_dbs:
            self._initdb(engine, for_index_shard=shard == INDEX_SHARD_NAME)
            self._initialized_dbs.add(shard)
