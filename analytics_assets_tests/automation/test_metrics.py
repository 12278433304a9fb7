"""Metrics: what a scrape has, with a real Prometheus, and its rules by its own tool.

Prometheus is Debian's package of that name; where it is not installed these tests fail.
"""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRunStatus

from analytics_assets.automation.alerts.rules import RULES
from analytics_assets.automation.metrics import METRICS, PREFIX, Metrics
from analytics_assets.cli import main
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse

from ..conftest import REPOSITORY, Project
from .alerts.conftest import CHECK, check, good_load, load, publish
from .test_sensors import locked

DEPLOY = REPOSITORY / "deploy"
RULES_FILE = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def figures(settings: Settings, instance: DagsterInstance) -> dict[tuple[str, ...], float]:
    warehouse = Warehouse(settings.warehouse_path, patience=0)
    metrics = Metrics(settings, instance, warehouse, [CHECK])
    return {tuple(sample[:-1]): sample[-1] for sample in metrics.samples()}


def test_before_the_first_run_every_part_can_be_read(
    settings: Settings, instance: DagsterInstance
) -> None:
    settings.home.mkdir()
    found = figures(settings, instance)
    parts = {key[1]: value for key, value in found.items() if key[0] == "part_up"}
    assert parts == dict.fromkeys(("runs", "checks", "published", "loads", "sizes", "incidents"), 1)
    assert ("warehouse_up",) not in found


def test_runs(settings: Settings, instance: DagsterInstance) -> None:
    for fails in (True, False, True, True):
        load(instance, "2024-03-01", "2024-03-01", fails=fails)
    instance.create_run_for_job(good_load, status=DagsterRunStatus.STARTED)
    found = figures(settings, instance)
    assert found["runs", "load_days", "failure"] == 3
    assert found["runs", "load_days", "success"] == 1
    assert found["runs_going_on", "load_days"] == 1
    assert found["failures_in_a_row", "load_days"] == 2
    assert found["last_run_success", "load_days"] == 0
    assert found["last_success_timestamp_seconds", "load_days"] == pytest.approx(
        time.time(), abs=60
    )
    load(instance)
    assert figures(settings, instance)["last_run_success", "load_days"] == 1


def test_checks(settings: Settings, instance: DagsterInstance) -> None:
    def verdicts() -> dict[str, float]:
        found = figures(settings, instance)
        return {key[2]: value for key, value in found.items() if key[0] == "checks" and value}

    assert verdicts() == {"unknown": 1}
    for tags, verdict in (
        ({"failing": 1}, "failed"),
        ({"failing": 1, "severity": "WARN"}, "warned"),
        ({}, "passed"),
    ):
        check(instance, **tags)
        assert verdicts() == {verdict: 1}
    found = figures(settings, instance)
    assert found["materialization_timestamp_seconds", "orders"] == pytest.approx(
        time.time(), abs=60
    )


def test_a_warehouse_that_is_locked_keeps_what_was_read_last(
    settings: Settings, instance: DagsterInstance
) -> None:
    warehouse = Warehouse(settings.warehouse_path, patience=0)
    warehouse.prepare()
    with warehouse.write() as session:
        session.execute(
            "INSERT INTO raw.source_loads VALUES "
            "('orders', DATE '2024-03-01', 'v', 10, 0, 8, 2, 0, now()::TIMESTAMP, now()::TIMESTAMP)"
        )
    metrics = Metrics(settings, instance, warehouse, [])

    def found() -> dict[tuple[str, ...], float]:
        return {tuple(sample[:-1]): sample[-1] for sample in metrics.samples()}

    expected = {"read": 10, "accepted": 8, "rejected": 2, "not_due": 0}
    open_, rows = found(), {("source_rows", "orders", name): n for name, n in expected.items()}
    assert open_.items() >= rows.items()
    assert open_["warehouse_up",] == 1
    with locked(warehouse.path):
        without_run = found()
        instance.create_run_for_job(good_load, status=DagsterRunStatus.STARTED)
        of_run = found()
    assert (without_run["warehouse_up",], of_run["warehouse_up",]) == (0, 1)
    assert of_run.items() >= rows.items()


def test_a_part_that_breaks_down_leaves_the_others(
    settings: Settings, instance: DagsterInstance
) -> None:
    publish(settings, data_quality_scores=[]).write_bytes(b"no database" * 1000)
    found = figures(settings, instance)
    assert found["part_up", "published"] == 0
    assert found["part_up", "sizes"] == 1
    assert found["bytes", "published"] > 0


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(main, ["metrics"])
    assert result.exit_code == 1
    assert "install the extra metrics" in result.output


