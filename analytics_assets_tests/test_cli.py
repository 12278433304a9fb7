"""The command line: its words and exit codes, and no traceback for what a user can correct."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from analytics_assets.cli import main
from analytics_assets.settings import VARIABLES

from .conftest import (
    CUSTOMERS,
    HORIZON_DAYS,
    MONTHS,
    REPOSITORY,
    Project,
    make_settings,
    share_manifest,
)

SOURCES = """
calendar: {start: 2024-01-01, end: 2024-02-01}
orders: {path: "orders/{date}.csv"}
"""


def analytics_assets(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


def refused(*arguments: str, **environment: str) -> str:
    """The one sentence of a command that is refused."""
    result = analytics_assets(*arguments, **environment)
    assert result.exit_code in (1, 2), result.output
    # Whatever is not a sentence for the user comes out as an exception of its own.
    assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def home(tmp_path: Path, manifest: Path) -> dict[str, str]:
    """Environment of a home with a source of January 2024 and without anything loaded."""
    (tmp_path / "sources.yaml").write_text(SOURCES)
    share_manifest(manifest, make_settings(tmp_path / "home"))
    return {
        "ANALYTICS_HOME": str(tmp_path / "home"),
        "ANALYTICS_SOURCES": str(tmp_path / "sources.yaml"),
    }


@pytest.fixture
def built(built_project: Project) -> dict[str, str]:
    return {
        "ANALYTICS_HOME": str(built_project.settings.home),
        "ANALYTICS_CHURN_HORIZON_DAYS": str(HORIZON_DAYS),
    }


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_command(flag: str) -> None:
    result = analytics_assets(flag)
    assert result.exit_code == 0
    for command in ("sample", "backfill", "run", "dev", "prepare"):
        assert f"\n  {command} " in result.output


def test_help_waits_for_no_library() -> None:
    code = "import sys; import analytics_assets.cli; sys.exit('dagster' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command: str) -> None:
    result = analytics_assets(command, "--help")
    assert result.exit_code == 0
    assert main.commands[command].help


def test_sample_writes_files_and_says_what(tmp_path: Path) -> None:
    out = tmp_path / "made"
    result = analytics_assets("sample", "--out", str(out), "--customers", "20", "--months", "1")
    assert result.exit_code == 0, result.output
    manifest = json.loads((out / "manifest.json").read_text())
    assert f"{manifest['start']} to {manifest['end']}" in result.output
    for name, rows in manifest["rows"].items():
        assert any(line.split()[:2] == [name, f"{rows:,}"] for line in result.output.splitlines())


def test_sample_does_not_overwrite_what_is_no_sample(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert "is not overwritten" in refused("sample", "--out", str(tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("option", [["--customers", "0"], ["--months", "0"], ["--seed", "-1"]])
def test_sample_refuses_numbers_that_make_no_sense(tmp_path: Path, option: list[str]) -> None:
    assert option[0].strip("-") in refused("sample", "--out", str(tmp_path / "x"), *option)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("option", ([], ["--subscriptions"], ["--source", "subscriptions"]))
def test_models_are_those_of_sources_that_have_one(home: dict[str, str], option: list[str]) -> None:
    found = analytics_assets("model", "list", *option, **home)
    assert found.output == "No model has been trained yet.\n"
    known = refused("model", "list", "--source", "customers", **home)
    assert "'customers' has no model; known: orders, subscriptions." in known


def test_backfill_names_the_days_that_the_sources_cover(home: dict[str, str]) -> None:
    for first, last in [("2023-12-31", "2024-01-05"), ("2024-01-30", "2024-02-01")]:
        words = refused("backfill", "--from", first, "--to", last, **home)
        assert "2024-01-01 to 2024-01-31" in words
        assert f"{first} to {last} is not within" in words


def test_backfill_refuses_a_range_that_ends_before_it_begins(home: dict[str, str]) -> None:
    words = refused("backfill", "--from", "2024-01-05", "--to", "2024-01-04", **home)
    assert "--from 2024-01-05 is after --to 2024-01-04" in words


def test_backfill_refuses_what_is_no_day(home: dict[str, str]) -> None:
    assert "2024-02-30" in refused("backfill", "--from", "2024-02-30", "--to", "2024-03-01", **home)


def test_backfill_needs_days_and_both_ends_of_a_range(home: dict[str, str]) -> None:
    assert "--from and --to, or --day" in refused("backfill", **home)
    words = refused("backfill", "--from", "2024-01-05", "--day", "2024-01-09", **home)
    assert "needs both --from and --to" in words
    words = refused("backfill", "--day", "2024-01-05", "--day", "2024-02-01", **home)
    assert "2024-02-01 to 2024-02-01 is not within" in words


def test_a_refused_backfill_loads_nothing(home: dict[str, str]) -> None:
    refused("backfill", "--from", "2023-12-31", "--to", "2024-01-05", **home)
    assert not (Path(home["ANALYTICS_HOME"]) / "warehouse.duckdb").exists()


@pytest.mark.parametrize("command", [["run"], ["dev"], ["prepare"], ["backfill"]])
def test_a_wrong_setting_is_a_sentence(command: list[str], tmp_path: Path) -> None:
    if command == ["backfill"]:
        command = [*command, "--from", "2024-01-01", "--to", "2024-01-02"]
    words = refused(*command, ANALYTICS_HOME=str(tmp_path), ANALYTICS_DEPLOYMENT="live")
    assert "ANALYTICS_DEPLOYMENT is 'live'" in words


def test_production_does_not_fall_back_to_the_sample(tmp_path: Path) -> None:
    words = refused("run", ANALYTICS_HOME=str(tmp_path), ANALYTICS_DEPLOYMENT="production")
    assert "ANALYTICS_SOURCES is not set" in words
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("orders: [", "no readable YAML"),
        ("calendar: {start: 2024-01-01}\n", "no `orders`"),
        ("calendar: {start: soon}\norders: {path: x.csv}\n", "calendar.start: start is 'soon'"),
        ("calendar: {start: 2024-01-01}\norders: {path: x.csv, nul_words: []}\n", "'null_words'"),
    ],
)
def test_a_broken_configuration_is_a_sentence(home: dict[str, str], text: str, words: str) -> None:
    Path(home["ANALYTICS_SOURCES"]).write_text(text)
    assert words in refused("run", **home)
    assert words in refused("backfill", "--from", "2024-01-01", "--to", "2024-01-02", **home)


def test_a_source_without_files_is_a_sentence(
    home: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    text = SOURCES + 'customers: {path: "nowhere/*.csv"}\n'
    Path(home["ANALYTICS_SOURCES"]).write_text(text)
    result = analytics_assets("backfill", "--from", "2024-01-01", "--to", "2024-01-02", **home)
    assert result.exit_code == 1
    assert "no file at" in result.output
    assert isinstance(result.exception, SystemExit), result.exception
    # Progress without a terminal is a line for each run.
    assert [line for line in capfd.readouterr().err.splitlines() if "load_days" in line] == [
        "load_days failed"
    ]


def test_prepare_sets_the_instance_up_and_prints_its_folder(home: dict[str, str]) -> None:
    result = analytics_assets("prepare", **home)
    assert result.exit_code == 0, result.output
    folder = Path(result.output.strip().splitlines()[-1])
    assert (folder / "dagster.yaml").is_file()
    assert os.environ["DAGSTER_HOME"] == str(folder)


@pytest.mark.slow
def test_a_second_run_says_that_all_is_up_to_date_and_where_to_look(built: dict[str, str]) -> None:
    sample = ["--customers", str(CUSTOMERS), "--months", str(MONTHS)]
    result = analytics_assets("run", *sample, **built)
    assert result.exit_code == 0, result.output
    assert "Everything is up to date" in result.output
    assert "Churn risk of customers" in result.output
    (line,) = [line for line in result.output.splitlines() if "Published copy" in line]
    assert Path(line.split()[-1]).is_file()


def test_the_example_configuration_is_one_that_loads(tmp_path: Path, manifest: Path) -> None:
    share_manifest(manifest, make_settings(tmp_path / "home"))
    result = analytics_assets(
        "prepare",
        ANALYTICS_HOME=str(tmp_path / "home"),
        ANALYTICS_SOURCES=str(REPOSITORY / "examples" / "online_retail.yaml"),
    )
    assert result.exit_code == 0, result.output


def test_settings_prints_each_with_its_origin_and_no_secret(home: dict[str, str]) -> None:
    secrets = {
        "ANALYTICS_WEBHOOK_URL": "https://canary.example.com/x",
        "ANALYTICS_MLFLOW_URI": "https://me:canary@mlflow.example.com",
    }
    result = analytics_assets("settings", **home, **secrets, ANALYTICS_SEED="42")
    assert result.exit_code == 0, result.output
    for name, (_, setting) in VARIABLES.items():
        assert f"\n{name} = " in f"\n{result.output}"
        assert setting.meaning in result.output
    assert "ANALYTICS_SEED = 42  (environment)" in result.output
    assert "ANALYTICS_PUBLISHED_BUILDS = 3  (default)" in result.output
    assert "ANALYTICS_WEBHOOK_URL = (set, not shown)  (environment)" in result.output
    assert "canary" not in result.output


def test_the_page_of_settings_is_what_make_docs_writes() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert analytics_assets("settings", "--markdown").output == page, "run `make docs`"


@pytest.mark.parametrize(
    ("installed", "started"), [(("dg", "dagster"), "dg"), (("dagster",), "dagster")]
)
def test_dev_starts_dg_where_it_is_installed(
    installed: tuple[str, ...],
    started: str,
    home: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in installed:
        (tmp_path / name).touch()
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    calls = []
    monkeypatch.setattr("os.execv", lambda path, command: calls.append(command))
    result = analytics_assets("dev", "-h", "127.0.0.1", **home)
    assert result.exit_code == 0, result.output
    workspace = str(REPOSITORY / "workspace.yaml")
    assert calls == [[str(tmp_path / started), "dev", "-w", workspace, "-h", "127.0.0.1"]]
