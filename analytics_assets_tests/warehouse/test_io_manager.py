"""The IO manager through real assets: one test for each fault of the stock one, named after it.

Tests named test_upstream_... pin the stock manager's faults: when one fails, an upgrade has mended
the fault, and our own code for it can go.
"""

import gc
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from dagster import (
    AssetKey,
    AssetRecordsFilter,
    AssetsDefinition,
    BackfillPolicy,
    DagsterInstance,
    ExecuteInProcessResult,
    asset,
    materialize,
)
from dagster_duckdb_pandas import DuckDBPandasIOManager

from analytics_assets.partitions import Calendar, daily_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.io_manager import WarehouseIOManager
from analytics_assets.warehouse.windows import WindowError
from analytics_assets_tests.warehouse.conftest import readings

DAILY = daily_partitions(Calendar(date(2024, 1, 1), date(2024, 1, 11)))
ONE, TWO, THREE = (date(2024, 1, day) for day in (1, 2, 3))
Opener = Callable[[Path, str], object]


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "readings", readings())
    monkeypatch.setitem(TABLES, "totals", replace(readings(None), name="totals"))


def frame(*days: date, **values: Any) -> pd.DataFrame:
    columns = {"name": "a", "first": 1, "second": 2, "note": "n", "share": 0.5} | values
    return pd.DataFrame({"day": list(days), **columns})


def returning(output: pd.DataFrame, name: str = "readings", **metadata: Any) -> AssetsDefinition:
    """A daily asset that returns a frame, whatever the partition."""

    @asset(
        name=name,
        partitions_def=DAILY,
        backfill_policy=BackfillPolicy.single_run(),
        metadata={"schema": "raw", "partition_expr": "day", **metadata},
    )
    def made() -> Any:
        return output

    return made


def run(
    warehouse: Warehouse,
    *assets: AssetsDefinition,
    first: date | None = ONE,
    last: date | None = None,
    stock: bool = False,
    **options: Any,
) -> ExecuteInProcessResult:
    """Materialize in a partition, or in a range of them."""
    if last is not None:
        options["tags"] = {
            "dagster/asset_partition_range_start": str(first),
            "dagster/asset_partition_range_end": str(last),
        }
    elif first is not None:
        options["partition_key"] = str(first)
    manager = (
        DuckDBPandasIOManager(database=str(warehouse.path))
        if stock
        else WarehouseIOManager(warehouse)
    )
    return materialize(list(assets), resources={"io_manager": manager}, **options)


def stored(warehouse: Warehouse, query: str) -> list[Any]:
    gc.collect()  # closes what the stock manager leaves open
    with duckdb.connect(str(warehouse.path), read_only=True) as connection:
        return connection.execute(query).fetchall()


def row_counts(instance: DagsterInstance, name: str, key: str) -> dict[str | None, Any]:
    """Row count of each partition, as its newest materialization says."""
    records = instance.fetch_materializations(
        AssetRecordsFilter(AssetKey(name)), limit=100, ascending=True
    ).records
    counts: dict[str | None, Any] = {}
    for record in records:
        event = record.asset_materialization
        assert event is not None
        if key in event.metadata:
            counts[event.partition] = event.metadata[key].value
    return counts


SWAPPED = frame(ONE, first=1, second=2)[["day", "name", "second", "first", "note", "share"]]


def test_insert_by_position(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame(ONE)))
    run(warehouse, returning(SWAPPED))
    assert stored(warehouse, "SELECT first, second FROM raw.readings") == [(1, 2)]


def test_upstream_inserts_by_position(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame(ONE)), stock=True)
    run(warehouse, returning(SWAPPED), stock=True)
    assert stored(warehouse, "SELECT first, second FROM raw.readings") == [(2, 1)]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(ONE, first="no number"),
        frame(ONE).drop(columns="note"),
        frame(ONE, extra=1),
        frame(ONE, TWO),
    ],
    ids=["type", "missing", "unknown", "outside"],
)
def test_two_transactions_a_failed_insert_loses_the_partition(
    warehouse: Warehouse, wrong: pd.DataFrame
) -> None:
    run(warehouse, returning(frame(ONE)))
    before = stored(warehouse, "FROM raw.readings")
    assert not run(warehouse, returning(wrong), raise_on_error=False).success
    assert stored(warehouse, "FROM raw.readings") == before


