"""Hooks into Dagster's SQLite event log, which is private as a whole.

A separate module: it imports SQLAlchemy, which loading the definitions does not need.

Dagster's own `store_event` uses `INDEX_SHARD_NAME`, `SqlEventLogStorageTable` and the sets of
events; a batch has to write the same rows to the same files.
"""

from collections.abc import Sequence
from typing import Any

from dagster import EventLogEntry
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, BATCH_WRITABLE_EVENTS
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from sqlalchemy import Connection, Engine

__all__ = [
    "ASSET_CHECK_EVENTS",
    "ASSET_EVENTS",
    "BATCH_WRITABLE_EVENTS",
    "INDEX_SHARD_NAME",
    "SqlEventLogStorageTable",
    "SqliteEventLog",
]


class SqliteEventLog(SqliteEventLogStorage):
    """Dagster's storage, with public names for the private methods that our subclass needs."""

    def connection(self, shard: str) -> Any:
        """A transaction on a file; Dagster would open the file for each."""
        raise NotImplementedError

    def _connect(self, shard: str) -> Any:
        return self.connection(shard)

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
        """Create the tables of a file, once in a process."""
        if shard not in self._initialized_dbs:
            self._initdb(engine, for_index_shard=shard == INDEX_SHARD_NAME)
            self._initialized_dbs.add(shard)
