"""Training, decisions, scoring and what holds when a model is missing or broken."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from analytics_assets.assets.churn import model, scoring
from analytics_assets.cli import main
from analytics_assets_tests.assets.conftest import DAY, Shop, buyers, metadata_of, small_settings
from analytics_assets_tests.rows import insert

pytestmark = pytest.mark.slow
MODELS = "SELECT registered_version, decision FROM churn.churn_model WHERE is_chosen ORDER BY 1"
SCORED_BY = (
    "SELECT DISTINCT registered_version FROM churn.churn_predictions JOIN churn.churn_model "
    "USING (model_version) WHERE is_chosen"
)


@dataclass
class Trainings:
    """One after the other in one home: poor, better, the same again, one no better."""

    shop: Shop
    metadata: list[dict[str, Any]]
    tables: list[list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    made = Trainings(Shop(small_settings(tmp_path_factory.mktemp("trained") / "home")), [], [])
    shop = made.shop
    shop.warehouse.prepare()
    snapshot = buyers(months=1).drop(columns=["month", "churned", "label_window_closed"])
    shop.fill("customer_analytics_daily", snapshot.assign(snapshot_date=DAY, as_of="2024-12-01"))
    known = buyers(months=10)
    for features in (
        buyers(months=7, signal=0.0),
        known,
        known,
        known[known["customer_id"] > "C0010"],
    ):
        shop.fill("churn_features", features)
        result = shop.make("churn_model")
        assert result.success
        made.metadata.append(metadata_of(result, "churn_model"))
        made.tables.append(shop.query("FROM churn.churn_model ORDER BY ALL"))
    return made


@pytest.fixture
def trained(trainings: Trainings, tmp_path: Path) -> Shop:
    """A copy, to be changed; the files of the models stay where they were written."""
    home = tmp_path / "copy"
    shutil.copytree(trainings.shop.settings.home, home, ignore=shutil.ignore_patterns("artifacts"))
    return Shop(small_settings(home))


@pytest.fixture
def damage(trained: Shop) -> Iterator[Callable[[int], None]]:
    """Cuts the end off a version's file; mended afterwards."""
    kept = {}

    def cut(number: int) -> None:
        file = trained.model_file(number)
        kept[file] = file.read_bytes()
        file.write_bytes(kept[file][:-100])

    yield cut
    for file, data in kept.items():
        file.write_bytes(data)


# Too little history


def test_too_little_history_is_no_failure_and_predicts_nothing(shop: Shop) -> None:
    assert shop.make("churn_model").success
    assert shop.make("churn_predictions", DAY).success
    for table in ("churn_model", "churn_backtest", "churn_predictions"):
        assert shop.query(f"FROM churn.{table}") == []
    assert not shop.settings.mlflow_dir.exists()


def test_while_a_check_of_what_it_is_made_from_has_failed_nothing_is_trained(shop: Shop) -> None:
    failed = {"check_name": "key", "passed": False, "severity": "ERROR"}
    failed |= dict.fromkeys(("day", "window_start", "window_end"))
    with shop.warehouse.write() as session:
        insert(session, "pipeline_executions", {})
        insert(session, "data_quality_metrics", {**failed, "asset": "sales_daily"})
    assert shop.make("churn_model").success  # made from nothing of it
    with shop.warehouse.write() as session:
        insert(session, "data_quality_metrics", {**failed, "asset": "fact_orders"})
    result = shop.make("churn_model")
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "Not trained" in str(failure.event_specific_data)
    assert "the check key of fact_orders" in str(failure.event_specific_data)
    assert "sales_daily" not in str(failure.event_specific_data)


def test_too_little_history_does_not_replace_a_model_in_use(trained: Shop) -> None:
    before = trained.query(MODELS)
    trained.fill("churn_features", buyers(months=2))
    assert not trained.make("churn_model").success
    assert trained.query(MODELS) == before


# Champion and challenger


def test_decisions_are_kept_with_their_reasons(trainings: Trainings) -> None:
    assert [made["decision"] for made in trainings.metadata] == [
        "promoted",
        "promoted",
        "promoted",
        "refused",
    ]
    assert "no champion" in trainings.metadata[0]["because"]
    assert ": better." in trainings.metadata[1]["because"]
    assert "not better" in trainings.metadata[3]["because"]
    shop = trainings.shop
    assert shop.query(MODELS) == [(1, "promoted"), (2, "promoted"), (3, "refused")]
    champion = shop.registry.champion()
    assert champion is not None and champion.number == 2


def test_training_again_changes_nothing(trainings: Trainings) -> None:
    assert trainings.tables[2] == trainings.tables[1]
    assert len(trainings.shop.registry.versions()) == 3


