"""A few days, loaded in different ways, with planted values of personal columns.

What comes out does not depend on the order or number of runs, and no planted value gets further
than raw and staging, whatever becomes of its row or its file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from analytics_assets.automation.backfill import RunPlan, plan_backfill
from analytics_assets.automation.jobs import LOAD_DAYS, SCORE_DAY
from analytics_assets.automation.ranges import range_tags
from analytics_assets.checks.schema import MAY_BE_EMPTY
from analytics_assets.cli import main
from analytics_assets.partitions import Calendar, Window
from analytics_assets.reports.profile import write_profile
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.sources.sample import write_sample
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets.warehouse.session import Session

from .canaries import places_of, tables_with
from .conftest import (
    CUSTOMERS,
    MONTHS,
    OF_SAMPLE,
    Project,
    make_settings,
    open_project,
    share_manifest,
    table_contents,
)

pytestmark = pytest.mark.slow

DAYS = Window.of_days("2024-04-04", "2024-04-06")  # lines and sessions that are rejected
# Of the loads and the scores: no subscribers, and no whole month.
COMPARED = [
    table.name
    for table in OF_SAMPLE
    if table.group in ("raw", "staging", "core", "marts") and table.name != "customer_segment_moves"
]
CANARY = "kanari"
ADDRESS, NAME = f"{CANARY}@{CANARY}.example", CANARY.title()


@dataclass(frozen=True)
class SomeDays:
    """The tables of some days, by the way they were loaded, and what commands printed."""

    folder: Path
    settings: Settings
    contents: dict[str, dict[str, list[tuple[Any, ...]]]]
    printed: dict[str, str]
    failures: list[str]


def plant(sample: Path, folder: Path) -> None:
    """Personal values in good rows, in rows that a check finds and in rows that are rejected."""
    header, first, second, *customers = (sample / "customers.csv").read_text().splitlines()

    def personal(row: str) -> str:
        key, _, _, _, *rest = row.split(",")
        return ",".join((key, ADDRESS, NAME, NAME, *rest))

    key, address, first_name, last_name, _, *rest = personal(second).split(",")
    rejected = [
        ",".join((f"{key}x", address, first_name, last_name, "no time", *rest)),
        ",".join(("", address, first_name, last_name, "2024-01-01 00:00:00", *rest)),
        # Shifted: what is personal stands where a time, a number or a word should.
        ",".join((f"{key}y", "", "", "", address, first_name, last_name, address)),
        f"{personal(second)},{ADDRESS}",
    ]
    rows = [header, personal(first), *[personal(second)] * 2, *rejected, *customers]
    (folder / "customers.csv").write_text("\n".join(rows) + "\n")
    (folder / "orders").mkdir()
    for day in DAYS:
        file = f"orders_{day}.csv"
        header, line, *lines = (sample / "orders" / file).read_text().splitlines()
        values = dict(zip(header.split(","), line.split(","), strict=True))
        shifted = [
            ",".join((values | {"order_id": f"X{name}", name: ADDRESS}).values())
            for name in ("ordered_at", "quantity", "unit_price", "status")
        ]
        (folder / "orders" / file).write_text("\n".join([header, line, *shifted, *lines]) + "\n")


# Files that no load can read, with personal values where the error is.
UNREADABLE = {
    "encoding": lambda text: text.replace(NAME, f"{NAME}ü").encode("latin-1", "ignore"),
    "no header": lambda text: text.split("\n", 1)[1].encode(),
    "column missing": lambda text: text.replace("customer_id,", "id,", 1).encode(),
}


@pytest.fixture(scope="module")
def some_days(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> SomeDays:
    """Loaded as one range; day by day in some order; once more by the command line; and failing."""
    folder = tmp_path_factory.mktemp("days")
    sample = folder / "sample"
    write_sample(sample, CUSTOMERS, MONTHS, seed=7)
    plant(sample, folder)
    (folder / "sources.yaml").write_text(f"""
