"""Dagster's SQLite event log, with its connections kept open and its events written in batches.

Dagster's own opens a new engine and connection for every event, and waits for the disk at each,
which makes the bookkeeping of a two-year daily backfill slower than the backfill. Here one
connection for each file is kept, SQLite's write-ahead log is synced at its checkpoints, and the
partitions of an asset, which Dagster hands over together where it is told that it may, are one
transaction. A power cut can cost the last events of a run, never a consistent file; the data itself
is in the warehouse. The files are those that Dagster's own storage reads and writes.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import AssetKey, EventLogEntry
from sqlalchemy import Connection, Engine, create_engine, event, func, inspect, select
from sqlalchemy.pool import QueuePool

from analytics_assets.compat.event_log import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    BATCH_WRITABLE_EVENTS,
    INDEX_SHARD_NAME,
    SqlEventLogStorageTable,
    SqliteEventLog,
)

OPEN_SHARDS = 16  # one file for each run; more than these are closed again
BATCH = 1000  # events that are written at once


class PooledSqliteEventLogStorage(SqliteEventLog):
    """Dagster's SQLite event log with one kept connection for each of the files last used.

    Configured in dagster.yaml with the same `base_dir`; the files are the same.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._transactions: dict[str, Connection] = {}  # those under way, by file
        self._tables: set[str] = set()  # of the index, that have been seen
        self._lock = threading.RLock()
        # Dagster asks its environment whether events may come in batches.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH))
        super().__init__(*args, **kwargs)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PooledSqliteEventLogStorage":
        """Dagster's way to make the storage from dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run, none or all of them.

        As `store_event` does it one by one: each into the file of its run, and those of assets and
        checks into the index too, where an asset's row tells of its newest event.
        """
        if any(e.dagster_event_type not in BATCH_WRITABLE_EVENTS for e in events):
            super().store_event_batch(events)
            return
        rows = [self.event_row(entry) for entry in events]
        insert = SqlEventLogStorageTable.insert()
        run = self.run_connection(events[0].run_id)
        with run as of_run, self.index_connection() as index:
            of_run.execute(insert, rows)
            index.execute(insert, rows)
            # The transaction holds the file's only write lock: the new rows are the last ones.
            last = index.scalar(select(func.max(SqlEventLogStorageTable.c.id)))
            numbered = list(enumerate(events, last - len(events) + 1))
            of_assets = [(n, e) for n, e in numbered if e.dagster_event_type in ASSET_EVENTS]
            self.store_asset_tags(
                index, [entry for _, entry in of_assets], [number for number, _ in of_assets]
            )
            newest: dict[tuple[AssetKey | None, object], tuple[int, EventLogEntry]] = {
                (entry.get_dagster_event().asset_key, entry.dagster_event_type): (number, entry)
                for number, entry in of_assets
            }
            for number, entry in newest.values():
                self.store_asset_row(index, entry, number)
            for number, entry in numbered:
                if entry.dagster_event_type in ASSET_CHECK_EVENTS:
                    self.store_asset_check_event(entry, number)

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; those that were there are not looked for again."""
        if table_name not in self._tables:
            with self.index_connection() as connection:
                if inspect(connection).has_table(table_name):
                    self._tables.add(table_name)
        return table_name in self._tables

    @contextmanager
    def connection(self, shard: str) -> Iterator[Connection]:
        """A transaction on a file, or the one under way; another thread waits for its end."""
        with self._lock:
            if shard in self._transactions:  # of this thread, which holds the lock
                yield self._transactions[shard]
                return
            with self._engine(shard).connect() as connection, connection.begin():
                self._transactions[shard] = connection
                try:
                    yield connection
                finally:
                    del self._transactions[shard]

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.pop(shard, None)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=QueuePool,
                pool_size=1,
                # Guarded by the lock of the storage.
                connect_args={"timeout": 60, "check_same_thread": False},
            )
            event.listen(engine, "connect", _sync_at_checkpoints)
            self.prepare_file(engine, shard)
        self._engines[shard] = engine  # the newest last
        for old in list(self._engines)[:-OPEN_SHARDS]:
            if old != INDEX_SHARD_NAME:
                self._engines.pop(old).dispose()
        return engine

    def wipe(self) -> None:
        """Delete all events; the files go, so their connections go first."""
        self.dispose()
        self._tables.clear()
        super().wipe()

    def dispose(self) -> None:
        """Close all connections."""
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        super().dispose()


def _sync_at_checkpoints(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")
