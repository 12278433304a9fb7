"""Versions, the champion, rollback, and models that cannot be read."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from analytics_assets.churn.artifact import dump_model
from analytics_assets.churn.data import ModelError
from analytics_assets.churn.registry import Registry, RegistryError
from analytics_assets.churn.training import TrainingResult


def variant(result: TrainingResult, name: str) -> TrainingResult:
    return replace(result, model=replace(result.model, version=name))


def register(registry: Registry, result: TrainingResult, promote: bool) -> None:
    version = registry.register(result, dump_model(result.model), {"seed": 1}, {"a/b.md": b"#"})
    registry.decide(version, promote, "because")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, result: TrainingResult) -> Path:
    """Versions 1 and 2 that were promoted, and 3 that was refused; only for reading."""
    folder = tmp_path_factory.mktemp("mlflow")
    registry = Registry(folder, None, "churn")
    for name, promote in (("one", True), ("two", True), ("three", False)):
        register(registry, variant(result, name), promote)
    return folder


@pytest.fixture
def registry(three: Path, tmp_path: Path) -> Registry:
    """A copy of the database; artifacts stay where they were written."""
    shutil.copy(three / "mlflow.db", tmp_path / "mlflow.db")
    return Registry(tmp_path, None, "churn")


def file_of(registry: Registry, number: int) -> Path:
    version = next(v for v in registry.versions() if v.number == number)
    return Path(version.source) / "data" / "model.skops"


@pytest.fixture
def damaged(registry: Registry):
    """Cuts a version's file short; mended afterwards."""
    kept = {}

    def damage(number: int) -> None:
        file = file_of(registry, number)
        kept[file] = file.read_bytes()
        file.write_bytes(kept[file][: len(kept[file]) // 2])

    yield damage
    for file, data in kept.items():
        file.write_bytes(data)


def test_an_empty_registry_has_no_champion_and_creates_no_database(tmp_path):
    registry = Registry(tmp_path / "mlflow", None, "churn")
    assert registry.champion() is None
    assert registry.versions() == registry.good_versions() == []
    assert registry.load_good() is None
    assert not (tmp_path / "mlflow").exists()


def test_versions_are_kept_with_what_was_decided_on_them(registry):
    versions = [(v.number, v.model_version, v.decision, v.reason) for v in registry.versions()]
    assert versions == [
        (3, "three", "refused", "because"),
        (2, "two", "promoted", "because"),
        (1, "one", "promoted", "because"),
    ]
    assert registry.champion().number == 2
    assert registry.find("one").number == 1
    assert registry.find("four") is None


def test_the_champion_is_what_was_registered(registry, result, features):
    model, version, problems = registry.load_good()
    assert (version.number, problems) == (2, [])
    assert dump_model(model) == dump_model(variant(result, "two").model)
    assert registry.backtest(version).equals(result.predictions)


def test_the_same_training_is_registered_once(registry, result):
    again = registry.register(variant(result, "one"), b"", {}, {})
    assert again.number == 1
    assert len(registry.versions()) == 3


def test_a_run_holds_parameters_measures_and_files(registry, three, result):
    client = registry._client()
    (version,) = (v for v in registry.versions() if v.number == 1)
    run = client.get_run(version.source.split("/")[-3])
    assert run.data.params["seed"] == "1"
    assert run.data.params["data_hash"] == result.data_hash
    assert run.data.params["tests"] == "2024-08-01, 2024-06-01"
    chosen = result.candidates[result.candidates["is_chosen"]].iloc[0]
    assert run.data.metrics["roc_auc"] == chosen["roc_auc"]
    assert "prevalence.log_loss" in run.data.metrics
    folder = Path(version.source).parent
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"a/b.md", "backtest/predictions.parquet", "features.json", "model/MLmodel"} <= files
    assert not any(name.endswith((".pkl", ".pickle")) for name in files)


# What cannot be read


def test_a_truncated_champion_leaves_the_work_to_the_one_before(registry, damaged):
    damaged(2)
    model, version, problems = registry.load_good()
    assert (version.number, model.version) == (1, "one")
    (problem,) = problems
    assert problem.startswith("version 2: ") and "damaged" in problem


def test_a_refused_version_never_serves(registry, damaged):
    damaged(2)
    damaged(1)
    with pytest.raises(ModelError, match=r"No model can be read.*version 2.*version 1.*Train"):
        registry.load_good()


def test_a_missing_file_is_reported(registry, damaged):
    damaged(2)
    file_of(registry, 2).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        registry.load(registry.champion())


def test_another_model_in_the_place_of_the_registered_one_is_refused(registry, damaged):
    damaged(2)
    file_of(registry, 2).write_bytes(file_of(registry, 1).read_bytes())
    with pytest.raises(ModelError, match="not what was registered"):
        registry.load(registry.champion())


# Rollback


def test_a_rollback_goes_to_the_champion_before_and_stays(registry, result):
    withdrawn, champion = registry.rollback()
    assert (withdrawn.number, champion.number) == (2, 1)
    assert registry.champion().number == 1
    decisions = {v.number: v.decision for v in registry.versions()}
    assert decisions == {1: "promoted", 2: "withdrawn", 3: "refused"}
    # Trained again from the same data, the withdrawn version is what it was.
    assert registry.register(variant(result, "two"), b"", {}, {}).decision == "withdrawn"
    with pytest.raises(RegistryError, match="only one that ever was champion"):
        registry.rollback()


def test_a_rollback_to_a_named_version(registry):
    assert registry.rollback(to=3)[1].number == 3
    assert registry.champion().number == 3


@pytest.mark.parametrize("to", [2, 9])
def test_a_rollback_to_where_it_is_or_to_nothing_is_refused(registry, to):
    with pytest.raises(RegistryError, match=rf"Version {to} is not one to go back to.*\[3, 1\]"):
        registry.rollback(to=to)
    assert registry.champion().number == 2


def test_nothing_is_rolled_back_to_a_damaged_version(registry, damaged):
    damaged(1)
    with pytest.raises(ModelError, match="damaged"):
        registry.rollback()
    assert registry.champion().number == 2


def test_a_rollback_without_a_champion_says_what_to_do(tmp_path):
    with pytest.raises(RegistryError, match="Train a model first"):
        Registry(tmp_path / "mlflow", None, "churn").rollback()


# The outside


def test_a_server_that_cannot_be_reached_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry(tmp_path, "http://127.0.0.1:9", "churn")
    with pytest.raises(
        RegistryError, match=r"127\.0\.0\.1:9 does not answer.*ANALYTICS_MLFLOW_URI"
    ):
        registry.champion()


NO_NETWORK = """
import socket, sys, pathlib
def refuse(*arguments, **options):
    raise AssertionError(f"network: {arguments}")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from analytics_assets.churn.registry import Registry
assert "mlflow" not in sys.modules
registry = Registry(pathlib.Path(sys.argv[1]), None, "churn")
model, version, problems = registry.load_good()
assert version.number == 2
import mlflow.telemetry
assert mlflow.telemetry.get_telemetry_client() is None
"""


@pytest.mark.slow
def test_mlflow_is_imported_late_and_sends_no_telemetry(three: Path) -> None:
    # Under pytest and in CI MLflow is silent by itself.
    kept = ("PATH", "HOME", "LANG", "VIRTUAL_ENV", "TMPDIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    repository = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NO_NETWORK, str(three)],
        env={**environment, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