calendar: {{start: {DAYS.start}, end: {DAYS.end}}}
orders: {{path: "orders/orders_{{date}}.csv", late_days: 7}}
user_sessions: {{path: "{sample}/user_sessions/user_sessions_{{date}}.csv"}}
customers: {{path: "customers.csv"}}
products: {{path: "{sample}/products.csv"}}
""")
    settings = {
        name: make_settings(folder / name, ANALYTICS_SOURCES=str(folder / "sources.yaml"))
        for name in ("range", "days")
    }
    score = plan_backfill([DAYS], Calendar(DAYS.start, DAYS.end), 30)[-1]
    assert score.job == SCORE_DAY
    first, second, third = DAYS
    shuffled = [second, third, first]
    orders = {"range": [DAYS], "days": [Window(day, day + timedelta(days=1)) for day in shuffled]}
    contents = {}
    for name, windows in orders.items():
        with open_project(share_manifest(manifest, settings[name])) as project:
            loads = [RunPlan(LOAD_DAYS, range_tags(window)) for window in windows]
            assert project.run([*loads, score]).failures == []
            contents[name] = all_contents(project)
    environment = {
        "ANALYTICS_HOME": str(settings["days"].home),
        "ANALYTICS_SOURCES": str(folder / "sources.yaml"),
    }
    printed = {}
    for command in (
        ["backfill", "--from", str(DAYS.start), "--to", str(max(DAYS))],
        ["rejected"],
        ["check-sources"],
    ):
        result = CliRunner().invoke(main, command, env=environment)
        # What could be loaded can be loaded.
        assert result.exit_code == 0, result.output
        printed[command[0]] = result.output
    failures = []
    with open_project(settings["days"]) as project:
        contents["again"] = all_contents(project)
        with project.warehouse.read() as session:
            for table in ("raw_customers", "rejected_rows"):
                pages = settings["days"].profiles_dir
                write_profile(session, TABLES[table], pages, datetime(2024, 5, 1), 7)  # noqa: DTZ001
        text = (folder / "customers.csv").read_text()
        for name, broken in UNREADABLE.items():
            (folder / "customers.csv").write_bytes(broken(text))
            (failure,) = project.run([RunPlan(LOAD_DAYS, range_tags(DAYS))]).failures
            failures.append(failure)
            printed[f"{name}: {failure}"] = failure
    return SomeDays(folder, settings["days"], contents, printed, failures)


def all_contents(project: Project) -> dict[str, list[tuple[Any, ...]]]:
    with project.warehouse.read() as session:
        return {name: table_contents(session, name) for name in COMPARED}


@pytest.mark.parametrize("name", COMPARED)
def test_days_in_any_order_give_the_tables_of_the_range(some_days: SomeDays, name: str) -> None:
    contents = some_days.contents
    assert contents["range"][name] or name in MAY_BE_EMPTY
    assert contents["days"][name] == contents["range"][name]


@pytest.mark.parametrize("name", COMPARED)
def test_a_second_run_changes_nothing(some_days: SomeDays, name: str) -> None:
    assert some_days.contents["again"][name] == some_days.contents["days"][name]


def test_a_backfill_prints_a_line_an_asset_with_rows_and_checks(some_days: SomeDays) -> None:
    printed = some_days.printed["backfill"]
    table = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line}
    assert table["asset"] == ["partitions", "rows", "seconds", "passed", "warned", "failed"]
    rows = len(some_days.contents["again"]["raw_orders"])
    partitions, told, _, passed, _, failed = table["raw_orders"]
    assert (partitions, told, failed) == (str(DAYS.days), f"{rows:,}", "0")
    assert int(passed) >= 2
    assert "published_warehouse" in table
    assert "2 runs in" in printed


def test_without_a_model_the_rest_of_the_day_is_made_and_published(some_days: SomeDays) -> None:
    lines = [line.split() for line in some_days.printed["backfill"].splitlines()]
    rows = {words[0]: words[2] for words in lines if len(words) > 2}
    assert {"customer_analytics_daily", "user_analytics", "published_warehouse"} <= rows.keys()
    assert rows["churn_predictions"] == "0"


# Personal values.


@pytest.fixture(scope="module")
def warehouse(some_days: SomeDays) -> Iterator[Session]:
    with open_build(some_days.settings.warehouse_path) as session:
        yield session


def test_the_planted_rows_are_accepted_doubled_and_rejected(
    warehouse: Session, some_days: SomeDays
) -> None:
    assert warehouse.rows(
        "SELECT count(*), count(DISTINCT customer_id) FROM raw.raw_customers WHERE email = ?",
        [ADDRESS],
    ) == [(3, 2)]
    rejected = "SELECT source, count(*) FROM raw.rejected_rows WHERE contains(row::VARCHAR, ?)"
    found = warehouse.rows(f"{rejected} GROUP BY 1 ORDER BY 1", [ADDRESS])
    assert found == [("customers", 4), ("orders", 4 * DAYS.days)]
    failed = warehouse.rows(
        "SELECT DISTINCT asset || '.' || check_name FROM quality.data_quality_metrics "
        "WHERE NOT passed AND contains(family, 'i')"
    )
    assert {
        ("raw_customers.no_row_twice",),
        ("rejected_rows.no_rejected_customers",),
        ("rejected_rows.no_rejected_orders",),
    } <= set(failed)
    assert len(some_days.failures) == len(UNREADABLE)


def test_a_planted_value_is_in_no_file_but_the_warehouse(some_days: SomeDays) -> None:
    pattern = re.compile(CANARY.encode(), re.IGNORECASE)
    assert places_of(pattern, some_days.folder / "orders")
    homes = [some_days.folder / name for name in ("range", "days")]
    apart = [home / "warehouse.duckdb" for home in homes]
    assert [places_of(pattern, home, apart) for home in homes] == [[], []]


def test_a_planted_value_is_in_no_table_after_staging(
    warehouse: Session, some_days: SomeDays
) -> None:
    holders = {"raw.raw_customers", "raw.rejected_rows", "staging.stg_customers"}
    assert tables_with(CANARY, warehouse) == holders
    published = current_build(some_days.settings.published_dir)
    with open_build(published) as session:
        assert tables_with(CANARY, session) == set()


def test_a_planted_value_is_in_nothing_that_a_command_prints(some_days: SomeDays) -> None:
    for command, text in some_days.printed.items():
        assert text
        assert CANARY not in text.lower(), command
