"""Dagster's SQLite event log, with its connections kept open and its events written in batches.

Dagster's own storage opens a new engine and connection for every event and waits for the disk
each time. In a two-year daily backfill that takes longer than the backfill itself. This storage
keeps one connection per file, syncs SQLite's write-ahead log only at its checkpoints, and writes
the events of an asset's partitions, which Dagster can pass as a batch, in one transaction. A power
cut can lose the last events of a run, but the file stays consistent; the data itself is in the
warehouse. Dagster's own storage reads and writes the same files.
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

OPEN_SHARDS = 16  # one file per run; older ones are closed
BATCH = 1000  # events written at once


class PooledSqliteEventLogStorage(SqliteEventLog):
    """Dagster's SQLite event log, with an open connection to each of the files used last.

    Configured in dagster.yaml with the same `base_dir`; the files are the same.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._transactions: dict[str, Connection] = {}  # open ones, by file
        self._tables: set[str] = set()  # of the index, known to exist
        self._lock = threading.RLock()
        # Dagster reads from its environment whether it may batch events.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH))
        super().__init__(*args, **kwargs)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PooledSqliteEventLogStorage":
        """Called by Dagster to create the storage from dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run: all of them or none.

        Writes what `store_event` writes one by one: each event to the file of its run, and events
        of assets and checks to the index too, where an asset's row has its newest event.
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
        """Whether the index has a table; known tables are not looked up again."""
        if table_name not in self._tables:
            with self.index_connection() as connection:
                if inspect(connection).has_table(table_name):
                    self._tables.add(table_name)
        return table_name in self._tables

    @contextmanager
    def connection(self, shard: str) -> Iterator[Connection]:
        """A transaction on a file, or the open one; another thread waits until it ends."""
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
                # The lock of the storage guards it.
                connect_args={"timeout": 60, "check_same_thread": False},
            )
            event.listen(engine, "connect", _sync_at_checkpoints)
            self.prepare_file(engine, shard)
        self._engines[shard] = engine  # the newest last
        for old in list(self._engines)[:-OPEN_SHARDS]:
            if old != INDEX_SHARD_NAME:
                self._engines.pop(old).dispose()
        return engine

    def close_file(self, shard: str) -> None:
        """Close the connection to a file, if it is open."""
        with self._lock:
            engine = self._engines.pop(shard, None)
            if engine:
                engine.dispose()

    def wipe(self) -> None:
        """Delete all events; closes the connections before their files are deleted."""
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
