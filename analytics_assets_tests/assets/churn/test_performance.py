"""Past scores against what happened, drift of the newest day, and what asks for a training."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster
import numpy as np
import pandas as pd
import pytest
from dagster import DagsterInstance, build_run_status_sensor_context

from analytics_assets.automation.jobs import RETRAIN, SCORE_DAY, build_jobs, job_plans
from analytics_assets.automation.ranges import range_tags
from analytics_assets.automation.sensors import build_sensors
from analytics_assets.checks.predictions import drifted, reasons_to_retrain, shortfall
from analytics_assets.partitions import Calendar, Window, daily_partitions, monthly_partitions
from analytics_assets.questions.churn import calibration
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets_tests.assets.conftest import DAY, Shop, buyers, metadata_of, small_settings
from analytics_assets_tests.rows import insert

pytestmark = pytest.mark.slow
LABELS_TO = date(2024, 9, 30)  # of a training to August with 60 days of horizon


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(small_settings(tmp_path_factory.mktemp("performance") / "home"))
    shop.warehouse.prepare()
    shop.fill("churn_features", buyers(months=7))
    assert shop.make("churn_model").success
    return shop


@pytest.fixture
def shop(trained: Shop, tmp_path: Path) -> Shop:
    home = tmp_path / "copy"
    shutil.copytree(trained.settings.home, home, ignore=shutil.ignore_patterns("artifacts"))
    return Shop(small_settings(home))


def score(shop: Shop, as_of: date, **changed: object) -> pd.DataFrame:
    """Snapshot and scores of the day before, and who will have churned by the model's lights."""
    snapshot = buyers(months=1, seed=5).drop(columns=["month", "churned", "label_window_closed"])
    day = as_of - timedelta(days=1)
    shop.fill(
        "customer_analytics_daily",
        snapshot.assign(snapshot_date=str(day), as_of=str(as_of), **changed),
    )
    assert shop.make("churn_predictions", str(day)).success
    rows = shop.query("SELECT customer_id, churn_probability FROM churn.churn_predictions")
    return pd.DataFrame(rows, columns=["customer_id", "p"])


def observe(shop: Shop, customers: list[str], bought: date, through: date) -> None:
    """Sales of a day, and loads up to the exclusive end of what was observed."""
    with shop.warehouse.transaction() as session:
        insert(
            session,
            "customer_days",
            *({"customer_id": c, "order_date": bought, "sale_orders": 1} for c in customers),
        )
        insert(
            session,
            "source_loads",
            {"source": "orders", "window_date": through - timedelta(days=1)},
        )


