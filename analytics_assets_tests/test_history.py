"""Days that come late or change afterwards: what comes out is what comes out in order."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dagster import AssetCheckKey, AssetKey, RunsFilter

from analytics_assets.automation.backfill import RunPlan
from analytics_assets.automation.jobs import LOAD_DAYS, SCORE_DAY
from analytics_assets.automation.ranges import range_tags
from analytics_assets.checks.staleness import CHECK
from analytics_assets.cli import main
from analytics_assets.partitions import Window, run_window
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
    "next_orders",
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
SAID = ("4 snapshots and 4 months", "3 snapshots and 4 months")
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


@pytest.fixture(scope="module")
def shuffled(home: Home) -> Settings:
    """The same months in another order: with a gap, and with the first one late."""
    settings = home("shuffled")
    for month in ("March", "January", "April", "February"):
        backfill(settings, month)
    command(settings, "run")
    return settings


def test_months_in_any_order_and_a_run_give_the_tables_of_the_months_in_order(
    in_order: Settings, shuffled: Settings
) -> None:
    assert different(in_order, shuffled) == []
    assert "Everything is up to date" in command(shuffled, "run").output
    with open_project(shuffled) as project:
        ((snapshots, stale),) = project.query(
            "SELECT count(DISTINCT snapshot_date), count(*) FILTER (known.customer_id IS NULL) "
            "FROM churn.churn_predictions FULL JOIN (SELECT snapshot_date, customer_id, "
            "FROM marts.customer_analytics_daily WHERE sale_orders > 0 "
            "AND snapshot_date IN (SELECT snapshot_date FROM churn.churn_predictions)) AS known "
            "USING (snapshot_date, customer_id)"
        )
    assert snapshots > 0
    assert stale == 0


def test_what_a_change_of_an_old_day_makes_stale_is_said_and_built_again(
    shuffled: Settings, sample: Path
) -> None:
    file = sample / "orders" / "orders_2024-01-20.csv"
    rows = list(csv.DictReader(file.read_text().splitlines()))
    row = next(r for r in rows if r["status"] == "completed" and r["quantity"].isdigit())
    row["quantity"] = str(int(row["quantity"]) + 5)
    with file.open("w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    sold = (
        "SELECT sum(units) FROM marts.customer_analytics_daily "
        f"WHERE customer_id = '{row['customer_id']}' AND snapshot_date = DATE '{{}}'"
    )
    snapshots = ("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30")
    with open_project(shuffled) as project:
        before = [project.query(sold.format(day))[0][0] for day in snapshots]
        # As sensors do that are not all switched on.
        day = Window.of_days("2024-01-20", "2024-01-20")
        newest = Window.of_days(snapshots[-1], snapshots[-1])
        plans = [RunPlan(LOAD_DAYS, range_tags(day)), RunPlan(SCORE_DAY, range_tags(newest))]
        for plan, said in zip(plans, SAID, strict=True):
            assert project.run([plan]).failures == []
            assert said in verdict(project)
    assert "Everything is up to date" not in command(shuffled, "run").output
    with open_project(shuffled) as project:
        after = [project.query(sold.format(day))[0][0] for day in snapshots]
        assert after == [units + 5 for units in before]
        assert verdict(project).startswith("All are newer")
    assert "Everything is up to date" in command(shuffled, "run").output


def verdict(project: Project) -> str:
    """What the newest evaluation of the check says."""
    key = AssetCheckKey(AssetKey(CHECK.asset), CHECK.name)
    (record,) = project.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.event is not None and record.event.dagster_event is not None
    return str(record.event.dagster_event.asset_check_evaluation_data.description)


def test_scattered_corrections_of_one_file_are_one_load_and_give_a_fresh_loads_tables(
    sample: Path, manifest: Path, tmp_path: Path
) -> None:
    files = sorted((sample / "orders").iterdir())
    header = files[0].read_text().splitlines()[0]
    lines = [line for file in files for line in file.read_text().splitlines()[1:]]
    orders = tmp_path / "orders.csv"
    orders.write_text("\n".join([header, *lines]) + "\n")
    (tmp_path / "sources.yaml").write_text(SOURCES.format(orders=orders, sample=sample, late=""))
    corrected, fresh = (
        share_manifest(
            manifest,
            make_settings(
                tmp_path / name,
                ANALYTICS_SOURCES=str(tmp_path / "sources.yaml"),
                ANALYTICS_CHURN_HORIZON_DAYS=str(HORIZON_DAYS),
            ),
        )
        for name in ("corrected", "fresh")
    )
    command(corrected, "run")
    quantity = header.split(",").index("quantity")
    days = set()
    for number in range(len(lines) // 40, len(lines), len(lines) // 40):
        values = lines[number].split(",")
        if values[quantity].isdigit():
            values[quantity] = str(int(values[quantity]) + 1)
            lines[number] = ",".join(values)
            days.add(values[header.split(",").index("ordered_at")][:10])
    assert len(days) > 20
    orders.write_text("\n".join([header, *lines]) + "\n")
    output = command(corrected, "run").output
    assert "4 runs in" in output  # load, months, training, scores
    with open_project(corrected) as project:
        loads = project.instance.get_run_records(RunsFilter(job_name=LOAD_DAYS))
        assert len(loads) == 2
        window = run_window(loads[0].dagster_run.tags)
        assert window is not None
        assert (str(window.start), str(max(window))) == (min(days), max(days))
    command(fresh, "run")
    assert different(fresh, corrected) == []
