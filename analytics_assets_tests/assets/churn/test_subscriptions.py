"""The model of subscribers from a table of them: what it learns from, its version, its scores."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dagster import AssetKey, DagsterInstance, materialize

from analytics_assets.assets.churn.subscriptions import (
    subscription_assets,
    subscription_registry,
    training_rows,
)
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.io_manager import WarehouseIOManager
from analytics_assets_tests.assets.conftest import fill, metadata_of, small_settings

ATTRIBUTES = ("Internet", "Seats", "Never filled")


def subscribers(number: int = 400, seed: int = 0) -> pd.DataFrame:
    """Those with a contract by the month and much to pay leave; seats keep them."""
    rng = np.random.default_rng(seed)
    contract = rng.choice(["Month", "Year"], number)
    internet = rng.choice(["DSL", "Fibre"], number)
    charges = rng.gamma(8, 8, number).round(2)
    seats = rng.integers(1, 9, number)
    risk = 2.0 * (contract == "Month") + 0.03 * (charges - 64) - 0.4 * seats + 0.5
    attributes = [
        json.dumps({"Internet": i, "Seats": str(s), "Never filled": None})
        for i, s in zip(internet, seats, strict=True)
    ]
    return pd.DataFrame(
        {
            "customer_id": [f"S{n:04d}" for n in range(number)],
            "churned": rng.random(number) < 1 / (1 + np.exp(-risk)),
            "contract": contract,
            "payment_method": None,
            "tenure_months": rng.integers(0, 60, number),
            "monthly_charges": charges,
            "total_charges": (charges * 10).round(2),
            "attributes": attributes,
        }
    )


@pytest.fixture
def warehouse(tmp_path: Any) -> Warehouse:
    warehouse = Warehouse(tmp_path / "home" / "warehouse.duckdb")
    warehouse.prepare()
    return warehouse


def make(settings: Settings, warehouse: Warehouse, name: str) -> Any:
    (made,) = (a for a in subscription_assets(settings, ATTRIBUTES) if AssetKey(name) in a.keys)
    return materialize(
        [made],
        instance=DagsterInstance.ephemeral(),
        resources={"warehouse": warehouse, "io_manager": WarehouseIOManager(warehouse)},
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )


def test_attributes_are_numbers_where_all_their_values_are(warehouse: Warehouse) -> None:
    fill(warehouse, "subscription_analytics", subscribers(50))
    with warehouse.read() as session:
        frame, features = training_rows(session, ATTRIBUTES, 1000)
    assert features.columns == (
        *("tenure_months", "monthly_charges", "total_charges", "Seats"),
        *("contract", "Internet"),
    )
    assert features.categorical == ("contract", "Internet")
    assert frame["Seats"].between(1, 8).all()
    one_word = subscribers(50)
    one_word.loc[7, "attributes"] = '{"Seats": "many"}'
    fill(warehouse, "subscription_analytics", one_word)
    with warehouse.read() as session:
        assert "Seats" in training_rows(session, ATTRIBUTES, 1000)[1].categorical
        few, _ = training_rows(session, ATTRIBUTES, 25)
    assert 10 < len(few) < 40


@pytest.mark.slow
def test_subscribers_are_trained_on_registered_and_scored(
    tmp_path: Any, warehouse: Warehouse
) -> None:
    settings = small_settings(tmp_path / "home")
    fill(warehouse, "subscription_analytics", subscribers())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analytics_assets.assets.churn.subscriptions.FOLDS", 2)
        metadata = metadata_of(
            make(settings, warehouse, "subscription_model"), "subscription_model"
        )
        scored = make(settings, warehouse, "subscription_predictions")
    assert metadata["decision"] == "promoted"
    assert metadata["roc_auc"] > 0.75
    card = metadata["model card"]
    assert "cross-validation" in card
    assert "buys" not in card and "purchase" not in card
    registry = subscription_registry(settings)
    champion = registry.champion()
    assert champion is not None and (registry.name, champion.number) == ("churn_subscriptions", 1)
    (check,) = scored.get_asset_check_evaluations()
    assert check.passed
    with warehouse.read() as session:
        rows = session.rows(
            "SELECT count(*), bool_and(NOT churned), count(DISTINCT model_version), bool_and(abs("
            "expected_loss - churn_probability * monthly_charges::DOUBLE * 12) < 0.0001), "
            "any_value(reason_1) FILTER (reason_1 = 'Seats') FROM churn.subscription_predictions "
            "JOIN marts.subscription_analytics USING (customer_id)"
        )
    stayed = int((~subscribers()["churned"]).sum())
    assert rows == [(stayed, True, 1, True, "Seats")]


@pytest.mark.slow
def test_hardly_anybody_has_left_yet(tmp_path: Any, warehouse: Warehouse) -> None:
    settings = small_settings(tmp_path / "home")
    rows = subscribers(60)
    rows["churned"] = rows.index < 3
    fill(warehouse, "subscription_analytics", rows)
    metadata = metadata_of(make(settings, warehouse, "subscription_model"), "subscription_model")
    assert "3 churned and 57 retained" in metadata["no model yet"]
    assert make(settings, warehouse, "subscription_predictions").success