def stayers(scores: pd.DataFrame, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return scores.loc[rng.random(len(scores)) > scores["p"], "customer_id"].tolist()


def test_once_the_window_has_closed_scores_are_measured(shop: Shop) -> None:
    as_of = LABELS_TO
    kept = stayers(score(shop, as_of))
    end = as_of + timedelta(days=60)
    observe(shop, kept, bought=as_of, through=end)
    assert shop.make("churn_performance").success
    (row,) = shop.query(
        "SELECT as_of, customers, round(prevalence * customers), roc_auc > 0.7, "
        "calibration_slope BETWEEN 0.6 AND 1.6, shortfall, log_loss, profit IS NOT NULL "
        "FROM churn.churn_performance"
    )
    assert row[:6] == (as_of, 250, 250 - len(kept), True, True, None)
    assert row[7]
    assert 0 < row[6] < 0.7
    with shop.warehouse.read() as session:
        tenths = [tuple(tenth.values()) for tenth in calibration(session)]
    assert tenths == shop.query(
        "WITH tenths AS (SELECT *, ntile(10) OVER (ORDER BY churn_probability, customer_id) AS "
        "tenth FROM churn.churn_outcomes) SELECT tenth, count(*), avg(churn_probability), "
        "avg(churned::INTEGER) FROM tenths GROUP BY 1 ORDER BY 1"
    )
    assert len(tenths) == 10


def test_until_the_window_has_closed_nothing_is_measured(shop: Shop) -> None:
    kept = stayers(score(shop, LABELS_TO))
    observe(shop, kept, bought=LABELS_TO, through=LABELS_TO + timedelta(days=59))
    assert shop.make("churn_performance").success
    assert shop.query("FROM churn.churn_performance") == []


def test_a_sale_outside_the_window_keeps_nobody(shop: Shop) -> None:
    kept = stayers(score(shop, LABELS_TO))
    end = LABELS_TO + timedelta(days=60)
    observe(shop, kept, bought=LABELS_TO, through=end)
    observe(shop, ["C0001", "C0002"], bought=end, through=end)
    observe(shop, ["C0001", "C0002"], bought=LABELS_TO - timedelta(days=1), through=end)
    shop.make("churn_performance")
    assert shop.query("SELECT round(prevalence * customers) FROM churn.churn_performance") == [
        (250 - len(kept),)
    ]


def test_scores_of_a_day_that_the_model_had_seen_are_no_predictions(shop: Shop) -> None:
    as_of = LABELS_TO - timedelta(days=1)
    kept = stayers(score(shop, as_of))
    observe(shop, kept, bought=as_of, through=as_of + timedelta(days=60))
    result = shop.make("churn_performance")
    assert shop.query("FROM churn.churn_performance") == []
    assert metadata_of(result, "churn_performance")["scores that are no predictions"] == 1


def test_late_rows_are_seen_while_they_may_come_and_old_scores_stay(shop: Shop) -> None:
    kept = stayers(score(shop, LABELS_TO))
    end = LABELS_TO + timedelta(days=60)
    observe(shop, kept, bought=LABELS_TO, through=end)
    shop.make("churn_performance")
    left = next(c for c in (f"C{i:04d}" for i in range(250)) if c not in kept)
    observe(shop, [left], bought=LABELS_TO, through=end + timedelta(days=3))
    shop.make("churn_performance")
    churned = "SELECT round(prevalence * customers) FROM churn.churn_performance"
    assert shop.query(churned) == [(249 - len(kept),)]
    # Long after, when the scores themselves are gone, the record is still there.
    score(shop, LABELS_TO + timedelta(days=90))
    observe(shop, [], bought=end, through=end + timedelta(days=40))
    result = shop.make("churn_performance")
    assert shop.query(churned) == [(249 - len(kept),)]
    assert metadata_of(result, "churn_performance")["measured now"] == 0


def test_windows_are_measured_again_where_their_days_or_scores_have_changed(shop: Shop) -> None:
    def measured() -> int:
        result = shop.make("churn_performance", instance=instance)
        return int(metadata_of(result, "churn_performance")["measured now"])

    kept = stayers(score(shop, LABELS_TO))
    end = LABELS_TO + timedelta(days=60)
    observe(shop, kept, bought=LABELS_TO, through=end + timedelta(days=40))
    with DagsterInstance.ephemeral() as instance:
        assert [measured(), measured()] == [1, 0]
        changes = [(end, 0), (end - timedelta(days=1), 1)]
        for day, expected in changes:
            with shop.warehouse.transaction() as session:
                insert(
                    session,
                    "source_loads",
                    {"source": "orders", "window_date": day, "changed_at": date(2100, 1, 1)},
                )
            assert measured() == expected
        with shop.warehouse.transaction() as session:
            session.execute("UPDATE raw.source_loads SET changed_at = '2024-01-01'")
        assert measured() == 0
        day = str(LABELS_TO - timedelta(days=1))
        assert shop.make("churn_predictions", day, instance).success
        assert [measured(), measured()] == [1, 0]


def test_scores_that_failed_say_in_what(shop: Shop) -> None:
    score(shop, LABELS_TO)
    everybody = [f"C{i:04d}" for i in range(0, 250, 2)]  # whatever was predicted
    observe(shop, everybody, bought=LABELS_TO, through=LABELS_TO + timedelta(days=60))
    shop.make("churn_performance")
    ((said,),) = shop.query("SELECT shortfall FROM churn.churn_performance")
    assert "the order of customers is worse than in the backtest" in said
    with shop.warehouse.read() as session:
        assert shortfall(session) == f"{LABELS_TO}: {said}"


# Drift


def test_the_same_customers_have_not_drifted(shop: Shop) -> None:
    score(shop, date(2024, 10, 1))
    shop.make("churn_performance")
    found = dict(shop.query("SELECT feature, verdict FROM churn.churn_drift"))
    assert found["days_since_last_order"] == found["churn_probability"] == "stable"
    assert found["tenure_days"] == found["gross_amount"] == "by construction"
    with shop.warehouse.read() as session:
        assert drifted(session) is None
        assert reasons_to_retrain(session)[1] == []


def test_inputs_that_moved_are_named_with_the_score(shop: Shop) -> None:
    score(shop, date(2024, 10, 1), days_since_last_order=115, orders_30d=7)
    shop.make("churn_performance")
    found = dict(shop.query("SELECT feature, verdict FROM churn.churn_drift"))
    assert found["days_since_last_order"] == found["orders_30d"] == "major"
    assert found["churn_probability"] in ("moderate", "major")
    with shop.warehouse.read() as session:
        said = drifted(session)
    assert said is not None
    assert said.startswith("2024-09-30: drift of ") and "days_since_last_order (major" in said


def test_without_scores_there_is_nothing_to_watch_and_no_failure(shop: Shop) -> None:
    empty = buyers(months=1).drop(columns=["month", "churned", "label_window_closed"]).iloc[:0]
    shop.fill("customer_analytics_daily", empty.assign(snapshot_date=None))
    assert shop.make("churn_predictions", "2024-09-30").success
    assert shop.make("churn_performance").success
    assert shop.query("FROM churn.churn_drift") == []


def test_a_shop_that_has_never_trained_has_nothing_to_watch(tmp_path: Path) -> None:
    shop = Shop(small_settings(tmp_path / "young"))
    shop.warehouse.prepare()
    snapshot = buyers(months=1).drop(columns=["month", "churned", "label_window_closed"])
    shop.fill("customer_analytics_daily", snapshot.assign(snapshot_date=DAY, as_of="2024-09-01"))
    assert shop.make("churn_predictions", DAY).success
    assert shop.make("churn_performance").success
    assert shop.query("FROM churn.churn_performance") == []


# The sensor


@dagster.job(name=SCORE_DAY)
def scored() -> None: ...


def tick(shop: Shop) -> Any:
    calendar = Calendar(date(2024, 1, 1))
    daily = daily_partitions(calendar)
    partitions = {"daily": daily, "monthly": monthly_partitions(calendar), None: None}
    sources = SourcesConfig(calendar, {"orders": SourceConfig("orders")})
    jobs = build_jobs(job_plans([], sources), partitions)
    sensors = build_sensors(shop.settings, sources, shop.warehouse, daily, jobs)
    (sensor,) = (s for s in sensors if s.name == "retrain_when_scores_fail")
    assert sensor.job_name == RETRAIN
    with DagsterInstance.ephemeral() as instance:
        window = Window.of_days("2024-09-30", "2024-09-30")
        result = scored.execute_in_process(instance=instance, tags=range_tags(window))
        (event,) = [event for event in result.all_events if event.is_job_success]
        return sensor(
            build_run_status_sensor_context(sensor.name, event, instance, result.dagster_run)
        )


def test_drift_asks_for_a_training_once_a_month_and_model(shop: Shop) -> None:
    score(shop, date(2024, 10, 1), days_since_last_order=115)
    shop.make("churn_performance")
    request = tick(shop)
    ((version,),) = shop.query("SELECT DISTINCT model_version FROM churn.churn_predictions")
    assert request.run_key == f"{version}-2024-10"
    assert "drift of" in request.tags["analytics/because"]
    assert tick(shop).run_key == request.run_key


def test_while_all_holds_nothing_is_asked(shop: Shop) -> None:
    score(shop, date(2024, 10, 1))
    shop.make("churn_performance")
    assert "give a reason" in tick(shop).skip_message
