"""What is killed between two steps: nothing half is published, and the next run finishes it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from dagster import AssetKey

from analytics_assets.automation.backfill import RunPlan
from analytics_assets.automation.jobs import LOAD_DAYS, SCORE_DAY
from analytics_assets.automation.outdated import forget_unloadable, outdated
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets.warehouse.session import Session
from analytics_assets_tests.conftest import CUSTOMERS, MONTHS, OF_SAMPLE, Project, table_contents
from analytics_assets_tests.faults.damage import with_other_prices

pytestmark = pytest.mark.slow

SAMPLE = ("--customers", str(CUSTOMERS), "--months", str(MONTHS))
DAY = date(2024, 3, 5)
OF_DAY = Window.of_days(str(DAY), str(DAY))
GROSS = {
    "fact": "SELECT sum(extended_amount) FILTER (line_type = 'sale') FROM core.fact_orders",
    "spine": "SELECT sum(gross_amount) FROM core.customer_days",
    "days": "SELECT sum(gross_amount) FROM marts.sales_daily",
    "customers": "SELECT sum(gross_amount) FROM marts.customer_sales",
}


def grosses(session: Session) -> dict[str, object]:
    return {name: session.value(query) for name, query in GROSS.items()}


def correct_a_day(project: Project) -> None:
    file = project.settings.sample_dir / "orders" / f"orders_{DAY}.csv"
    file.write_text(with_other_prices(file.read_text()))


def command(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=180,
    )


@pytest.fixture
def killed(copied_project: Project) -> Iterator[Project]:
    """A corrected day whose load was killed between the fact and the spine."""
    correct_a_day(copied_project)
    done = command(
        copied_project,
        *("analytics_assets_tests.faults.kill", "model:fact_orders"),
        *("backfill", "--from", str(DAY), "--to", str(DAY)),
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with copied_project.warehouse.read() as session:
        amounts = grosses(session)
        assert amounts["fact"] != amounts["spine"] == amounts["days"] == amounts["customers"]
    yield copied_project


def test_nothing_is_scored_or_published_until_the_load_has_finished(killed: Project) -> None:
    [(newest,)] = killed.query("SELECT max(order_date) FROM marts.sales_daily")
    published = current_build(killed.settings.published_dir)
    scored = killed.run([RunPlan(SCORE_DAY, range_tags(Window.of_days(str(newest), str(newest))))])
    (failure,) = scored.failures
    assert f"The load of {DAY} was begun and has not finished" in failure
    assert "Run analytics-assets run" in failure
    assert current_build(killed.settings.published_dir) == published
    with open_build(published) as session:
        assert len(set(grosses(session).values())) == 1


def test_the_next_run_finishes_exactly_that_day(killed: Project) -> None:
    done = command(killed, "analytics_assets.cli", "run", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert killed.query("FROM raw.unfinished_tables") == []
    [loads] = killed.query(
        "SELECT count(*) FROM raw.source_loads WHERE loaded_at = "
        f"(SELECT max(loaded_at) FROM raw.source_loads WHERE window_date = '{DAY}') "
        "AND window_date IS NOT NULL AND source = 'orders'"
    )
    assert loads == (1,)
    with open_build(current_build(killed.settings.published_dir)) as session:
        assert len(set(grosses(session).values())) == 1

    tables = [t.name for t in OF_SAMPLE if t.group in ("core", "marts") and not t.is_view]
    tables = [name for name in tables if name != "customer_segment_moves"]
    with killed.warehouse.read() as session:
        finished = {name: table_contents(session, name) for name in tables}
    calendar = killed.calendar
    assert calendar.end is not None
    whole = Window(calendar.start, calendar.end)
    assert killed.run([RunPlan(LOAD_DAYS, range_tags(whole))]).failures == []
    with killed.warehouse.read() as session:
        for name in tables:
            assert table_contents(session, name) == finished[name], name


def kill(project: Project, place: str, *arguments: str) -> None:
    done = command(project, "analytics_assets_tests.faults.kill", place, *arguments)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def unfinished(project: Project) -> list[tuple[object, ...]]:
    return project.query("FROM raw.unfinished_tables ORDER BY ALL")


def score_newest(project: Project) -> list[str]:
    [(newest,)] = project.query("SELECT max(order_date) FROM marts.sales_daily")
    day = Window.of_days(str(newest), str(newest))
    return project.run([RunPlan(SCORE_DAY, range_tags(day))]).failures


def test_a_load_whose_checks_were_not_evaluated_is_not_published(copied_project: Project) -> None:
    correct_a_day(copied_project)
    of_day = ("backfill", "--from", str(DAY), "--to", str(DAY))
    # The first call is for the raw tables.
    kill(copied_project, "analytics_assets.checks.registry:evaluate:2", *of_day)
    with copied_project.warehouse.read() as session:
        assert len(set(grosses(session).values())) == 1  # all of the load is built
    left = {str(name) for name, *_ in unfinished(copied_project)}
    assert {"checks of fact_orders", "checks of customer_days"} <= left
    assert not {name for name in left if not name.startswith("checks of ")}
    published = current_build(copied_project.settings.published_dir)
    (failure,) = score_newest(copied_project)
    assert f"The load of {DAY} was begun and has not finished" in failure
    assert "checks of customer_days" in failure
    assert current_build(copied_project.settings.published_dir) == published

    done = command(copied_project, "analytics_assets.cli", "run", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert unfinished(copied_project) == []
    assert current_build(copied_project.settings.published_dir) != published


def test_a_snapshot_without_its_scores_is_not_published(copied_project: Project) -> None:
    calendar = copied_project.calendar
    assert calendar.end
    newest, before = (calendar.end - timedelta(days=n) for n in (1, 2))
    kill(
        copied_project,
        "analytics_assets.assets.churn.predictions:wait_for_loads",
        *("backfill", "--from", str(newest), "--to", str(newest)),
    )
    left = {name: day for name, day, _ in unfinished(copied_project)}
    assert left["churn_predictions"] == newest
    published = current_build(copied_project.settings.published_dir)
    # The scores of another day are written; the build would have this snapshot without its scores.
    plan = RunPlan(SCORE_DAY, range_tags(Window.of_days(str(before), str(before))))
    (failure,) = copied_project.run([plan]).failures
    assert f"The scoring of {newest}" in failure
    assert current_build(copied_project.settings.published_dir) == published

    done = command(copied_project, "analytics_assets.cli", "run", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert unfinished(copied_project) == []
    with open_build(current_build(copied_project.settings.published_dir)) as session:
        scored = session.rows(
            "SELECT snapshot_date, count(*) FROM churn.churn_predictions GROUP BY 1"
        )
        assert (
            newest,
            session.value(
                "SELECT count(*) FROM marts.customer_analytics_daily WHERE sale_orders > 0 "
                f"AND snapshot_date = '{newest}'"
            ),
        ) in scored


def test_a_training_that_was_left_out_is_caught_up_with(copied_project: Project) -> None:
    # Killed after the features and before the training; then a load is killed, too.
    correct_a_day(copied_project)
    of_day = ("backfill", "--from", str(DAY), "--to", str(DAY))
    kill(copied_project, "analytics_assets.assets.churn.model:hold_back_training", *of_day)
    newest = max(copied_project.settings.sample_dir.glob("orders/*.csv"))
    day = newest.stem.removeprefix("orders_")
    kill(copied_project, "model:fact_orders", "backfill", "--from", day, "--to", day)
    model = AssetKey("churn_model")
    before = copied_project.instance.get_latest_materialization_event(model)
    done = command(copied_project, "analytics_assets.cli", "run", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    after = copied_project.instance.get_latest_materialization_event(model)
    assert before and after and after.timestamp > before.timestamp


def test_unfinished_days_that_the_calendar_no_longer_has_are_removed(
    copied_project: Project,
) -> None:
    calendar = copied_project.calendar
    assert calendar.end
    last = str(calendar.end - timedelta(days=1))
    kill(copied_project, "model:fact_orders", "backfill", "--from", last, "--to", last)
    file = copied_project.settings.sample_dir / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "end": last}))
    composed, sources = copied_project.definitions(), copied_project.sources
    assert sources.calendar.end == date.fromisoformat(last)
    warehouse = copied_project.warehouse
    assert forget_unloadable(composed, sources, warehouse) == [date.fromisoformat(last)]
    assert forget_unloadable(composed, sources, warehouse) == []
    # Tables without days may have amounts of that day: a load of another day builds them again.
    newest = Window.of_days(*2 * [str(sources.calendar.end - timedelta(days=1))])
    assert outdated(composed, copied_project.instance, sources, warehouse) == [newest]
    assert copied_project.run([RunPlan(LOAD_DAYS, range_tags(newest))]).failures == []
    assert copied_project.run([RunPlan(SCORE_DAY, range_tags(newest))]).failures == []
    with open_build(current_build(copied_project.settings.published_dir)) as session:
        assert len(set(grosses(session).values())) == 1
        assert session.value("SELECT max(order_date) FROM core.fact_orders") < sources.calendar.end


def test_columns_that_change_leave_the_published_build(
    copied_project: Project,
) -> None:
    file = copied_project.settings.sample_dir / "orders" / f"orders_{DAY}.csv"
    whole = file.read_text()
    file.write_text(whole.replace("ordered_at", "sold_on", 1))
    published = current_build(copied_project.settings.published_dir)
    before = copied_project.query("SELECT count(*), max(loaded_at) FROM raw.raw_orders")
    done = command(copied_project, "analytics_assets.cli", "run", *SAMPLE)
    assert done.returncode == 1
    assert "there is no column 'ordered_at'" in done.stdout + done.stderr
    assert current_build(copied_project.settings.published_dir) == published
    assert copied_project.query("SELECT count(*), max(loaded_at) FROM raw.raw_orders") == before
    file.write_text(whole)
    done = command(copied_project, "analytics_assets.cli", "run", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
