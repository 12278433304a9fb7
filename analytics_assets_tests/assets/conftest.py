"""A warehouse with churn features, and the churn assets one at a time."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dagster import AssetKey, DagsterInstance, materialize

from analytics_assets.assets.churn.model import model_registry, training_assets
from analytics_assets.assets.churn.performance import performance_assets
from analytics_assets.assets.churn.predictions import score_assets
from analytics_assets.assets.dbt.command import DbtCommand, prepare_manifest
from analytics_assets.assets.dbt.models import READ_BY_VIEWS
from analytics_assets.churn.registry import Registry
from analytics_assets.partitions import Calendar, daily_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.sources.configured import sample_sources
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.io_manager import WarehouseIOManager
from analytics_assets_tests.conftest import make_settings
from analytics_assets_tests.rows import default, insert

DAY = "2024-08-31"


def small_settings(home: Path) -> Settings:
    """Two months of horizon, one test date, few trees."""
    return make_settings(
        home,
        ANALYTICS_CHURN_HORIZON_DAYS="60",
        ANALYTICS_CHURN_TEST_DATES="1",
        ANALYTICS_CHURN_BOOSTING_ITERATIONS="10",
    )


def fill(warehouse: Warehouse, name: str, frame: pd.DataFrame) -> None:
    """A whole table; the columns that the frame leaves out have a default."""
    table = TABLES[name]
    rows = frame.assign(
        **{
            column: [default(declared)] * len(frame)
            for column, declared in table.schema.columns.items()
            if column not in frame.columns
        }
    )[table.columns]
    with warehouse.transaction() as session:
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {table.group}")
        session.register("rows_of_test", rows)
        session.replace_window(table, "rows_of_test", None)


def buyers(months: int, customers: int = 250, signal: float = 1.5, seed: int = 0) -> pd.DataFrame:
    """Monthly features from 2024-01-01 with a label that recency and orders decide."""
    rng = np.random.default_rng(seed)
    n = customers * months
    silence = rng.integers(1, 120, n)
    orders = rng.integers(1, 9, n)
    risk = signal * (silence / 60 - 1 - 0.8 * (orders - 4))
    as_of = np.repeat(pd.date_range("2024-02-01", periods=months, freq="MS"), customers)
    return pd.DataFrame(
        {
            "month": as_of - pd.offsets.MonthBegin(1),
            "as_of": as_of,
            "customer_id": [f"C{i:04d}" for i in range(customers)] * months,
            "days_since_last_order": silence,
            "sale_orders": orders,
            "active_days": orders,
            "tenure_days": silence + 20 * (orders - 1),
            "gross_amount": orders * rng.gamma(3, 10, n).round(2),
            "net_amount": orders * 30.0,
            "churn_risk_score": np.minimum(silence / 120, 1.0),
            "label_window_closed": True,
            "churned": rng.random(n) < 1 / (1 + np.exp(-risk)),
        }
    )


@dataclass
class Shop:
    """A home with a warehouse in it, and its churn assets."""

    settings: Settings

    @property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings.warehouse_path)

    @property
    def registry(self) -> Registry:
        return model_registry(self.settings)

    def fill(self, name: str, frame: pd.DataFrame) -> None:
        fill(self.warehouse, name, frame)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.read() as session:
            return session.rows(sql)

    def make(
        self, name: str, day: str | None = None, instance: DagsterInstance | None = None
    ) -> Any:
        """Materialize an asset, with what is made together with it."""
        calendar = Calendar(date(2024, 1, 1))
        daily = daily_partitions(calendar)
        assets = [
            *training_assets(self.settings),
            *score_assets(self.settings, sample_sources(self.settings.sample_dir, calendar), daily),
            *performance_assets(self.settings),
        ]
        (made,) = (a for a in assets if AssetKey(name) in a.keys)
        if name == "churn_performance":
            self._make_views()
        return materialize(
            [made],
            partition_key=day,
            instance=instance or DagsterInstance.ephemeral(),
            resources={
                "warehouse": self.warehouse,
                "io_manager": WarehouseIOManager(self.warehouse),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            raise_on_error=False,
        )

    def _make_views(self) -> None:
        """The views of dbt that performance is measured from."""
        with self.warehouse.transaction() as session:
            for table in ("customer_days", *READ_BY_VIEWS):
                session.execute(TABLES[table].ddl)
        prepare_manifest(self.settings)
        DbtCommand(self.settings).run(
            ["--quiet", "run", "--select", "churn_windows", "churn_outcomes"],
            self.settings.dbt_target_dir / "runs",
            None,
        )

    def model_file(self, number: int) -> Path:
        version = next(v for v in self.registry.versions() if v.number == number)
        return Path(version.source) / "data" / "model.skops"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """No closed label yet, and one customer to score."""
    shop = Shop(small_settings(tmp_path / "home"))
    shop.warehouse.prepare()
    with shop.warehouse.write() as session:
        insert(session, "churn_features", {"churned": None, "label_window_closed": False})
        insert(session, "customer_analytics_daily", {"snapshot_date": DAY, "sale_orders": 3})
    return shop


def metadata_of(result: Any, name: str) -> dict[str, Any]:
    """Metadata of an asset's materialization."""
    (made,) = (
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == AssetKey(name)
        for event in [event.step_materialization_data]
    )
    return {key: value.value for key, value in made.metadata.items()}
