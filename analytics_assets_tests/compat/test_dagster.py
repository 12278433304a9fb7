"""Each hook into Dagster still does what we use it for."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetObservation,
    AssetRecordsFilter,
    BackfillPolicy,
    BetaWarning,
    DagsterInstance,
    DataVersion,
    DataVersionsByPartition,
    Definitions,
    TimeWindow,
    asset,
    define_asset_job,
    materialize,
    observable_source_asset,
)
from dagster._core.storage import tags
from dagster_duckdb_pandas import DuckDBPandasIOManager
from dagster_duckdb_pandas.duckdb_pandas_type_handler import DuckDBPandasTypeHandler

from analytics_assets.automation.ranges import range_tags
from analytics_assets.compat.dagster import (
    DATA_VERSION_TAG,
    GLOBAL_CONCURRENCY_TAG,
    DbIOManager,
    TableSlice,
    add_partition_metadata,
    external_asset,
    known_to_the_ui,
    observed_versions,
)
from analytics_assets.partitions import (
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    Calendar,
    Window,
    daily_partitions,
)


def test_the_tags_of_partitions_have_dagsters_names() -> None:
    assert PARTITION_TAG == tags.PARTITION_NAME_TAG
    assert RANGE_START_TAG == tags.ASSET_PARTITION_RANGE_START_TAG
    assert RANGE_END_TAG == tags.ASSET_PARTITION_RANGE_END_TAG


def test_add_partition_metadata() -> None:
    days = daily_partitions(Calendar(date(2024, 1, 1), date(2024, 2, 1)))

    @asset(partitions_def=days, backfill_policy=BackfillPolicy.single_run())
    def orders(context: AssetExecutionContext) -> None:
        context.add_asset_metadata({"kept": 1}, partition_key="2024-01-02")
        add_partition_metadata(
            context.get_step_execution_context(),
            context.asset_key,
            {day: {"rows": day.day} for day in Window(date(2024, 1, 2), date(2024, 1, 5))},
            {"why": "all"},
        )

    made = materialize(
        [orders], tags=range_tags(Window(date(2024, 1, 2), date(2024, 1, 5)))
    ).asset_materializations_for_node("orders")
    assert {
        event.partition: {name: value.value for name, value in event.metadata.items()}
        for event in made
    } == {
        "2024-01-02": {"kept": 1, "rows": 2},
        "2024-01-03": {"rows": 3},
        "2024-01-04": {"rows": 4, "why": "all"},
    }


@pytest.mark.filterwarnings(f"ignore::{BetaWarning.__module__}.{BetaWarning.__name__}")
def test_external_asset() -> None:
    days = daily_partitions(Calendar(date(2024, 1, 1), date(2024, 1, 3)))

    @observable_source_asset(partitions_def=days)
    def orders_source() -> DataVersionsByPartition:
        return DataVersionsByPartition({"2024-01-01": DataVersion("a")})

    source = external_asset(orders_source).map_asset_specs(
        lambda spec: spec.replace_attributes(owners=["team:analytics"], kinds={"csv"})
    )
    (spec,) = source.specs
    assert (spec.owners, spec.kinds) == (["team:analytics"], {"csv"})
    with DagsterInstance.ephemeral() as instance:
        job = Definitions([source], jobs=[define_asset_job("observe", [source])])
        assert job.resolve_job_def("observe").execute_in_process(instance=instance).success
        records = instance.fetch_observations(AssetRecordsFilter(spec.key), 9).records
    found = {
        event.partition: (event.tags or {})["dagster/data_version"]
        for record in records
        if (event := record.asset_observation)
    }
    assert found == {"2024-01-01": "a"}


def test_db_io_manager_is_what_dagster_duckdb_pandas_plugs_into() -> None:
    assert isinstance(
        DuckDBPandasIOManager(database="w.duckdb").create_io_manager(None),  # type: ignore[arg-type]
        DbIOManager,
    )


def test_table_slice_says_what_the_io_manager_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[Any] = []
    monkeypatch.setattr(
        DuckDBPandasTypeHandler, "handle_output", lambda *arguments: stored.append(arguments[2])
    )

    @asset(
        partitions_def=daily_partitions(Calendar(date(2024, 1, 1), date(2024, 1, 3))),
        metadata={"schema": "raw", "partition_expr": "day"},
    )
    def readings() -> pd.DataFrame:
        return pd.DataFrame({"day": [date(2024, 1, 2)]})

    manager = DuckDBPandasIOManager(database=str(tmp_path / "w.duckdb"))
    # Without the table, reading back for the row count would fail.
    duckdb.connect(str(tmp_path / "w.duckdb")).execute(
        "CREATE SCHEMA raw; CREATE TABLE raw.readings (day DATE)"
    ).close()
    assert materialize(
        [readings], partition_key="2024-01-02", resources={"io_manager": manager}
    ).success
    (table,) = stored
    assert isinstance(table, TableSlice)
    assert (table.schema, table.table) == ("raw", "readings")
    (dimension,) = table.partition_dimensions or ()
    bounds = dimension.partitions
    assert isinstance(bounds, TimeWindow)
    assert (bounds.start.date(), bounds.end.date()) == (date(2024, 1, 2), date(2024, 1, 3))


def test_versions_that_a_step_logs_are_observed_by_partition() -> None:
    @asset(deps=["source"])
    def loaded(context: AssetExecutionContext) -> None:
        for day, version in (("2024-01-01", "a"), ("2024-01-02", "b"), ("2024-01-01", "c")):
            tags = {DATA_VERSION_TAG: version}
            context.log_event(AssetObservation("source", partition=day, tags=tags))

    with DagsterInstance.ephemeral() as instance:
        assert observed_versions(instance, AssetKey("source")) == {}
        assert materialize([loaded], instance=instance).success
        assert observed_versions(instance, AssetKey("source")) == {
            "2024-01-01": "c",
            "2024-01-02": "b",
        }


def test_an_observation_is_in_the_pool_of_its_tag() -> None:
    @observable_source_asset(op_tags={GLOBAL_CONCURRENCY_TAG: "warehouse"})
    def source() -> DataVersion:
        return DataVersion("1")

    made = external_asset(source)
    job = Definitions([made], jobs=[define_asset_job("look", [made])]).resolve_job_def("look")
    with DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.run_op_concurrency is not None
        assert run.run_op_concurrency.all_pools == {"warehouse"}


def test_a_run_of_this_process_has_the_place_of_its_job() -> None:
    @asset
    def table() -> None: ...

    job = Definitions([table], jobs=[define_asset_job("load", [table])]).resolve_job_def("load")
    with DagsterInstance.ephemeral() as instance:
        with known_to_the_ui(instance, "package.definitions", "package", "load") as place:
            inside = job.execute_in_process(instance=instance, tags=place).run_id
        outside = job.execute_in_process(instance=instance).run_id
        run = instance.get_run_by_id(inside)
        assert run is not None
        assert run.tags[".dagster/repository"] == "__repository__@package"
        origin = run.remote_job_origin
        assert origin is not None
        assert (origin.location_name, origin.job_name) == ("package", "load")
        other = instance.get_run_by_id(outside)
        assert other is not None
        assert other.remote_job_origin is None
