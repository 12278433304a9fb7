"""The whole of it: failed runs to messages that arrive, once, whoever is killed and restarted."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from dagster import DagsterInstance, build_sensor_context

from analytics_assets.automation import notifications
from analytics_assets.automation.alerts import watch as watching
from analytics_assets.automation.alerts.watch import NO_CHANNEL, watch
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.definitions import build_definitions
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse

from ...conftest import REPOSITORY, Project
from ..servers import accept, break_down, http_server, smtp_server, talk_nonsense
from .conftest import CHECK, DAY, FAILED, check, fill, load, publish, titles


@contextmanager
def reopened(settings: Settings) -> Iterator[DagsterInstance]:
    """The instance as a process sees it that has just started."""
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance


def tick(settings: Settings, times: int = 1, **options: Any) -> list[str]:
    problems: list[str] = []
    for _ in range(times):
        with reopened(settings) as instance:
            warehouse = Warehouse(settings.warehouse_path, patience=0.2)
            problems += watch(settings, instance, warehouse, [CHECK], **options)
    return problems


OVER = f"[dev] Over: {FAILED.removeprefix('[dev] ')}"


def test_a_failure_and_its_end_are_told_once_whatever_restarts(
    settings: Settings, instance: DagsterInstance
) -> None:
    with http_server(accept) as (url, received):
        settings = replace(settings, webhook_url=url, ui_url="https://dagster.example.com")
        assert tick(settings, 2) == []
        assert received == []
        run_id = load(instance, str(DAY), str(DAY), fails=True)
        load(instance, str(DAY), str(DAY), fails=True)
        assert tick(settings, 3) == []
        assert titles(received) == [FAILED]
        text = received[0]["text"]
        assert "\nSince 20" in text
        assert "\nWhat to do: " in text
        assert "https://dagster.example.com/runs/" in text
        assert run_id not in text  # the newest is shown
        assert "canary" not in text
        load(instance, str(DAY), str(DAY))
        assert tick(settings, 3) == []
        assert titles(received) == [FAILED, OVER]


def test_a_failed_check_has_rows_and_its_own_remedy(
    settings: Settings, instance: DagsterInstance
) -> None:
    with http_server(accept) as (url, received):
        settings = replace(settings, webhook_url=url)
        check(instance, failing=1234)
        tick(settings, 2)
        check(instance)
        tick(settings, 2)
    assert titles(received) == ["[dev] orders failed add_up", "[dev] Over: orders failed add_up"]
    assert "Rows: 1,234 rows fail.\n" in received[0]["text"]
    assert "What to do: Correct the orders." in received[0]["text"]


def test_slack_and_e_mail_get_the_same(
    settings: Settings, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(instance, str(DAY), str(DAY), fails=True)
    with http_server(accept) as (url, received), smtp_server() as (host, mails):
        monkeypatch.setattr(notifications, "SLACK_API", url)
        settings = replace(
            settings,
            slack_token="xoxb-canary",
            slack_channel="#data",
            smtp_host=host,
            smtp_security="none",
            email_from="shop@example.com",
            email_to=("a@example.com",),
        )
        assert tick(settings, 3) == []
    assert titles(received) == [FAILED]
    (mail,) = mails
    assert f"Subject: {FAILED}" in mail


@pytest.mark.parametrize(("answer", "attempts"), [(break_down, 3), (talk_nonsense, 1)])
def test_a_server_that_answers_wrongly_breaks_nothing(
    settings: Settings, instance: DagsterInstance, answer: Any, attempts: int
) -> None:
    load(instance, str(DAY), str(DAY), fails=True)
    with http_server(answer) as (url, received):
        problems = tick(replace(settings, webhook_url=url), 5)
    assert len(received) == len(problems) == attempts
    assert "127.0.0.1" not in str(problems)


def test_a_server_that_hangs_costs_a_tick_its_time_limit(
    settings: Settings, instance: DagsterInstance
) -> None:
    load(instance, str(DAY), str(DAY), fails=True)
    release = threading.Event()
    with http_server(lambda _: release.wait(20) and None) as (url, received):
        began = time.monotonic()
        (problem,) = tick(replace(settings, webhook_url=url), timeout=0.5)
        assert time.monotonic() - began < 10
        assert "not tried again" in problem
        assert tick(replace(settings, webhook_url=url), 2, timeout=0.5) == []
        assert len(received) == 1
        release.set()


WATCH = """
import sys, time
from pathlib import Path
from dagster import DagsterInstance
from analytics_assets.automation.alerts.watch import watch
from analytics_assets.settings import load_settings
from analytics_assets.warehouse.connection import Warehouse

settings = load_settings()
with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
    watch(settings, instance, Warehouse(settings.warehouse_path), [])
