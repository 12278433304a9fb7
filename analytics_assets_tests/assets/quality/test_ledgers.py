"""The ledger of checks and the scores made from it."""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    materialize,
)

from analytics_assets.assets.quality.ledgers import _not_run, _score_history, _verdict
from analytics_assets.checks.base import DIMENSIONS, Check, Finding
from analytics_assets.checks.score import scores
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.conftest import CHECKED_OF_SAMPLE, Project
from analytics_assets_tests.rows import insert

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)
WINDOW = Window(FIRST, SECOND + timedelta(1))
CHECK = Check("integrity", "fact_orders", "known", "All known.", "consistency", "Ask.")


@pytest.fixture
def ledger() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        insert(connection, "data_quality_metrics")
        insert(connection, "pipeline_executions")
        yield connection


def evaluation(**values: Any) -> AssetCheckEvaluation:
    return AssetCheckEvaluation(
        asset_key=AssetKey("fact_orders"),
        check_name="known",
        passed=False,
        severity=AssetCheckSeverity.WARN,
        **values,
    )


def test_a_finding_becomes_a_row_and_one_for_each_day() -> None:
    finding = Finding(
        CHECK,
        passed=False,
        description="3 of 30 rows (10.00%)",
        window=WINDOW,
        rows=30,
        failing=3,
        threshold=0.05,
        days={FIRST: (10, 0), SECOND: (20, 3)},
        seconds=0.5,
    )
    told = finding.result("warn")
    assert told.severity == AssetCheckSeverity.WARN
    rows = _verdict("run", 0.0, evaluation(metadata=told.metadata), WINDOW)
    assert all(row.keys() == set(TABLES["data_quality_metrics"].columns) for row in rows)
    whole, first, second = rows
    assert whole["day"] is None
    assert (whole["family"], whole["dimension"]) == ("integrity", "consistency")
    assert (whole["rows_checked"], whole["failing_rows"], whole["share"]) == (30, 3, 0.1)
    assert (whole["threshold"], whole["seconds"]) == (0.05, 0.5)
    assert (whole["window_start"], whole["window_end"]) == (WINDOW.start, WINDOW.end)
    assert (first["day"], first["passed"], first["failing_rows"]) == (FIRST, True, 0)
    assert (second["day"], second["passed"], second["share"]) == (SECOND, False, 0.15)


def test_a_check_of_a_whole_table_has_no_window_in_a_run_of_days() -> None:
    told = Finding(CHECK, passed=True, description="", rows=1, failing=0).result("block")
    (row,) = _verdict("run", 0.0, evaluation(metadata=told.metadata), WINDOW)
    assert (row["window_start"], row["window_end"]) == (None, None)


def test_a_check_that_a_team_has_added_need_not_say_what_it_is() -> None:
    (row,) = _verdict("run", 0.0, evaluation(metadata={}), WINDOW)
    assert (row["family"], row["dimension"], row["window_start"]) == ("other", "validity", None)


class Run:
    """As much of a run record as is asked for."""

    end_time = 86400.0

    class dagster_run:  # noqa: N801
        run_id = "run"


def test_a_check_that_should_have_run_and_did_not_is_a_failure() -> None:
    found = [{"asset": "fact_orders", "check_name": "schema"}]
    known = {"family": "integrity", "dimension": "consistency"}
    expected = {
        "fact_orders": {"schema": {}, "known": known},
        "dim_date": {"schema": {}},
        "raw_orders": {"x": {}},
    }
    rows = _not_run(Run, WINDOW, {"fact_orders", "dim_date", "no table"}, found, expected)  # type: ignore[arg-type]
    assert [(row["asset"], row["check_name"]) for row in rows] == [
        ("dim_date", "schema"),
        ("fact_orders", "known"),
    ]
    assert all(not row["ran"] and not row["passed"] for row in rows)
    assert {row["severity"] for row in rows} == {"ERROR"}
    assert [row["family"] for row in rows] == ["other", "integrity"]
    assert [row["window_start"] for row in rows] == [None, FIRST]
    assert all(row.keys() == set(TABLES["data_quality_metrics"].columns) for row in rows)


def score(connection: duckdb.DuckDBPyConnection, *rows: dict[str, Any]) -> dict[Any, Any]:
    """Day to its row of scores of fact_orders, from ledger rows an hour apart."""
    connection.execute("DELETE FROM quality.data_quality_metrics")
    connection.execute("DELETE FROM quality.pipeline_executions")
    insert(connection, "pipeline_executions", {"run_id": "0", "window_end": WINDOW.end})
    for hour, row in enumerate(rows):
        insert(
            connection,
            "data_quality_metrics",
            {
                "run_id": str(hour),
                "asset": "fact_orders",
                "check_name": f"check {hour}",
                "evaluated_at": datetime(2024, 1, 1, hour),
                **dict.fromkeys(("day", "window_start", "window_end")),
                **row,
            },
        )
    result = connection.execute(scores(["churn_features"]))
    names = [column[0] for column in result.description or []]
    found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return {row["day"]: row for row in found}


VALID, KNOWN = {"dimension": "validity"}, {"dimension": "consistency"}


def test_the_score_is_the_mean_of_dimensions_that_are_means_of_checks(ledger) -> None:
    found = score(
        ledger,
        {**VALID, "day": FIRST, "rows_checked": 10, "failing_rows": 4},
        {**VALID, "day": FIRST, "rows_checked": 10, "failing_rows": 0},
        {**KNOWN, "day": FIRST, "rows_checked": None, "failing_rows": None, "passed": False},
    )[FIRST]
    assert found["validity"] == pytest.approx(0.8)
    assert found["consistency"] == 0
    assert found["completeness"] is None
    assert found["score"] == pytest.approx(0.4)
    assert found["checks"] == 3


