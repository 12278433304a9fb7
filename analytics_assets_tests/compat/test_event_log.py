"""Each hook into Dagster's event log still does what we use it for.

That both storages leave the same rows is a test of `automation/test_event_log.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterEventType
from sqlalchemy import Connection, create_engine, inspect, select

from analytics_assets.compat.event_log import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    BATCH_WRITABLE_EVENTS,
    INDEX_SHARD_NAME,
    SqlEventLogStorageTable,
    SqliteEventLog,
)
from analytics_assets_tests.automation.test_event_log import materialized


class Recorded(SqliteEventLog):
    """Says which files Dagster asks for."""

    def __init__(self, base_dir: str) -> None:
        self.asked: list[str] = []
        super().__init__(base_dir)

    @contextmanager
    def connection(self, shard: str) -> Iterator[Connection]:
        self.asked.append(shard)
        engine = create_engine(self.conn_string_for_shard(shard))
        self.prepare_file(engine, shard)
        with engine.begin() as connection:
            yield connection
        engine.dispose()


@pytest.fixture
def storage(tmp_path: Path) -> Recorded:
    return Recorded(str(tmp_path))


def test_connection_is_how_dagster_reaches_every_file(storage: Recorded) -> None:
    with storage.run_connection("run"), storage.index_connection():
        pass
    storage.store_event(materialized("other", "2024-01-01"))
    assert {*storage.asked} == {"run", "other", INDEX_SHARD_NAME}


def test_prepare_file(storage: Recorded) -> None:
    with storage.index_connection() as index:
        assert inspect(index).has_table(SqlEventLogStorageTable.name)


def test_event_row_and_its_table(storage: Recorded) -> None:
    entry = materialized("run", "2024-01-01")
    with storage.index_connection() as index:
        index.execute(SqlEventLogStorageTable.insert(), [storage.event_row(entry)])
        columns = SqlEventLogStorageTable.c
        row = index.execute(select(columns.run_id, columns.partition, columns.asset_key)).one()
    assert tuple(row) == ("run", "2024-01-01", AssetKey("orders").to_string())


def test_store_asset_tags_and_store_asset_row(storage: Recorded) -> None:
    entry = materialized("run", "2024-01-01", tags={"dagster/data_version": "v"})
    with storage.index_connection() as index:
        index.execute(SqlEventLogStorageTable.insert(), [storage.event_row(entry)])
        storage.store_asset_tags(index, [entry], [1])
        storage.store_asset_row(index, entry, 1)
    key = AssetKey("orders")
    assert storage.all_asset_keys() == [key]
    assert storage.get_event_tags_for_asset(key) == [{"dagster/data_version": "v"}]
    (record,) = storage.get_asset_records([key])
    assert record.asset_entry.last_run_id == "run"


def test_the_sets_of_events() -> None:
    kinds = DagsterEventType
    assert {kinds.ASSET_MATERIALIZATION, kinds.ASSET_OBSERVATION} <= ASSET_EVENTS
    assert kinds.ASSET_CHECK_EVALUATION in ASSET_CHECK_EVENTS
    assert kinds.ASSET_MATERIALIZATION in BATCH_WRITABLE_EVENTS
