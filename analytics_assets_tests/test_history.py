"""Days that come late or change afterwards: what comes out is what comes out in order."""

import json
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from analytics_assets.automation.outdated import read_history
from analytics_assets.checks.staleness import CHECK
from analytics_assets.cli import main
from analytics_assets.settings import Settings
from analytics_assets.sources.sample import write_sample
from analytics_assets.warehouse.diff import diff_builds

from .conftest import HORIZON_DAYS, Project, make_settings, open_project, share_manifest

pytestmark = pytest.mark.slow

MONTHS = {
    "January": ("2024-01-01", "2024-01-31"),
    "February": ("2024-02-01", "2024-02-29"),
    "March": ("2024-03-01", "2024-03-31"),
    "April": ("2024-04-01", "2024-04-30"),
}
# What a model is trained on and what it says depends on the models before it.
OF_MODELS = (
    "churn_model",
    "churn_backtest",
    "churn_predictions",
    "churn_performance",
    "churn_drift",
)
SOURCES = """
calendar: {{start: 2024-01-01, end: 2024-05-01}}
orders: {{path: "{orders}", {late}max_volume_change: null}}
user_sessions: {{path: "{sample}/user_sessions/user_sessions_{{date}}.csv"}}
customers: {{path: "{sample}/customers.csv"}}
products: {{path: "{sample}/products.csv"}}
"""
Home = Callable[[str], Settings]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files") / "sample"
    write_sample(folder, customers=400, months=4, seed=7)
    return folder


def command(settings: Settings, *arguments: str) -> Result:
    environment = {
        "ANALYTICS_HOME": str(settings.home),
        "ANALYTICS_SOURCES": str(settings.sources_file),
        "ANALYTICS_CHURN_HORIZON_DAYS": str(HORIZON_DAYS),
    }
    result = CliRunner().invoke(main, list(arguments), env=environment)
    assert result.exit_code == 0, result.output
    return result


def backfill(settings: Settings, month: str) -> None:
    first, last = MONTHS[month]
    command(settings, "backfill", "--from", first, "--to", last)


def different(one: Settings, other: Settings) -> list[str]:
    diffs = diff_builds(one.warehouse_path, other.warehouse_path)
    return [f"{d}" for d in diffs if not d.same and d.table.split(".")[1] not in OF_MODELS]


@pytest.fixture(scope="module")
def home(
    sample: Path, manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Settings]:
    folder = tmp_path_factory.mktemp("history")
    by_day = f"{sample}/orders/orders_{{date}}.csv"
    (folder / "sources.yaml").write_text(
        SOURCES.format(orders=by_day, sample=sample, late="late_days: 7, ")
    )

    def settings(name: str) -> Settings:
        sources = str(folder / "sources.yaml")
        horizon = str(HORIZON_DAYS)
        made = make_settings(
            folder / name, ANALYTICS_SOURCES=sources, ANALYTICS_CHURN_HORIZON_DAYS=horizon
        )
        return share_manifest(manifest, made)

    return settings


@pytest.fixture(scope="module")
def in_order(home: Home) -> Settings:
    settings = home("in order")
    for month in MONTHS:
        backfill(settings, month)
    return settings


def test_months_in_order_leave_nothing_to_do(in_order: Settings) -> None:
    assert "Everything is up to date" in command(in_order, "run").output


@pytest.mark.parametrize("seed", [1, 2])
def test_months_in_any_order_and_a_run_give_the_tables_of_the_months_in_order(
    home: Home, in_order: Settings, seed: int
) -> None:
    months = list(MONTHS)
    random.Random(seed).shuffle(months)
    assert months != list(MONTHS)
    settings = home("-".join(months))
    for month in months:
        backfill(settings, month)
    command(settings, "run")
    assert different(in_order, settings) == []
    assert "Everything is up to date" in command(settings, "run").output