def test_the_newest_verdict_on_a_day_counts(ledger) -> None:
    same = {**VALID, "check_name": "same", "rows_checked": 10}
    found = score(
        ledger,
        {**same, "day": FIRST, "failing_rows": 10},
        {**same, "day": SECOND, "failing_rows": 5},
        {**same, "day": FIRST, "failing_rows": 0},
    )
    assert {day: row["score"] for day, row in found.items()} == {FIRST: 1.0, SECOND: 0.5}


def test_a_verdict_without_days_counts_on_each_day_of_its_window(ledger) -> None:
    window = {"window_start": WINDOW.start, "window_end": WINDOW.end}
    found = score(ledger, {**VALID, **window, "rows_checked": 10, "failing_rows": 1})
    assert {day: row["score"] for day, row in found.items()} == {FIRST: 0.9, SECOND: 0.9}
    # A verdict that was counted by day counts once.
    row = {**VALID, "check_name": "x", "run_id": "0", "rows_checked": 10}
    found = score(
        ledger, {**row, **window, "failing_rows": 5}, {**row, "day": FIRST, "failing_rows": 2}
    )
    assert {day: row["score"] for day, row in found.items()} == {FIRST: 0.8}


def test_a_verdict_on_a_whole_table_counts_on_the_newest_day_of_its_run(ledger) -> None:
    assert score(ledger, {**VALID, "passed": True, "rows_checked": None}).keys() == {SECOND}


def test_a_check_that_did_not_run_scores_nothing(ledger) -> None:
    row = {**VALID, "ran": False, "passed": False, "rows_checked": None, "failing_rows": None}
    assert score(ledger, row)[SECOND]["score"] == 0


@pytest.mark.slow
def test_the_built_project_has_a_score_for_each_table_and_day(built_project: Project) -> None:
    calendar = built_project.calendar
    assert calendar.end is not None
    days = (calendar.end - calendar.start).days
    counted = dict(
        built_project.query("SELECT asset, count(*) FROM quality.data_quality_scores GROUP BY 1")
    )
    for name in ("raw_orders", "fact_orders", "customer_days"):
        assert counted[name] == days
    assert counted["churn_features"] == 6
    # What the last run checks comes with the next.
    late = {"customer_analytics_daily", "user_analytics", "churn_predictions"}
    assert counted.keys() | late >= {table.name for table in CHECKED_OF_SAMPLE}
    columns = ", ".join(f"min({name}), max({name})" for name in DIMENSIONS)
    ((*bounds,),) = built_project.query(f"SELECT {columns} FROM quality.data_quality_scores")
    assert all(0 <= bound <= 1 for bound in bounds)
    ((dirty,),) = built_project.query(
        "SELECT min(score) FROM quality.data_quality_scores WHERE asset = 'fact_orders'"
    )
    assert 0.5 < dirty < 1


@pytest.mark.slow
def test_the_history_of_scores_is_plotted_in_the_metadata(built_project: Project) -> None:
    key = AssetKey("data_quality_scores")
    entry = built_project.instance.get_latest_materialization_event(key)
    assert entry is not None and entry.asset_materialization is not None
    metadata = entry.asset_materialization.metadata
    for name in ("history", "history of tables"):
        assert str(metadata[name].value).startswith("![")
        assert "(data:image/png;base64," in str(metadata[name].value)


def test_tables_that_score_lowest_are_plotted_by_themselves() -> None:
    scores_of = {"dim_date": (1.0, 1.0), "fact_orders": (0.9, 0.5), "raw_orders": (0.8, 0.9)}
    rows = [
        {"asset": asset, "day": day, "score": score}
        for asset, of_days in scores_of.items()
        for day, score in zip((FIRST, SECOND), of_days, strict=True)
    ]
    with duckdb.connect() as connection:
        insert(connection, "data_quality_scores", *rows, {"asset": "churn_model", "score": 0.1})
        plotted = _score_history(DuckDBSession(connection))
    # What has one day only has no history.
    title = "![Lowest quality scores: fact_orders, raw_orders, dim_date]"
    assert str(plotted["history of tables"].value).startswith(title)


@pytest.mark.slow
def test_every_expected_check_ran_in_the_built_project(built_project: Project) -> None:
    assert built_project.query(
        "SELECT count(*) FILTER (NOT ran), count(*) > 100 FROM quality.data_quality_metrics"
    ) == [(0, True)]


@pytest.mark.slow
def test_a_new_warehouse_has_the_whole_ledger_again(copied_project: Project) -> None:
    counts = (
        "SELECT run_id, count(*), sum(failing_rows) FROM quality.data_quality_metrics "
        "WHERE run_id <> (SELECT run_id FROM quality.pipeline_executions WHERE ended_at IS NULL) "
        "GROUP BY ALL ORDER BY ALL"
    )
    before = copied_project.query(counts)
    assert len(before) == 3
    with copied_project.warehouse.write() as session:
        for name in ("data_quality_metrics", "data_quality_scores", "pipeline_executions"):
            session.execute(f"DROP TABLE quality.{name}")
    copied_project.warehouse.prepare()
    definitions = copied_project.definitions()
    ledgers = next(
        made
        for made in definitions.assets or []
        if getattr(made, "node_def", None) and made.node_def.name == "quality_ledgers"  # type: ignore[union-attr]
    )
    result = materialize(
        [ledgers],  # type: ignore[list-item]
        instance=copied_project.instance,
        resources={"warehouse": copied_project.warehouse},
    )
    assert result.success
    again = {run: (rows, failing) for run, rows, failing in copied_project.query(counts)}
    for run, rows, failing in before:
        assert again[run] == (rows, failing)
