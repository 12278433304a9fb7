"""The measures: what is over a limit, what is not, and what cannot be told."""

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord

from analytics_assets.automation.alerts.facts import Facts
from analytics_assets.automation.alerts.measures import MEASURES, Finding
from analytics_assets.automation.alerts.rules import RULES
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse, WarehouseError

from ..test_sensors import locked
from .conftest import CHECK, check, load, publish

NOW = 1_700_000_000.0


def facts_of(settings: Settings, instance: DagsterInstance | None = None) -> Facts:
    warehouse = Warehouse(settings.warehouse_path, patience=0.2)
    return Facts(settings, instance or DagsterInstance.ephemeral(), warehouse, [CHECK], NOW)


def found(name: str, facts: Facts) -> list[Finding]:
    (rule,) = [rule for rule in RULES if rule.name == name]
    return list(MEASURES[rule.measure](rule, facts))


def test_each_rule_has_its_measure_and_a_remedy() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert {rule.measure for rule in RULES} == set(MEASURES)
    assert all(rule.remedy.endswith(".") for rule in RULES)


# Runs.


def test_a_failed_run_is_found_with_its_step_and_window(
    settings: Settings, instance: DagsterInstance
) -> None:
    run_id = load(instance, "2024-02-28", "2024-02-29", fails=True)
    (finding,) = found("run_failed", facts_of(settings, instance))
    assert finding.subject == "load_days"
    assert finding.what == "load_days failed at fail, days 2024-02-28 to 2024-02-29"
    assert finding.run_id == run_id
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    assert finding.since == record.end_time
    assert "canary" not in str(finding)


def test_a_load_is_repaired_by_loads_of_the_same_days(
    settings: Settings, instance: DagsterInstance
) -> None:
    load(instance, "2024-02-28", "2024-02-29", fails=True)
    for days, repaired in (("2024-03-01", False), ("2024-02-28", False), ("2024-02-29", True)):
        load(instance, days, days)
        assert (found("run_failed", facts_of(settings, instance)) == []) == repaired


def test_three_failures_in_a_row_are_found_and_two_are_not(
    settings: Settings, instance: DagsterInstance
) -> None:
    load(instance, fails=True)
    load(instance)
    for failures in (1, 2, 3):
        load(instance, fails=True)
        findings = found("failures_in_a_row", facts_of(settings, instance))
        assert [finding.what for finding in findings] == (
            ["load_days failed 3 times in a row"] if failures == 3 else []
        )
    load(instance)
    assert found("failures_in_a_row", facts_of(settings, instance)) == []


def test_a_failed_check_of_a_run_that_succeeded_is_found_and_a_warning_is_not(
    settings: Settings, instance: DagsterInstance
) -> None:
    check(instance, failing=1234, severity="WARN")
    assert found("failed_checks", facts_of(settings, instance)) == []
    run_id = check(instance, failing=1234)
    (finding,) = found("failed_checks", facts_of(settings, instance))
    assert (finding.subject, finding.what) == ("orders", "orders failed add_up")
    assert finding.rows == "1,234 rows fail"
    assert finding.run_id == run_id
    assert finding.remedy == "Correct the   orders."
    check(instance)
    assert found("failed_checks", facts_of(settings, instance)) == []


class Made(NamedTuple):
    seconds: float | None  # None: goes on since an hour
    days: int = 1
    status: str = "SUCCESS"


def runs(*made: Made) -> dict[str, list[RunRecord]]:
    """Records of runs of one job; the last is the newest."""
    records = []
    for number, one in enumerate(made):
        start = NOW - 3600 - 86400 * (len(made) - 1 - number)
        window = Window(date(2024, 1, 1), date(2024, 1, 1) + timedelta(days=one.days))
        status = DagsterRunStatus(one.status if one.seconds is not None else "STARTED")
        run = DagsterRun("load_days", status=status, tags=range_tags(window))
        created = datetime.fromtimestamp(start, UTC)
        end = None if one.seconds is None else start + one.seconds
        records.append(RunRecord(number, run, created, created, start, end))
    return {"load_days": records[::-1]}


USUAL = [Made(100), Made(120), Made(80), Made(100), Made(100)]


@pytest.mark.parametrize(
    ("made", "what"),
    [
        ([*USUAL, Made(190)], None),
        ([*USUAL, Made(260)], "load_days took 4 min, 2.6 times its mean of 100 s over 5 runs"),
        ([*USUAL, Made(None)], "load_days has taken 60 min, 36.0 times its mean of 100 s over 5"),
        ([*USUAL[1:], Made(900)], None),  # too few
        ([*USUAL, Made(900, days=30)], None),  # other work
        ([*USUAL, Made(900, status="FAILURE")], None),
        ([*[Made(5)] * 9, Made(30)], None),  # nobody minds half a minute
    ],
)
def test_a_run_over_twice_its_mean(settings: Settings, made: list[Made], what: str | None) -> None:
    facts = facts_of(settings)
    facts.__dict__["runs"] = runs(*made)
    findings = found("run_time", facts)
    assert [finding.what.startswith(str(what)) for finding in findings] == ([True] * bool(what))


