"""Every page in a real browser: its figures and rows are the build's, and nothing goes outside."""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from analytics_assets.schemas.churn import PROBABILITY_BANDS
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import current_build, open_build, publish

from ..api.conftest import publish_rows
from ..conftest import REPOSITORY, make_settings
from ..streaming.conftest import RedisServer
from ..streaming.live_rows import write_live

pytestmark = pytest.mark.slow
# Debian's, or the one of GitHub's machines.
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
FLAGS += ("--disable-component-update",)
DRAWN = "[data-testid=stApp][data-test-script-state=notRunning] h1"
PATIENCE = 60_000  # milliseconds; the machine may be busy
Rows = list[tuple[Any, ...]]
KNOWN = "customer_id <> '(unknown)'"
SCORED = "churn.churn_predictions WHERE snapshot_date = (SELECT max(snapshot_date) FROM churn.churn_predictions)"  # noqa: E501
NEWEST_SCORES = (
    "(SELECT arg_max(score, day) AS score FROM quality.data_quality_scores GROUP BY asset)"
)
# The figures of each page, as SQL of our own over the build, by their labels.
FIGURES = {
    "": {
        "Net sales": "SELECT sum(net_amount) FROM core.customer_days",
        "Orders": "SELECT sum(sale_orders) FROM core.customer_days",
        "Buyers": "SELECT count(DISTINCT customer_id) FROM core.customer_days "
        f"WHERE sale_orders > 0 AND {KNOWN}",
    },
    "cohorts": {
        "Cohorts": "SELECT count(DISTINCT cohort_month) FROM marts.customer_cohort_analysis "
        "WHERE customers_active IS NOT NULL AND cohort_month <= "
        "(SELECT max(order_date) FROM marts.sales_daily)",
    },
    "customers": {
        "Customers known": "SELECT count(*) FROM marts.user_analytics",
        "Net sales, ever": "SELECT sum(net_amount) FROM marts.user_analytics",
    },
    "customer?customer=C000017": {
        "Orders": "SELECT sale_orders FROM marts.user_analytics WHERE customer_id = 'C000017'",
        "Segment": "SELECT segment FROM marts.user_analytics WHERE customer_id = 'C000017'",
        "Risk band": f"SELECT risk_band FROM {SCORED} AND customer_id = 'C000017'",
    },
    "churn": {
        "Customers scored": f"SELECT count(*) FROM {SCORED}",
        "In the band High": f"SELECT count(*) FROM {SCORED} AND risk_band = 'High'",
    },
    "quality": {
        "Tables below 100%": f"SELECT count(*) FROM {NEWEST_SCORES} WHERE score < 1",
        "Mean score": f"SELECT round(avg(score) * 100, 3)::DECIMAL(9,3) || '%' "
        f"FROM {NEWEST_SCORES}",
    },
    "subscriptions": {
        "Subscribers": "SELECT sum(subscribers) FROM marts.churn_by_contract",
        "Left": "SELECT sum(churned) FROM marts.churn_by_contract",
    },
}
# A file of each page, and the same rows as SQL has them.
FILES = {
    "": (
        "sales-by-category",
        "SELECT category, sum(net_amount), sum(gross_amount), sum(returned_amount), sum(units) "
        "FROM marts.sales_daily GROUP BY 1",
    ),
    "customers": ("segments", "SELECT segment, count(*), sum(net_amount), sum(net_amount_90d), "
        "median(days_since_last_order)::DOUBLE, avg(sale_orders) FROM marts.user_analytics "
        "GROUP BY 1"),
    "subscriptions": ("churn-by-contract", "SELECT contract, churn_rate, subscribers, churned, "
        "monthly_charges, monthly_charges_lost FROM marts.churn_by_contract"),
}  # fmt: skip


@dataclass
class Visit:
    """A page of the browser, and what it has said and asked for."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}/{path}")
        self.drawn()

    def drawn(self) -> None:
        self.page.wait_for_selector(DRAWN, timeout=PATIENCE)

    def shows(self, expected: dict[str, str]) -> bool:
        """Whether the figures are these, in a while: they arrive one after the other."""
        until = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < until:
            if self.figures().items() >= expected.items():
                return True
            self.page.wait_for_timeout(50)
        return False

    def figures(self) -> dict[str, str]:
        found = {}
        for metric in self.page.get_by_test_id("stMetric").all():
            label = metric.get_by_test_id("stMetricLabel").inner_text().strip()
            found[label] = metric.get_by_test_id("stMetricValue").inner_text().strip()
        return found


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = make_settings(tmp_path_factory.mktemp("home"))
    publish_rows(settings)
    return settings


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    write_live(server.url)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def address(
    settings: Settings, live: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A server, started where somebody has options of Streamlit of their own."""
    folder = tmp_path_factory.mktemp("cwd")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "config.toml").write_text(
        '[browser]\ngatherUsageStats = true\n[theme.light]\nbackgroundColor = "#ff0000"\n'
    )
    environment = {**os.environ, "ANALYTICS_HOME": str(settings.home)}
    environment["ANALYTICS_REDIS_URL"] = live.url
    server = subprocess.Popen(
        [sys.executable, "-m", "analytics_assets.cli", "dashboards", "--port", "0"],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        found = re.match(r"(http://127\.0\.0\.1:\d+)/", server.stdout.readline())
        assert found
        yield found[1]
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"),
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS],
            color_scheme="light",
            viewport={"width": 1280, "height": 1600},
        )
        yield context
        context.close()


