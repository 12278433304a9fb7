"""The event log that keeps its connections: the same files as Dagster's own, from any process."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetMaterialization,
    BackfillPolicy,
    DagsterEvent,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    EventLogEntry,
    asset,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
)
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import (
    AssetMaterializationPlannedData,
    DagsterEventType,
    StepMaterializationData,
)
from dagster._core.storage.event_log import SqliteEventLogStorage

from analytics_assets.automation.event_log import OPEN_SHARDS, PooledSqliteEventLogStorage
from analytics_assets.automation.instance import instance_config
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window
from analytics_assets_tests.conftest import make_settings

WRITER = """
import sys
from analytics_assets_tests.automation.test_event_log import materialized
from dagster._core.storage.event_log import SqliteEventLogStorage
storage = SqliteEventLogStorage(sys.argv[1])
print("ready", flush=True)
for n in range(int(sys.argv[3])):
    storage.store_event(materialized(sys.argv[2], f"theirs {n}"))
"""


def materialized(
    run: str, partition: str, asset: str = "orders", tags: dict[str, str] | None = None
) -> EventLogEntry:
    data = StepMaterializationData(AssetMaterialization(asset, partition=partition, tags=tags))
    event = DagsterEvent(
        DagsterEventType.ASSET_MATERIALIZATION.value, "job", event_specific_data=data
    )
    return EventLogEntry(None, 10, "", run, time.time(), "step", "job", event)


def partitions(storage: SqliteEventLogStorage, run: str) -> list[str | None]:
    return [
        entry.dagster_event.partition
        for entry in storage.get_logs_for_run(run)
        if entry.dagster_event
    ]


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[PooledSqliteEventLogStorage]:
    with closing_storage(PooledSqliteEventLogStorage(str(tmp_path))) as storage:
        yield storage


def planned(run: str, partition: str | None, check: str | None = None) -> EventLogEntry:
    kind = DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    data: Any = AssetMaterializationPlannedData(AssetKey("orders"), partition=partition)
    if check:
        kind = DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
        data = AssetCheckEvaluationPlanned(asset_key=AssetKey("orders"), check_name=check)
    event = DagsterEvent(kind.value, "job", event_specific_data=data)
    return EventLogEntry(None, 10, "", run, time.time(), "step", "job", event)


def table(directory: Path, file: str, name: str) -> list[tuple[Any, ...]]:
    """Rows of one of Dagster's tables, times of writing aside."""
    with closing(sqlite3.connect(directory / file)) as connection:
        rows = connection.execute(f"SELECT * FROM {name} ORDER BY id").fetchall()
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
    keep = [i for i, column in enumerate(columns) if column != "create_timestamp"]
    return [tuple(row[i] for i in keep) for row in rows]


def closing_storage(storage: PooledSqliteEventLogStorage) -> "closing[PooledSqliteEventLogStorage]":
    storage.close = storage.dispose  # type: ignore[attr-defined]
    return closing(storage)  # type: ignore[type-var]