# The published copy.


def scores(*values: float) -> list[dict[str, Any]]:
    return [
        {"asset": "fact_orders", "day": date(2024, 1, 1) + timedelta(days=n), "score": value}
        for n, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("values", "is_found"),
    [
        ([0.98, 0.99, 1.0] * 6 + [0.96], True),
        ([0.98, 0.99, 1.0] * 6 + [0.98], False),
        ([0.9, 0.99, 1.0] * 6 + [0.88], False),  # it varies as much
        ([1.0] * 20 + [0.995], False),  # less than counts
        ([1.0] * 20 + [0.98], True),
        ([0.5] * 20 + [1.0], False),  # better than before
        ([1.0] * 13 + [0.5], False),  # too few days
    ],
)
def test_a_quality_score_outside_two_standard_deviations(
    settings: Settings, values: list[float], is_found: bool
) -> None:
    publish(settings, data_quality_scores=scores(*values))
    findings = found("quality_score", facts_of(settings))
    assert bool(findings) == is_found
    if findings:
        assert "the quality score of fact_orders is 0.9" in findings[0].what


@pytest.mark.parametrize(
    ("weeks", "newest", "is_found"),
    [
        ([1000, 1010, 990, 1000], 880, True),
        ([1000, 1010, 990, 1000], 1120, True),
        ([1000, 1010, 990, 1000], 920, False),
        ([10, 11, 9, 10], 7, False),  # counts vary by as much
        ([1000, 1300, 700, 1000], 800, False),
        ([1000, 1000, 1000], 10, False),  # too few weeks
    ],
)
def test_a_row_count_off_by_a_tenth(
    settings: Settings, weeks: list[int], newest: int, is_found: bool
) -> None:
    table = TABLES["fact_orders"]
    day, file = date(2024, 3, 1), publish(settings, fact_orders=[])
    import duckdb

    with duckdb.connect(str(file)) as connection:
        for n, rows in enumerate([newest, *weeks[::-1]]):
            connection.execute(
                f"INSERT INTO {table.relation} ({table.window_column}) SELECT ? FROM range(?)",
                [day - timedelta(days=7 * n), rows],
            )
        # Other weekdays are not compared with.
        connection.execute(
            f"INSERT INTO {table.relation} ({table.window_column}) SELECT ? FROM range(5)",
            [day - timedelta(days=1)],
        )
    findings = found("row_count", facts_of(settings))
    assert [finding.subject for finding in findings] == ["fact_orders"] * is_found
    if findings:
        assert findings[0].rows == f"{newest:,} instead of about 1,000"


@pytest.mark.parametrize("name", ["quality_score", "row_count"])
def test_before_anything_is_published_it_cannot_be_told(settings: Settings, name: str) -> None:
    with pytest.raises(WarehouseError):
        found(name, facts_of(settings))


# The machine.


def test_the_disk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(used: int) -> Any:
        # A twentieth is kept for the system.
        return lambda _: shutil._ntuple_diskusage(100 * 10**9, used, 95 * 10**9 - used)

    settings.home.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", usage(75 * 10**9))
    assert found("disk", facts_of(settings)) == []
    monkeypatch.setattr(shutil, "disk_usage", usage(80 * 10**9))
    (finding,) = found("disk", facts_of(settings))
    assert finding.what == "the disk of ANALYTICS_HOME is 84% full, 15.0 GB free"


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[Warehouse]:
    warehouse = Warehouse(settings.warehouse_path)
    warehouse.prepare()
    yield warehouse


def test_a_warehouse_that_opens_is_fine(settings: Settings, warehouse: Warehouse) -> None:
    assert found("warehouse", facts_of(settings)) == []


def test_a_damaged_warehouse(settings: Settings, warehouse: Warehouse) -> None:
    warehouse.path.write_bytes(b"no database" * 1000)
    (finding,) = found("warehouse", facts_of(settings))
    assert "cannot be opened" in finding.what


def test_a_warehouse_that_is_gone(settings: Settings) -> None:
    assert found("warehouse", facts_of(settings)) == []  # nothing has run yet
    publish(settings, data_quality_scores=[])
    (finding,) = found("warehouse", facts_of(settings))
    assert "There is no warehouse" in finding.what


def test_a_lock_without_a_run_is_found_and_one_of_a_run_says_nothing(
    settings: Settings, warehouse: Warehouse
) -> None:
    with locked(warehouse.path):
        (finding,) = found("warehouse", facts_of(settings))
        assert "locked by another process" in finding.what
        facts = facts_of(settings)
        facts.__dict__["runs"] = runs(Made(None))
        assert found("warehouse", facts) == [Finding("warehouse", unknown=True)]