def test_upstream_a_failed_insert_loses_the_partition(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame(ONE)), stock=True)
    wrong = returning(frame(ONE, first="no number"))
    assert not run(warehouse, wrong, stock=True, raise_on_error=False).success
    assert stored(warehouse, "FROM raw.readings") == []


def test_rows_outside_the_partition(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame(TWO)), first=TWO)
    with pytest.raises(WindowError, match=r"1 rows lie outside the window \[2024-01-01, 2024-01-0"):
        run(warehouse, returning(frame(ONE, TWO)), first=ONE)
    assert stored(warehouse, "SELECT day FROM raw.readings") == [(TWO,)]


def test_upstream_rows_outside_the_partition_are_doubled(warehouse: Warehouse) -> None:
    for _ in range(2):
        run(warehouse, returning(frame(ONE, TWO)), first=ONE, stock=True)
    assert stored(warehouse, "SELECT day::DATE FROM raw.readings ORDER BY 1") == [
        (ONE,),
        (TWO,),
        (TWO,),
    ]


def test_an_empty_frame_makes_no_table(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame()))
    types = [row[1] for row in stored(warehouse, "DESCRIBE raw.readings")]
    assert types == ["DATE", "VARCHAR", "INTEGER", "INTEGER", "VARCHAR", "DOUBLE"]
    assert stored(warehouse, "FROM raw.readings") == []


def test_an_empty_frame_empties_its_partition_only(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame(ONE)), first=ONE)
    run(warehouse, returning(frame(TWO)), first=TWO)
    run(warehouse, returning(frame()), first=ONE)
    assert stored(warehouse, "SELECT day FROM raw.readings") == [(TWO,)]


def test_upstream_an_empty_frame_makes_no_table(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame()), stock=True)
    assert stored(warehouse, "SELECT table_name FROM duckdb_tables()") == []


def test_an_all_null_column_typed_null(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame(ONE, note=None, share=None)), first=ONE)
    run(warehouse, returning(frame(TWO, note="text", share=0.25)), first=TWO)
    assert stored(warehouse, "SELECT note, share FROM raw.readings ORDER BY day") == [
        (None, None),
        ("text", 0.25),
    ]


def test_upstream_an_all_null_column_is_typed_null(warehouse: Warehouse) -> None:
    run(warehouse, returning(frame(ONE, note=None)), stock=True)
    types = {row[0]: row[1] for row in stored(warehouse, "DESCRIBE raw.readings")}
    assert types["note"] == '"NULL"'


def test_a_ranges_total_row_count_stamped_on_every_partition(warehouse: Warehouse) -> None:
    with DagsterInstance.ephemeral() as instance:
        made = returning(frame(ONE, ONE, THREE))
        run(warehouse, made, first=ONE, last=THREE, instance=instance)
        counts = row_counts(instance, "readings", "dagster/partition_row_count")
        assert counts == {"2024-01-01": 2, "2024-01-02": 0, "2024-01-03": 1}
        assert not row_counts(instance, "readings", "dagster/row_count")


def test_upstream_stamps_a_ranges_total_row_count_on_every_partition(warehouse: Warehouse) -> None:
    with DagsterInstance.ephemeral() as instance:
        made = returning(frame(ONE, ONE, THREE))
        run(warehouse, made, first=ONE, last=THREE, instance=instance, stock=True)
        counts = row_counts(instance, "readings", "dagster/row_count")
        assert counts == dict.fromkeys(["2024-01-01", "2024-01-02", "2024-01-03"], 3)


def downstream(received: list[pd.DataFrame]) -> AssetsDefinition:
    """Loads readings, keeps what it got, and stores an unpartitioned table."""

    @asset(name="totals", partitions_def=DAILY, metadata={"schema": "raw", "partition_expr": "day"})
    def totals(readings: pd.DataFrame) -> None:
        received.append(readings)

    return totals