@pytest.fixture
def visit(browser: BrowserContext, address: str) -> Iterator[Visit]:
    found = Visit(browser.new_page(), address)
    found.page.set_default_timeout(PATIENCE)

    def asked(url: str) -> None:
        if not url.startswith((f"{address}/", "data:", "blob:")):
            found.elsewhere.append(url)

    found.page.on("request", lambda request: asked(request.url))
    found.page.on(
        "console", lambda said: found.errors.append(said.text) if said.type == "error" else None
    )
    found.page.on("pageerror", lambda error: found.errors.append(str(error)))
    yield found
    found.page.close()
    assert found.errors == []
    assert found.elsewhere == []


@pytest.fixture(scope="module")
def rows(settings: Settings) -> Iterator[Callable[[str], Rows]]:
    with open_build(current_build(settings.published_dir)) as session:
        yield session.rows


def shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.0f}"


@pytest.mark.parametrize("path", FIGURES)
def test_the_figures_of_a_page_are_those_of_the_build(
    path: str, visit: Visit, rows: Callable[[str], Rows]
) -> None:
    with_period = f"{path}{'&' if '?' in path else '?'}period=all"
    visit.open(with_period)
    expected = {label: shown(rows(sql)[0][0]) for label, sql in FIGURES[path].items()}
    assert visit.shows(expected), (visit.figures(), expected)
    expect(visit.page.get_by_test_id("stException")).to_have_count(0)
    assert [name for name in visit.figures() if len(name) > 18] == []
    if path in FILES:
        name, sql = FILES[path]
        assert downloaded(visit.page, name) == sorted(map(texts, rows(sql)))
    visit.page.set_viewport_size({"width": 390, "height": 844})
    width = "document.documentElement.scrollWidth"
    assert visit.page.evaluate(width) <= 390


def texts(row: tuple[Any, ...]) -> list[str]:
    return ["" if value is None else str(value) for value in row]


def downloaded(page: Page, name: str) -> list[list[str]]:
    """The rows of the table below a chart."""
    button = page.locator(f".st-key-csv-{name} button")
    page.get_by_test_id("stExpander").filter(has=button).locator("summary").click()
    with page.expect_download() as file:
        button.click()
    _, *found = csv.reader(io.StringIO(Path(file.value.path()).read_text("utf-8")))
    return sorted(found)


def test_filters_hold_across_pages_and_links_carry_them_without_a_mouse(
    visit: Visit, rows: Callable[[str], Rows]
) -> None:
    visit.open("churn")
    everyone = shown(rows(f"SELECT count(*) FROM {SCORED}")[0][0])
    assert visit.shows({"Customers scored": everyone})
    visit.page.get_by_role("combobox", name="Segment").focus()
    visit.page.keyboard.type("Loyal")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_text(re.compile("segment Loyal")).first).to_be_visible()
    expected = shown(
        rows(
            f"SELECT count(*) FROM {SCORED} AND customer_id IN (SELECT customer_id FROM "
            "marts.user_analytics WHERE segment = 'Loyal')"
        )[0][0]
    )
    assert expected != everyone
    assert visit.shows({"Customers scored": expected})
    visit.page.get_by_role("link", name="Customers").focus()
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("heading", level=1)).to_have_text("Customers")
    expect(visit.page.get_by_text(re.compile("segment Loyal")).first).to_be_visible()
    assert "segment=Loyal" in visit.page.url
    visit.open(visit.page.url.removeprefix(f"{visit.address}/"))
    expect(visit.page.get_by_text(re.compile("segment Loyal")).first).to_be_visible()


def test_the_theme_is_ours_in_light_and_dark(visit: Visit) -> None:
    from analytics_assets.dashboards.theme import theme_options

    assert [*PROBABILITY_BANDS] == ["Low", "Medium", "High"]  # whose colours a page chooses
    options = theme_options()
    for base in ("light", "dark"):
        visit.page.emulate_media(color_scheme=base)
        visit.open("quality")
        colour = visit.page.get_by_test_id("stApp").evaluate(
            "element => getComputedStyle(element).backgroundColor"
        )
        parts = [int(part) for part in re.findall(r"\d+", colour)[:3]]
        assert "#{:02X}{:02X}{:02X}".format(*parts) == options[f"theme.{base}.backgroundColor"]


def test_live_numbers_have_their_age_and_are_none_when_redis_is_away(
    visit: Visit, live: RedisServer
) -> None:
    visit.open("")
    figures = {"Purchases, hour": "3", "Sales, hour": "31", "Buyers, hour": "2"}
    assert visit.shows({**figures, "Events, 60 min": "7"})
    expect(
        visit.page.get_by_text(re.compile(r"Purchases up to .* UTC, \d+ minutes ago"))
    ).to_be_visible()
    live.stop()
    visit.page.wait_for_timeout(6_000)  # an answer is kept for five seconds
    visit.open("")
    expect(visit.page.get_by_text("Redis does not answer")).to_be_visible()
    assert not visit.figures().keys() & figures.keys()


def test_what_is_not_there_is_said(visit: Visit, settings: Settings) -> None:
    visit.open("customer?customer=nobody")
    expect(visit.page.get_by_text("The build has no such customer")).to_be_visible()
    # Without subscribers and scores, on a build that is published while the server runs.
    warehouse = Warehouse(settings.warehouse_path)
    gone = ("marts.churn_by_contract", "marts.subscription_analytics", "churn.churn_predictions")
    with warehouse.transaction() as session:
        for relation in gone:
            session.execute(f"DROP TABLE {relation}")
    publish(warehouse, settings.published_dir, settings.published_builds)
    visit.open("churn")
    expect(visit.page.get_by_text("has no churn_predictions")).to_be_visible()
    expect(visit.page.get_by_role("link", name="Subscriptions")).to_have_count(0)
    visit.open("subscriptions")
    expect(visit.page.get_by_text("has no churn_by_contract")).to_be_visible()