# Files for Prometheus and Grafana.


def promtool(*arguments: str) -> None:
    result = subprocess.run(
        ["promtool", *arguments], cwd=RULES_FILE.parent, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts(arguments: tuple[str, ...]) -> None:
    promtool(*arguments)


def prometheus_rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES_FILE.read_text(encoding="utf-8"))["groups"]
    return group["rules"]


def test_its_rules_are_the_projects_with_the_same_limits() -> None:
    theirs = {
        rule["labels"]["rule"]: rule for rule in prometheus_rules() if "rule" in rule["labels"]
    }
    assert set(theirs) == {rule.name for rule in RULES}
    for rule in RULES:
        numbers = {float(n) for n in re.findall(r"[\s(](\d+\.?\d*)\b", theirs[rule.name]["expr"])}
        wanted = {rule.limit, float(rule.least), rule.floor} - {0.0}
        if rule.name == "warehouse":
            wanted = {0.0}  # it says whether it is up
        assert numbers == wanted, rule.name
        assert theirs[rule.name].get("for", "0m") == f"{rule.minutes:g}m"


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_rules_and_dashboard_use_metrics_that_exist() -> None:
    texts = [*expressions(), *(rule["expr"] for rule in prometheus_rules())]
    used = {name for text in texts for name in re.findall(rf"\b{PREFIX}(\w+)", text)}
    assert used - {"assets"} <= METRICS.keys()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def ask(url: str) -> str:
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > deadline:
                raise AssertionError(error.read().decode()) from error
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


@contextmanager
def running(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


@pytest.mark.slow
def test_a_real_prometheus_scrapes_the_command(copied_project: Project, tmp_path: Path) -> None:
    arguments = ["-m", "analytics_assets.cli", "metrics", "--port", "0"]
    with running(sys.executable, *arguments, **copied_project.environment()) as command:
        assert command.stdout is not None
        target = command.stdout.readline().split("/")[2]
        page = ask(f"http://{target}/metrics")
        assert "analytics_part_up" in page
        config = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        assert "127.0.0.1:9187" in config
        config = config.replace("127.0.0.1:9187", target).replace("30s", "5s")
        (tmp_path / "prometheus.yml").write_text(config)
        (tmp_path / "alerts.yml").write_text(RULES_FILE.read_text())
        listen = f"127.0.0.1:{free_port()}"
        with running(
            "prometheus",
            *(f"--config.file={tmp_path / 'prometheus.yml'}", f"--web.listen-address={listen}"),
            *(f"--storage.tsdb.path={tmp_path / 'data'}", "--log.level=error"),
        ):

            def query(expression: str) -> list[dict[str, Any]]:
                asked = urllib.parse.urlencode({"query": expression})
                return json.loads(ask(f"http://{listen}/api/v1/query?{asked}"))["data"]["result"]

            deadline = time.monotonic() + 60
            while not (up := query('up{job="analytics_assets"} == 1')):
                assert time.monotonic() < deadline, "Prometheus scraped nothing"
                time.sleep(0.5)
            assert len(up) == 1
            (rows,) = query('analytics_table_rows{table="fact_orders"}')
            expected = copied_project.query("SELECT count(*) FROM core.fact_orders")[0][0]
            assert float(rows["value"][1]) == expected
            assert query("analytics_part_up == 0") == []
            assert query("analytics_warehouse_up == 1")
            assert query('analytics_checks{verdict="passed"} > 0')
            assert query("analytics_quality_score > 0")
            assert query('analytics_source_rows{source="orders",outcome="read"} > 0')
            assert query('analytics_run_duration_seconds{dagster_job="load_days"} > 0')
            # Every panel of the dashboard has something to show, means of the past aside.
            for expression in expressions():
                assert query(expression) or "_mean" in expression, expression
            rules = json.loads(ask(f"http://{listen}/api/v1/rules"))["data"]["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert "canary" not in page
    names = set(re.findall(rf"^{PREFIX}(\w+?)(?:{{| )", page, re.MULTILINE))
    assert names <= METRICS.keys()
    assert {"runs", "bytes", "disk_used_ratio", "newest_day_timestamp_seconds"} <= names
