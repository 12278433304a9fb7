"""Which model scores a day whose snapshot was built again."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pandas as pd
import pytest

from analytics_assets.assets.churn import predictions
from analytics_assets.assets.churn.predictions import predicted_again
from analytics_assets.churn.data import ModelError
from analytics_assets.partitions import Window
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.rows import insert

DAYS = Window.of_days("2024-03-01", "2024-03-04")


@dataclass(frozen=True)
class Model:
    version: str
    trained_to: str = ""


class Registry:
    """Has the models `old` and, damaged, `lost`; never heard of others."""

    def find(self, version: str) -> str | None:
        return version if version in ("old", "lost") else None

    def load(self, version: str) -> Model:
        if version == "lost":
            raise ModelError("damaged")
        return Model(version, "2024-02-01")


@pytest.fixture
def scored(connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> Any:
    def predicted(session: Any, model: Model, window: Window) -> pd.DataFrame:
        return pd.DataFrame({"day": [str(window.start)], "version": [model.version]})

    monkeypatch.setattr(predictions, "predicted", predicted)

    def again(champion: Model, *before: str | None) -> list[str | None]:
        for day, version in zip(DAYS, before, strict=False):
            if version:
                row = {"snapshot_date": day, "model_version": version}
                insert(connection, "churn_predictions", row)
        registry: Any = Registry()
        rows = predicted_again(DuckDBSession(connection), registry, champion, DAYS)
        by_day = dict(zip(rows["day"], rows["version"], strict=True)) if len(rows) else {}
        return [by_day.get(str(day)) for day in DAYS]

    return again


def test_each_day_keeps_the_model_that_scored_it(scored: Any) -> None:
    champion = Model("new", "2024-02-15")
    found = scored(champion, "old", "new", "old")
    assert found == ["old", "new", "old", "new"]


def test_a_model_does_not_score_what_it_has_seen_unless_it_has_scored_it(scored: Any) -> None:
    champion = Model("new", str(date(2024, 3, 4)))
    assert scored(champion, "old", "new", None) == ["old", "new", None, "new"]


def test_without_its_model_a_day_is_the_champions_or_has_no_scores(scored: Any) -> None:
    assert scored(Model("new", "2024-03-03"), "lost", "gone", "lost") == [None, None, "new", "new"]


def test_days_that_nobody_may_score_are_no_rows(scored: Any) -> None:
    assert scored(Model("new", "2025-01-01")) == [None] * 4
