"""Damaged files next to the warehouse: made again, or an error with its remedy; equal tables."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analytics_assets.assets.churn.model import model_registry
from analytics_assets.assets.dbt.command import damaged_parse, prepare_manifest
from analytics_assets.churn.registry import RegistryError
from analytics_assets.warehouse.diff import diff_builds
from analytics_assets_tests.conftest import Project, make_settings
from analytics_assets_tests.faults.damage import (
    Damage,
    command,
    cut,
    doctor,
    empty,
    failed_in_a_line,
    flip,
    overwrite,
    run,
)

pytestmark = pytest.mark.slow


def same_tables(project: Project, before: Path) -> None:
    different = [o for o in diff_builds(before, project.settings.warehouse_path) if not o.same]
    assert different == []


@pytest.mark.parametrize("name", ["manifest.json", "partial_parse.msgpack"])
def test_a_damaged_parse_of_dbt_is_set_aside_and_made_again(tmp_path: Path, name: str) -> None:
    settings = make_settings(tmp_path / "home")
    prepare_manifest(settings)
    file = settings.dbt_target_dir / name
    for damage in (flip, cut):
        damage(file)
        left = file.read_bytes()
        assert damaged_parse(settings) == [file]
        prepare_manifest(settings)
        assert damaged_parse(settings) == []
        newest = max(file.parent.glob(f"{name}.damaged-*"), key=lambda one: one.stat().st_ctime_ns)
        assert newest.read_bytes() == left
    prepare_manifest(settings)
    assert len([*file.parent.glob("*.damaged-*")]) == 2


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("history/runs/index.db", flip),
        ("history/runs.db", overwrite),
        ("history/runs/index.db", cut),
    ],
)
def test_a_damaged_event_log_is_an_error_and_set_aside(
    copied_project: Project, tmp_path: Path, name: str, damage: Damage
) -> None:
    path = copied_project.settings.warehouse_path
    before = shutil.copy(path, tmp_path / "before.duckdb")
    file = copied_project.settings.dagster_home / name
    copied_project.instance.dispose()
    for journal in file.parent.glob(f"{file.name}-*"):
        journal.unlink()
    damage(file)
    left = file.read_bytes()
    line = failed_in_a_line(command(copied_project, "run"))
    assert "doctor --mend" in line
    found = doctor(copied_project, code=1)["dagster_files"]
    assert [one["state"] for one in found] == ["error"]
    (mended,) = doctor(copied_project, "--mend")["dagster_files"]
    (aside,) = file.parent.glob(f"{file.name}.damaged-*")
    assert aside.name in mended["mended"]
    assert aside.read_bytes() == left
    run(copied_project)
    same_tables(copied_project, Path(before))
    assert "Everything is up to date" in run(copied_project)


@pytest.mark.parametrize("damage", [cut, empty])
def test_the_last_good_model_scores_without_the_registry_s_database(
    copied_project: Project, tmp_path: Path, damage: Damage
) -> None:
    settings = copied_project.settings
    registry = model_registry(settings)
    known = registry.good_versions()
    before = shutil.copy(settings.warehouse_path, tmp_path / "before.duckdb")
    file = settings.mlflow_dir / "mlflow.db"
    damage(file)
    left = file.read_bytes()
    (found,) = doctor(copied_project, code=1)["mlflow_file"]
    assert "The last good model scores meanwhile" in found["text"]

    newest = copied_project.query("SELECT max(snapshot_date) FROM churn.churn_predictions")[0][0]
    done = command(copied_project, "backfill", "--from", str(newest), "--to", str(newest))
    assert "doctor --mend" in done.stdout + done.stderr  # of the training, which may fail
    scores = "SELECT customer_id, churn_probability, model_version FROM {}churn.churn_predictions"
    with copied_project.warehouse.read() as session:
        session.attach(Path(before), "before")
        lost = f"{scores.format('before.')} EXCEPT {scores.format('')}"
        assert session.rows(lost) == []

    (mended,) = doctor(copied_project, "--mend")["mlflow_file"]
    assert "models are registered again" in mended["mended"]
    # An empty file is an empty database, to which the models return.
    aside = [*file.parent.glob("mlflow.db.damaged-*")]
    assert [one.read_bytes() for one in aside] == ([] if damage is empty else [left])
    # In a process of its own: MLflow keeps the damaged file open in this one.
    code = (
        "from analytics_assets.assets.churn.model import model_registry\n"
        "from analytics_assets.settings import load_settings\n"
        "again = model_registry(load_settings())\n"
        "restored = again.good_versions()\n"
        "print(*[v.model_version for v in restored], again.load(restored[0]).version)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=copied_project.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert said == [*(v.model_version for v in known), known[0].model_version]
    run(copied_project)
    same_tables(copied_project, Path(before))


def test_without_a_list_of_versions_a_damaged_registry_is_an_error_with_its_remedy(
    copied_project: Project,
) -> None:
    folder = copied_project.settings.mlflow_dir
    for listed in folder.glob("*.versions.json"):
        listed.unlink()
    overwrite(folder / "mlflow.db")
    with pytest.raises(RegistryError, match="doctor --mend"):
        model_registry(copied_project.settings).load_good()