def test_dagsters_own_storage_reads_what_ours_wrote(
    ours: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    for n in range(3):
        ours.store_event(materialized("run", f"ours {n}"))
    stock = SqliteEventLogStorage(str(tmp_path))
    assert partitions(stock, "run") == ["ours 0", "ours 1", "ours 2"]
    assert stock.get_materialized_partitions(AssetKey("orders")) == {"ours 0", "ours 1", "ours 2"}


def test_ours_reads_what_dagsters_own_wrote_before_and_after(
    ours: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    stock = SqliteEventLogStorage(str(tmp_path))
    stock.store_event(materialized("run", "before"))
    assert partitions(ours, "run") == ["before"]
    stock.store_event(materialized("run", "after"))
    assert partitions(ours, "run") == ["before", "after"]
    assert ours.get_materialized_partitions(AssetKey("orders")) == {"before", "after"}


def test_more_runs_than_connections_are_kept(
    ours: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    runs = [f"run{n}" for n in range(OPEN_SHARDS + 9)]
    for partition in ("first", "second"):
        for run in runs:
            ours.store_event(materialized(run, partition))
    assert all(partitions(ours, run) == ["first", "second"] for run in runs)
    assert len(open_files(tmp_path)) <= OPEN_SHARDS + 1  # the index stays open besides


def test_a_run_costs_one_connection_however_many_events(
    ours: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    for n in range(30):
        ours.store_event(materialized("run", str(n)))
    assert sorted(open_files(tmp_path)) == ["index.db", "run.db"]


def test_closing_closes_every_file(tmp_path: Path) -> None:
    storage = PooledSqliteEventLogStorage(str(tmp_path))
    storage.store_event(materialized("run", "day"))
    assert open_files(tmp_path)
    storage.dispose()
    assert open_files(tmp_path) == []


def test_another_process_writes_the_same_run_at_the_same_time(
    ours: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    events = 60
    ours.store_event(materialized("run", "ours first"))
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WRITER, str(tmp_path), "run", str(events)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for n in range(events):
            ours.store_event(materialized("run", f"ours {n}"))
        assert writer.wait(60) == 0
    everything = partitions(ours, "run")
    assert [p for p in everything if p and p.startswith("theirs")] == [
        f"theirs {n}" for n in range(events)
    ]
    assert [p for p in everything if p and p.startswith("ours")][1:] == [
        f"ours {n}" for n in range(events)
    ]
    assert len(ours.get_materialized_partitions(AssetKey("orders"))) == 2 * events + 1


def test_threads_share_the_storage(ours: PooledSqliteEventLogStorage) -> None:
    def write(thread: int) -> None:
        for n in range(15):
            ours.store_event(materialized("shared", f"{thread}-{n}"))
            ours.store_event(materialized(f"own{thread}", str(n)))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(partitions(ours, "shared"))) == 60
    assert all(len(partitions(ours, f"own{n}")) == 15 for n in range(4))


def test_a_batch_is_what_dagsters_own_storage_writes_one_by_one(
    ours: PooledSqliteEventLogStorage, tmp_path: Path
) -> None:
    events = [
        *(planned("run", day) for day in ("one", "two")),
        planned("run", None, check="unique"),
        *(materialized("run", day, tags={DATA_VERSION_TAG: day}) for day in ("one", "two")),
        materialized("run", "one", asset="customers"),
    ]
    stock = SqliteEventLogStorage(str(tmp_path / "stock"))
    for event in events:
        stock.store_event(event)
    ours.store_event_batch(events[:3])
    ours.store_event_batch(events[3:])
    for name in ("event_logs", "asset_keys", "asset_event_tags", "asset_check_executions"):
        expected = table(tmp_path / "stock", "index.db", name)
        assert expected and table(tmp_path, "index.db", name) == expected
    assert table(tmp_path, "run.db", "event_logs") == table(
        tmp_path / "stock", "run.db", "event_logs"
    )


def test_a_batch_that_fails_leaves_nothing_behind(
    ours: PooledSqliteEventLogStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.store_event(materialized("run", "before"))

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ours, "store_asset_check_event", full)
    with pytest.raises(OSError, match="disk full"):
        ours.store_event_batch([materialized("run", "lost"), planned("run", None, check="unique")])
    assert partitions(ours, "run") == ["before"]
    assert ours.get_materialized_partitions(AssetKey("orders")) == {"before"}
    monkeypatch.undo()
    ours.store_event(materialized("run", "after"))
    assert partitions(ours, "run") == ["before", "after"]


def test_dagster_hands_the_partitions_of_an_asset_over_as_one_batch(tmp_path: Path) -> None:
    days = DailyPartitionsDefinition("2024-01-01", end_date="2024-01-08")

    @asset(partitions_def=days, backfill_policy=BackfillPolicy.single_run())
    def orders() -> None: ...

    batches: list[int] = []
    config = instance_config(make_settings(tmp_path))
    with DagsterInstance.local_temp(
        str(tmp_path),
        overrides={"event_log_storage": config["event_log_storage"]},
    ) as instance:
        storage = instance.event_log_storage
        store = storage.store_event_batch
        storage.store_event_batch = lambda events: (batches.append(len(events)), store(events))[1]  # type: ignore[method-assign]
        result = Definitions(assets=[orders]).resolve_implicit_global_asset_job_def()
        result.execute_in_process(
            instance=instance, tags=range_tags(Window.of_days("2024-01-01", "2024-01-07"))
        )
        assert len(instance.get_materialized_partitions(orders.key)) == 7
    assert batches == [7, 7]  # planned, then materialized


def open_files(directory: Path) -> list[str]:
    """Databases in the directory that this process holds open, once for each time."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = descriptor.readlink()
        except FileNotFoundError:
            continue
        if target.parent == directory and target.suffix == ".db":
            found.append(target.name)
    return found
