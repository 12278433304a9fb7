"""A load that is killed between two models: nothing half is published, and the next run ends it."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import pytest

from analytics_assets.automation.backfill import RunPlan
from analytics_assets.automation.jobs import LOAD_DAYS, SCORE_DAY
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets.warehouse.session import Session
from analytics_assets_tests.conftest import CUSTOMERS, MONTHS, OF_SAMPLE, Project, table_contents

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
    """Another price in every tenth line or so of one day."""
    file = project.settings.sample_dir / "orders" / f"orders_{DAY}.csv"
    text = file.read_text()
    corrected = re.sub(r"(?m)(\d)\.\d\d(,[^,\n]*)$", r"\g<1>.37\2", text)
    if corrected == text:
        corrected = re.sub(r"(\d)\.\d\d,", r"\g<1>.37,", text)
    assert corrected != text
    file.write_text(corrected)


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
        *("analytics_assets_tests.faults.kill_after_model", "fact_orders"),
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