def test_a_training_says_how_good_it_is_and_keeps_its_plots(trainings: Trainings) -> None:
    metadata = trainings.metadata[1]
    assert metadata["chosen"] == "logistic_regression"
    card = metadata["model card"]
    assert card.count("data:image/png") == 2
    assert "**Decision:** promoted. Its log loss is" in card
    files = trainings.shop.model_file(2).parents[2]
    assert (files / "plots" / "gain.png").read_bytes().startswith(b"\x89PNG")
    kept = (files / "model_card.md").read_text()
    assert "![gain](plots/gain.png)" in kept and "**Decision:**" not in kept
    (row,) = trainings.shop.query(
        "SELECT labels_to::VARCHAR, first_as_of::VARCHAR, last_as_of::VARCHAR, horizon_days, "
        "profit > 0, roc_auc > 0.7 FROM churn.churn_model WHERE registered_version = 2"
    )
    assert row == ("2024-12-31", "2024-02-01", "2024-11-01", 60, True, True)
    tests = trainings.shop.query("SELECT DISTINCT test_as_of::VARCHAR FROM churn.churn_backtest")
    assert sorted(tests) == [("2024-08-01",), ("2024-11-01",)]


def test_a_champion_that_cannot_be_read_gives_way(
    trained: Shop, damage: Callable[[int], None]
) -> None:
    damage(2)
    trained.fill("churn_features", buyers(months=10, customers=240))
    result = trained.make("churn_model")
    assert metadata_of(result, "churn_model")["decision"] == "promoted"


def test_a_promotion_that_broke_off_is_recorded_by_the_next_run(trained: Shop) -> None:
    client = trained.registry._client()
    client.delete_model_version_tag(trained.settings.mlflow_model, "2", "decision")
    trained.fill("churn_features", buyers(months=10))
    metadata = metadata_of(trained.make("churn_model"), "churn_model")
    assert (metadata["decision"], metadata["registered version"]) == ("promoted", 2)


def test_training_reads_whole_customers_and_no_more_rows_than_it_may(trained: Shop) -> None:
    trained.fill("churn_features", buyers(months=7))
    few = replace(trained.settings, churn_training_rows=1000)
    with trained.warehouse.read() as session:
        frame = model._training_rows(session, few)
        again = model._training_rows(session, few)
    assert 700 < len(frame) < 1300
    assert set(frame.groupby("customer_id").size()) == {7}
    assert frame.equals(again)


def test_a_leak_stops_the_training_and_the_champion_stays(trained: Shop) -> None:
    leaking = buyers(months=7)
    # As a join without its condition would: the last order of those who will buy lies ahead.
    leaking.loc[~leaking["churned"], "days_since_last_order"] *= -1
    trained.fill("churn_features", leaking)
    assert not trained.make("churn_model").success
    assert len(trained.registry.versions()) == 3


# Scores


def test_scores_come_with_band_reasons_and_version(trained: Shop) -> None:
    result = trained.make("churn_predictions", DAY)
    rows = trained.query(
        "SELECT churn_probability, reason_1, abs(push_1) >= abs(push_2) AND abs(push_2) >= "
        "abs(push_3), push_1 FROM churn.churn_predictions"
    )
    assert len(rows) == 250
    assert len({row[0] for row in rows}) > 50
    moved = {name for name, column in buyers(months=1).items() if column.nunique() > 1}
    assert {row[1] for row in rows} <= moved | {None}
    assert all(row[2] for row in rows)
    assert {row[3] > 0 for row in rows} == {True, False}
    assert trained.query(SCORED_BY) == [(2,)]
    (check,) = result.get_asset_check_evaluations()
    assert check.passed and "the champion" in str(check.description)


def test_batches_do_not_change_the_scores(trained: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = (
        "SELECT customer_id, round(churn_probability, 12) FROM churn.churn_predictions ORDER BY 1"
    )
    trained.make("churn_predictions", DAY)
    at_once = trained.query(scores)
    monkeypatch.setattr(scoring, "BATCH_ROWS", 64)
    trained.make("churn_predictions", DAY)
    assert trained.query(scores) == at_once


def test_a_truncated_champion_falls_back_to_the_last_good_model_and_says_so(
    trained: Shop, damage: Callable[[int], None]
) -> None:
    damage(2)
    result = trained.make("churn_predictions", DAY)
    assert result.success
    assert trained.query(SCORED_BY) == [(1,)]
    assert "version 2" in metadata_of(result, "churn_predictions")["fell back because"]
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert "Version 1 has scored. version 2: " in str(check.description)
    damage(1)
    assert not trained.make("churn_predictions", DAY).success
    assert trained.query(SCORED_BY) == [(1,)]  # what was there stays


def test_rollback_is_one_command(trained: Shop, tmp_path: Path) -> None:
    def command(*words: str, home: Path = trained.settings.home) -> str:
        environment = {"ANALYTICS_HOME": str(home)}
        return CliRunner().invoke(main, ["model", *words], env=environment).output

    assert command("list", home=tmp_path) == "No model has been trained yet.\n"
    assert "Train a model first" in command("rollback", home=tmp_path)
    assert command("rollback").startswith("Version 2 is withdrawn; version 1 (")
    trained.make("churn_predictions", DAY)
    assert trained.query(SCORED_BY) == [(1,)]
    lines = command("list").splitlines()
    assert "refused" in lines[0]
    assert "withdrawn: Rolled back to version 1." in lines[1]
    assert "champion: Rolled back from version 2." in lines[2]
    # What was withdrawn does not come back by training it again.
    trained.fill("churn_features", buyers(months=10))
    assert metadata_of(trained.make("churn_model"), "churn_model")["decision"] == "withdrawn"