"""


@pytest.mark.slow
def test_killed_while_sending_it_sends_nothing_twice(
    settings: Settings, instance: DagsterInstance
) -> None:
    load(instance, str(DAY), str(DAY), fails=True)
    arrived, release = threading.Event(), threading.Event()

    def hang(handler: Any) -> None:
        arrived.set()
        release.wait(60)
        accept(handler)

    with http_server(hang) as (url, received):
        environment = {
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "ANALYTICS_HOME": str(settings.home),
            "ANALYTICS_WEBHOOK_URL": url,
        }
        with subprocess.Popen([sys.executable, "-c", WATCH], env=environment) as process:
            assert arrived.wait(60)
            process.send_signal(signal.SIGKILL)
        release.set()
        settings = replace(settings, webhook_url=url)
        (problem,) = tick(settings)
        assert "may not have arrived" in problem
        assert tick(settings, 2) == []
        load(instance, str(DAY), str(DAY))
        assert tick(settings, 2) == []
    assert titles(received) == [FAILED, OVER]


def test_a_rule_that_breaks_down_changes_no_incident(
    settings: Settings, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(instance, str(DAY), str(DAY), fails=True)

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("canary")

    with http_server(accept) as (url, received):
        settings = replace(settings, webhook_url=url)
        tick(settings)
        monkeypatch.setitem(watching.MEASURES, "failures_not_repaired", broken)  # type: ignore
        problems = tick(settings, 2)
    assert titles(received) == [FAILED]
    assert problems == ["The rule run_failed was not evaluated: ZeroDivisionError."] * 2


def test_whatever_breaks_it_is_words_and_no_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("canary")

    monkeypatch.setattr(watching, "advance", broken)
    assert tick(replace(settings, webhook_url="http://127.0.0.1:1/")) == [
        "Nobody was told of anything: OSError."
    ]


# The summary.


def test_a_published_build_is_summarised_once(
    settings: Settings, instance: DagsterInstance
) -> None:
    run_id = load(instance, str(DAY), str(DAY))
    warehouse = Warehouse(settings.warehouse_path)

    def loaded(day: date, at: datetime, *counts: int) -> dict[str, Any]:
        names = ("rows_read", "rows_accepted", "rows_rejected", "rows_not_due")
        return {
            "source": "orders",
            "window_date": day,
            "loaded_at": at,
            **dict(zip(names, counts, strict=True)),
        }

    facts = [{"order_date": DAY}] * 3
    loads = [loaded(DAY, datetime.fromisoformat("2024-03-01"), 1500, 1200, 300, 0)]
    with warehouse.write() as session:
        fill(session.connection, source_loads=loads, fact_orders=facts)
    scores = [
        {"asset": "fact_orders", "day": DAY, "score": 0.9},
        {"asset": "dim_customers", "day": DAY, "score": 1.0},
    ]
    publish(settings, 1, data_quality_scores=scores, fact_orders=[])
    with http_server(accept) as (url, received):
        settings = replace(settings, webhook_url=url, ui_url="http://ui")
        tick(settings, 3)
        assert [message["text"].splitlines() for message in received] == [
            [
                "[dev] Build 1 is published; quality score 0.950, lowest 0.900 of fact_orders",
                "orders: 1,500 rows extracted, 1,200 loaded, 300 rejected, 3 in fact_orders after "
                "transformation",
                f"Run: http://ui/runs/{run_id}",
            ]
        ]
        publish(settings, 2, data_quality_scores=scores, fact_orders=[])
        tick(settings, 2)
        assert "No rows were loaded for it." in received[1]["text"]
        assert len(received) == 2


# The sensor and the command line.


@pytest.mark.parametrize(
    ("deployment", "status"),
    [("dev", "STOPPED"), ("staging", "RUNNING"), ("production", "RUNNING")],
)
def test_the_sensor_is_on_outside_dev(settings: Settings, deployment: str, status: str) -> None:
    settings = replace(settings, deployment=deployment)
    sensor = watching.alert_sensor(settings, Warehouse(settings.warehouse_path))
    assert sensor.default_status.value == status


@pytest.mark.slow
def test_the_sensor_sends_and_its_tick_says_so(copied_project: Project) -> None:
    instance = copied_project.instance
    load(instance, str(DAY), str(DAY), fails=True)
    with http_server(accept) as (url, received):
        for webhook_url, said in ((None, NO_CHANNEL), (url, "All rules were evaluated.")):
            settings = replace(copied_project.settings, webhook_url=webhook_url)
            composed = build_definitions(settings)
            context = build_sensor_context(
                instance=instance, repository_def=composed.get_repository_def()
            )
            result = composed.resolve_sensor_def("alerts").evaluate_tick(context)
            assert result.skip_message == said
            assert result.run_requests == []
    summary = next(text for text in map(str, received) if "is published" in text)
    assert "rows extracted" in summary
    assert "in fact_orders after transformation" in summary
    assert FAILED in titles(received)


@pytest.mark.slow
def test_the_command_line_tells_of_its_own_runs(
    copied_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from analytics_assets.cli import main

    def invoke(url: str) -> Any:
        environment = {**copied_project.environment(), "ANALYTICS_WEBHOOK_URL": url}
        arguments = ["backfill", "--from", "2024-06-30", "--to", "2024-06-30"]
        return CliRunner().invoke(main, arguments, env=environment)

    orders = next(iter((copied_project.settings.sample_dir).rglob("*orders*2024-06-30*")))
    good = orders.read_bytes()
    with http_server(accept) as (url, received):
        orders.write_text("nonsense\n1\n")
        assert invoke(url).exit_code == 1
        orders.write_bytes(good)
        result = invoke(url)
        assert result.exit_code == 0, result.output
        dead = invoke("http://127.0.0.1:1/")
        assert dead.exit_code == 0
        assert "Not reported:" in dead.output
    said = titles(received)
    assert [title for title in said if "load_days failed at raw_orders" in title] == [
        "[dev] load_days failed at raw_orders, day 2024-06-30",
        "[dev] Over: load_days failed at raw_orders, day 2024-06-30",
    ]
    assert sum("is published" in title for title in said) == 2
