"""One shape of checks and findings, their policies, and the steps that evaluate them."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dagster import AssetCheckSeverity

from analytics_assets.assets.dbt.command import prepare_manifest
from analytics_assets.checks import anomalies
from analytics_assets.checks.base import DIMENSIONS, Check, Finding
from analytics_assets.checks.registry import EVALUATE, all_checks, check_definitions, evaluate
from analytics_assets.checks.rows import RowRule
from analytics_assets.checks.scans import Scans, scan
from analytics_assets.definitions import build_definitions
from analytics_assets.partitions import Calendar, Window, daily_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.settings import CHECK_POLICIES
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.declared import SOURCES
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.conftest import make_settings
from analytics_assets_tests.rows import DAY, insert

CALENDAR = Calendar(DAY, DAY + timedelta(5))
TABLE_LIST = [t for t in TABLES.values() if t.group != "quality" or t.is_optional]
ORPHAN = {"customer_id": "nobody"}


def checks(tmp_path: Path, *sources: str, **environment: str) -> dict[str, Check]:
    forms = {"events": "lake"}
    config = SourcesConfig(
        CALENDAR,
        {
            name: SourceConfig(name, "x.csv", format=forms.get(name, "csv"))
            for name in sources or SOURCES
        },
    )
    settings = make_settings(tmp_path, **environment)
    found = all_checks(settings, config, daily_partitions(CALENDAR), TABLE_LIST)
    return {f"{check.asset}.{check.name}": check for check in found}


@pytest.fixture
def connection(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    insert(connection, "dim_customers", {"customer_id": "known", "member_type": "source"})
    insert(connection, "dim_customers", {"customer_id": "nobody", "member_type": "inferred"})
    return connection


def find(connection: duckdb.DuckDBPyConnection, check: Check, window: Window | None) -> Finding:
    (finding,) = evaluate(DuckDBSession(connection), [check], lambda check: window)
    return finding


def test_every_family_has_a_policy_and_says_what_to_do(tmp_path: Path) -> None:
    found = checks(tmp_path)
    assert {check.family for check in found.values()} == EVALUATE.keys()
    assert EVALUATE.keys() | {"dbt"} == CHECK_POLICIES.keys()
    for name, check in found.items():
        assert check.dimension in DIMENSIONS, name
        assert check.remedy.endswith("."), name
        assert check.description.endswith("."), name


def test_a_family_that_is_off_has_no_checks(tmp_path: Path) -> None:
    off = checks(tmp_path, ANALYTICS_CHECKS="anomalies=off,drift=off")
    gone = {check.family for check in checks(tmp_path).values()}
    assert gone - {check.family for check in off.values()} == {"anomalies", "drift"}


def test_a_family_that_only_warns_blocks_with_all_of_its_checks_when_it_is_told_to(
    tmp_path: Path,
) -> None:
    for check in checks(tmp_path).values():
        if CHECK_POLICIES[check.family] == "warn":
            assert check.spec("block").blocking, check.name


def test_only_severe_checks_of_blocking_families_block(tmp_path: Path) -> None:
    found = list(checks(tmp_path).values())
    specs = {
        (spec.asset_key.path[-1], spec.name): spec.blocking
        for definition in check_definitions(found, CHECK_POLICIES)
        for spec in definition.check_specs
    }
    assert len(specs) == len(found)
    for check in found:
        expected = CHECK_POLICIES[check.family] == "block" and check.severe_share is not None
        assert specs[check.asset, check.name] == expected
    warned = check_definitions(found, dict.fromkeys(CHECK_POLICIES, "warn"))
    assert not any(spec.blocking for definition in warned for spec in definition.check_specs)


@pytest.mark.parametrize("policy", ["block", "warn"])
@pytest.mark.parametrize(("orphans", "severe"), [(1, False), (9, False), (60, True)])
def test_orphans_are_errors_above_the_set_share_of_enough_rows(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, orphans: int, severe: bool, policy: str
) -> None:
    insert(connection, "fact_orders", *[{"customer_id": "known"}] * 100, *[ORPHAN] * orphans)
    check = checks(tmp_path)["fact_orders.customer_is_in_its_source"]
    finding = find(connection, check, None)
    assert (finding.passed, finding.failing, finding.severe) == (False, orphans, severe)
    assert finding.details["by kind"] == {"inferred member": orphans}
    blocks = severe and policy == "block"
    expected = AssetCheckSeverity.ERROR if blocks else AssetCheckSeverity.WARN
    assert finding.result(policy).severity == expected
    higher = checks(tmp_path, ANALYTICS_MAX_ORPHAN_SHARE="0.5")
    assert not find(connection, higher[f"{check.asset}.{check.name}"], None).severe


def test_a_line_whose_member_is_nowhere_is_told_by_its_kind(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    insert(connection, "fact_orders", ORPHAN, {"customer_id": "gone"}, {"customer_id": "(unknown)"})
    found = checks(tmp_path)
    finding = find(connection, found["fact_orders.customer_is_in_its_source"], None)
    assert finding.details["by kind"] == {"inferred member": 1, "no member": 1}
    assert finding.rows == 2
    unknown = find(connection, found["fact_orders.customer_is_known"], None)
    assert (unknown.failing, unknown.rows, unknown.severe) == (1, 3, False)


def test_without_a_source_there_are_no_orphans_of_it(tmp_path: Path) -> None:
    found = checks(tmp_path, "orders")
    assert "fact_orders.customer_is_in_its_source" not in found
    assert "fact_orders.customer_is_known" in found
    absent = {f"{layer}_{name}" for name in ("customers", "products") for layer in ("raw", "stg")}
    # Those of the tables are made for the tables that there are.
    of_tables = ("schema", "uniqueness")
    named = {check.asset for check in found.values() if check.family not in of_tables}
    assert not named & {*absent, "raw_user_sessions", "fact_user_sessions"}


def test_a_failure_tells_rows_share_keys_query_and_remedy(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    bad = [{"order_id": f"O{number}", "quantity": 0} for number in range(7)]
    insert(connection, "fact_orders", {"order_date": DAY + timedelta(1)}, {}, *bad)
    window = Window(DAY, DAY + timedelta(1))
    check = checks(tmp_path)["fact_orders.quantity_is_not_zero"]
    finding = find(connection, check, window)
    told = {key: value.value for key, value in finding.result("warn").metadata.items()}
    assert (told["rows checked"], told["failing rows"], told["share"]) == (8, 7, 0.875)
    assert told["keys"] == [
        {"order_date": str(DAY), "order_id": f"O{number}", "line_number": 1} for number in range(5)
    ]
    assert told["remedy"] == check.remedy
    assert told["by day"] == {str(DAY): [8, 7]}
    assert told["window"] == str(window)
    assert finding.query is not None
    assert finding.query in told["query"]
    assert len(connection.execute(finding.query).fetchall()) == 7
    assert told["seconds"] > 0


def test_an_address_in_place_of_a_key_is_hidden(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    insert(connection, "fact_orders", {"order_id": "somebody@example.com", "quantity": 0})
    finding = find(connection, checks(tmp_path)["fact_orders.quantity_is_not_zero"], None)
    assert finding.keys == [{"order_date": DAY, "order_id": "(hidden)", "line_number": 1}]


def test_what_is_wanted_of_one_scan_is_asked_in_one_query() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT DATE '2024-01-10' + i::INT AS d, i FROM range(3) r(i)"
        )
        scans = Scans(DuckDBSession(connection))
        days = scan("t", "d", Window(DAY, DAY + timedelta(2)))
        scans.want(days, "count(*)", "sum(i)")
        assert scans.days(days, "sum(i)") == {DAY: 0, DAY + timedelta(1): 1}
        connection.execute("DELETE FROM t")
        assert scans.days(days, "count(*)") == {DAY: 1, DAY + timedelta(1): 1}
        # What was not asked for before is asked for now, with the rest.
        assert scans.days(days, "max(i)") == {}
        assert scans.days(scan("t", None, None), "count(*)") == {}


def test_lines_are_compared_with_days_before_the_window() -> None:
    with duckdb.connect() as connection:
        usual = [
            {"order_id": str(n), "quantity": 1 + n % 2, "line_type": "sale"} for n in range(40)
        ]
        insert(connection, "fact_orders", *[{"order_date": DAY, **line} for line in usual])
        late = {"order_date": DAY + timedelta(3), "line_type": "sale", "order_id": "late"}
        insert(connection, "fact_orders", {**late, "quantity": 500})
        check = next(c for c in anomalies.checks() if c.name == "quantity_within_log_fences")
        day = Window(DAY + timedelta(3), DAY + timedelta(4))
        finding = find(connection, check, day)
        assert (finding.failing, finding.rows) == (1, 1)
        assert finding.keys == [{"order_id": "late", "line_number": 1}]
        # Too long ago to be compared with: one line is no group.
        far = Window(DAY + timedelta(200), DAY + timedelta(201))
        insert(connection, "fact_orders", {**late, "order_date": far.start, "quantity": 500})
        alone = find(connection, check, far)
        assert alone.passed
        assert alone.details["lines not testable"] == 1


def days_of_orders(connection: duckdb.DuckDBPyConnection, rows: dict[date, int]) -> None:
    insert(
        connection,
        "source_loads",
        *[
            {"source": "orders", "window_date": day, "rows_accepted": count}
            for day, count in rows.items()
        ],
    )


@pytest.mark.parametrize(("rows", "passes"), [(100, True), (60, True), (40, False), (250, False)])
def test_a_day_is_held_against_the_same_weekday_before(
    tmp_path: Path, rows: int, passes: bool
) -> None:
    check = checks(tmp_path)["raw_orders.rows_of_a_usual_day"]
    with duckdb.connect() as connection:
        # Other weekdays are ten times as large.
        usual = {DAY - timedelta(n): 100 if n % 7 == 0 else 1000 for n in range(1, 80)}
        days_of_orders(connection, usual | {DAY: rows})
        finding = find(connection, check, Window(DAY, DAY + timedelta(1)))
        assert finding.passed == passes
        assert finding.rows == 1


def test_the_window_under_test_is_no_part_of_its_own_baseline(tmp_path: Path) -> None:
    check = checks(tmp_path)["raw_orders.rows_of_a_usual_day"]
    with duckdb.connect() as connection:
        days = {DAY - timedelta(n): 100 for n in range(1, 100)}
        # Two weeks loaded again, all of them cut off.
        broken = {DAY - timedelta(n): 10 for n in range(14)}
        days_of_orders(connection, days | broken)
        finding = find(connection, check, Window(DAY - timedelta(13), DAY + timedelta(1)))
        assert (finding.failing, finding.rows) == (14, 14)
        assert finding.severe is False


def test_too_few_weeks_are_not_testable(tmp_path: Path) -> None:
    check = checks(tmp_path)["raw_orders.rows_of_a_usual_day"]
    with duckdb.connect() as connection:
        days_of_orders(connection, {DAY - timedelta(n): 100 for n in range(1, 30)} | {DAY: 1})
        finding = find(connection, check, Window(DAY, DAY + timedelta(1)))
        assert finding.passed
        assert finding.details["days not testable"] == 1
        assert "no day testable" in finding.description


def dbt_specs(settings: Any) -> list[Any]:
    prepare_manifest(settings)
    graph = build_definitions(settings).resolve_asset_graph()
    keys = graph.get(next(k for k in graph.get_all_asset_keys() if k.path[-1] == "fact_orders"))
    return [key.name for key in keys.check_keys]


@pytest.mark.slow
def test_the_tests_of_dbt_are_a_family_like_the_others(tmp_path: Path) -> None:
    blocking = make_settings(tmp_path / "home")
    assert "fact_orders_customer_id_member" in dbt_specs(blocking)
    manifest = blocking.dbt_target_dir / "manifest.json"

    def severities() -> set[str]:
        nodes = json.loads(manifest.read_text())["nodes"].values()
        return {n["config"]["severity"] for n in nodes if n["resource_type"] == "test"}

    assert severities() == {"error"}
    dbt_specs(make_settings(tmp_path / "home", ANALYTICS_CHECKS="dbt=warn"))
    assert severities() == {"warn"}
    # Of another home: dagster-dbt reads a manifest once in a process.
    off = dbt_specs(make_settings(tmp_path / "off", ANALYTICS_CHECKS="dbt=off"))
    assert "fact_orders_customer_id_member" not in off
    assert "schema" in off


def test_rules_on_rows_name_the_table_s_columns(tmp_path: Path) -> None:
    for name, check in checks(tmp_path).items():
        if isinstance(check.rule, RowRule) and check.rule.relation is None:
            assert any(column in check.rule.broken for column in TABLES[check.asset].columns), name


@pytest.mark.parametrize("window", [None, Window(DAY, DAY + timedelta(1))])
def test_a_key_that_stands_twice_is_found_whatever_its_numbers(
    tmp_path: Path, window: Window | None
) -> None:
    numbers = [-65, -1, 0, 1, 63, 64, 127, 128, 2**31 - 1]
    twice = {-1, 64, 2**31 - 1}
    check = checks(tmp_path)["fact_orders.key_is_unique"]
    with duckdb.connect() as connection:
        lines = [{"order_id": order, "line_number": n} for order in "ab" for n in numbers]
        insert(connection, "fact_orders", *lines)
        assert find(connection, check, window).passed
        again = [{"order_date": DAY, "order_id": "a", "line_number": number} for number in twice]
        insert(connection, "fact_orders", *again)
        # A refund of a later day has a number that others had before.
        insert(connection, "fact_orders", {**again[0], "order_date": DAY + timedelta(9)})
        finding = find(connection, check, window)
        assert finding.failing == len(twice)
        assert finding.keys == sorted(again, key=lambda key: key["line_number"])


def test_lines_without_a_number_are_repeated_where_they_are_equal(tmp_path: Path) -> None:
    found = checks(tmp_path)
    with duckdb.connect() as connection:
        rows = [
            {"source_row": row, "line_number": number, "quantity": quantity}
            for row, number, quantity in [(1, None, 1), (2, None, 2), (3, None, 1), (4, 1, 1)]
        ]
        insert(connection, "raw_orders", *rows)
        finding = find(connection, found["raw_orders.no_row_twice"], None)
        assert [key["source_row"] for key in finding.keys] == [3]
        assert find(connection, found["raw_orders.no_line_with_two_contents"], None).passed