def test_opens_read_write_to_load(warehouse: Warehouse, in_another_process: Opener) -> None:
    made = returning(frame(ONE))
    run(warehouse, made)
    # Beside another reader only a read-only connection opens.
    in_another_process(warehouse.path, "read")
    received: list[pd.DataFrame] = []
    with DagsterInstance.ephemeral() as instance:
        run(warehouse, made, downstream(received), selection=["totals"], instance=instance)
    assert received[0].drop(columns="day").to_dict("list") == {
        "name": ["a"],
        "first": [1],
        "second": [2],
        "note": ["n"],
        "share": [0.5],
    }


def test_a_load_reads_its_partition_only(warehouse: Warehouse) -> None:
    made = returning(frame(ONE, TWO, THREE))
    run(warehouse, made, first=ONE, last=THREE)
    received: list[pd.DataFrame] = []
    run(warehouse, made, downstream(received), first=TWO, selection=["totals"])
    assert pd.to_datetime(received[0]["day"]).dt.date.tolist() == [TWO]


@pytest.mark.parametrize("wrong", ["store", "load"])
def test_leaks_the_lock_on_exception(
    warehouse: Warehouse, in_another_process: Opener, wrong: str
) -> None:
    made = returning(frame(ONE))
    run(warehouse, made)
    with pytest.raises(Exception) as caught:
        if wrong == "store":
            run(warehouse, returning(frame(TWO)))
        else:
            with warehouse.write() as session:
                session.execute("DROP TABLE raw.readings")
            run(warehouse, made, downstream([]), selection=["totals"])
    assert caught.tb is not None
    in_another_process(warehouse.path, "write")


def test_upstream_leaks_the_lock_on_exception(
    warehouse: Warehouse, in_another_process: Opener
) -> None:
    run(warehouse, returning(frame(ONE)), stock=True)
    try:
        run(warehouse, returning(frame(ONE, first="no number")), stock=True)
    except duckdb.Error as error:
        with pytest.raises(AssertionError, match="lock"):
            in_another_process(warehouse.path, "write")
        error.__traceback__ = None  # frees the file
    else:
        pytest.fail("the insert succeeded")


def test_an_unpartitioned_frame_replaces_the_whole_table(warehouse: Warehouse) -> None:
    def totals(*days: date) -> AssetsDefinition:
        @asset(name="totals", metadata={"schema": "raw"})
        def made() -> Any:
            return frame(*days)

        return made

    with DagsterInstance.ephemeral() as instance:
        run(warehouse, totals(ONE, TWO), first=None, instance=instance)
        run(warehouse, totals(THREE), first=None, instance=instance)
        assert row_counts(instance, "totals", "dagster/row_count") == {None: 1}
    assert stored(warehouse, "SELECT day FROM raw.totals") == [(THREE,)]


@pytest.mark.parametrize(
    ("name", "schema"), [("undeclared", "raw"), ("readings", "marts")], ids=["table", "schema"]
)
def test_only_declared_tables_are_stored(warehouse: Warehouse, name: str, schema: str) -> None:
    with pytest.raises(WindowError, match=f"{schema}.{name} is not declared in analytics_assets/s"):
        run(warehouse, returning(frame(ONE), name, schema=schema))


def test_redoing_a_partition_changes_nothing(warehouse: Warehouse) -> None:
    for _ in range(3):
        run(warehouse, returning(frame(ONE, ONE)))
    assert stored(warehouse, "SELECT count(*) FROM raw.readings") == [(2,)]


def test_a_real_table_keeps_its_declared_types(warehouse: Warehouse) -> None:
    table = TABLES["churn_predictions"]
    given = {"churn_probability": 0.25, "risk_band": "Low", "as_of": TWO, "snapshot_date": ONE}
    # In another order; what is not given is null, which pandas does not type.
    scores = pd.DataFrame({name: [given.get(name)] for name in reversed(table.columns)})
    made = returning(scores, "churn_predictions", schema="churn", partition_expr="snapshot_date")
    run(warehouse, made)
    columns = [(row[0], row[1]) for row in stored(warehouse, "DESCRIBE churn.churn_predictions")]
    assert columns == [
        (name, type_.replace("TEXT", "VARCHAR")) for name, type_ in table.sql_types.items()
    ]
    assert stored(warehouse, "FROM churn.churn_predictions") == [
        tuple(given.get(name) for name in table.columns)
    ]
