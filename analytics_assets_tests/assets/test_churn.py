"""What training and scoring do while there is too little history, and afterwards."""

import pandas as pd
import pytest
from dagster import AssetKey, DagsterInstance, SourceAsset, materialize

from analytics_assets.assets.churn import churn_assets
from analytics_assets.partitions import Calendar, daily_partitions
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.io_manager import WarehouseIOManager
from analytics_assets_tests.rows import insert

DAY = "2024-01-31"


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    warehouse = Warehouse(settings.warehouse_path)
    warehouse.prepare()
    with warehouse.write() as connection:
        insert(connection, "churn_features", {"churned": None, "label_window_closed": False})
        insert(connection, "customer_analytics_daily", {"snapshot_date": DAY, "sale_orders": 3})
    return warehouse


def make(settings: Settings, warehouse: Warehouse, name: str, day: str | None = None) -> bool:
    daily = daily_partitions(Calendar(pd.Timestamp(DAY).date()))
    upstream = [
        SourceAsset("churn_features", metadata={"schema": "churn"}),
        SourceAsset(
            "customer_analytics_daily",
            partitions_def=daily,
            metadata={"schema": "marts", "partition_expr": "snapshot_date"},
        ),
    ]
    result = materialize(
        [*churn_assets(settings, daily), *upstream],
        selection=[AssetKey(name)],
        partition_key=day,
        instance=DagsterInstance.ephemeral(),
        resources={"warehouse": warehouse, "io_manager": WarehouseIOManager(warehouse)},
        raise_on_error=False,
    )
    return result.success


def count(warehouse: Warehouse, relation: str) -> int:
    with warehouse.read() as connection:
        row = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
        assert row is not None
        return row[0]


def test_too_little_history_is_no_failure_and_predicts_nothing(settings, warehouse):
    assert make(settings, warehouse, "churn_model")
    assert make(settings, warehouse, "churn_predictions", DAY)
    assert count(warehouse, "churn.churn_model") == 0
    assert count(warehouse, "churn.churn_predictions") == 0


def test_too_little_history_does_not_replace_a_model_in_use(settings, warehouse):
    with warehouse.write() as connection:
        insert(connection, "churn_model", {"is_chosen": True})
    assert not make(settings, warehouse, "churn_model")
    assert count(warehouse, "churn.churn_model WHERE is_chosen") == 1
