"""The sensors: what they ask for, and when they stay silent."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster
import pytest
from dagster import (
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SensorDefinition,
    SkipReason,
    build_run_status_sensor_context,
    build_sensor_context,
)
from dagster._core.test_utils import create_run_for_test
from dagster._grpc.client import DEFAULT_SENSOR_GRPC_TIMEOUT

from analytics_assets.automation.instance import prepare_instance
from analytics_assets.automation.jobs import LOAD_DAYS, build_jobs, job_plans
from analytics_assets.automation.ranges import range_tags
from analytics_assets.automation.sensors import build_sensors
from analytics_assets.definitions import build_definitions, build_warehouse
from analytics_assets.partitions import (
    COMMAND_LINE_TAG,
    Calendar,
    Window,
    daily_partitions,
    monthly_partitions,
    run_window,
)
from analytics_assets.processes import Process
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.load import load_source
from analytics_assets.sources.sample import write_sample
from analytics_assets.warehouse.connection import Warehouse

HEADER = "order_id,line_number,ordered_at,customer_id,product_id,quantity,unit_price\n"
CALENDAR = Calendar(date(2024, 2, 1), date(2024, 4, 1))
WINDOW = Window(date(2024, 2, 1), date(2024, 4, 1))
LOADED_AT = datetime(2024, 4, 1, tzinfo=UTC)

HOLD_THE_WAREHOUSE = """
import sys, duckdb
with duckdb.connect(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.readline()
"""


class Shop:
    """Orders of two months, a file a day, with its sensors."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        config = SourceConfig("orders", str(folder / "{date}.csv"))
        self.sources = SourcesConfig(CALENDAR, {"orders": config})
        self.warehouse = Warehouse(settings.warehouse_path, patience=0.2)
        folder.mkdir()
        for day in WINDOW:
            self.write(day)
        self.sensors = all_sensors(settings, self.sources, self.warehouse)

    def write(self, day: date, quantity: int = 1) -> None:
        row = f"O{day},1,{day} 10:00:00,C1,P1,{quantity},9.99\n"
        (self.folder / f"{day}.csv").write_text(HEADER + row)

    def load(self, window: Window, loaded_at: datetime = LOADED_AT) -> None:
        self.warehouse.prepare()
        with self.warehouse.transaction() as session:
            load_source(
                session.connection, self.sources.sources["orders"], CALENDAR, window, loaded_at
            )

    def tick(self, instance: DagsterInstance | None = None) -> Any:
        """The second of two ticks: the first one has seen the files for the first time."""
        return self.tick_after(self.tick_after(None, instance).cursor, instance)

    def tick_after(self, cursor: str | None, instance: DagsterInstance | None = None) -> Any:
        with nullcontext(instance) if instance else DagsterInstance.ephemeral() as of_runs:
            context = build_sensor_context(instance=of_runs, cursor=cursor)
            return self.sensors["changed_sources"].evaluate_tick(context)

    def asked(self, instance: DagsterInstance | None = None) -> list[Window | None]:
        return [run_window(request.tags) for request in self.tick(instance).run_requests]


def all_sensors(
    settings: Settings, sources: SourcesConfig, warehouse: Warehouse
) -> dict[str, SensorDefinition]:
    daily = daily_partitions(sources.calendar)
    partitions = {"daily": daily, "monthly": monthly_partitions(sources.calendar), None: None}
    jobs = build_jobs(job_plans([], sources), partitions)
    return {
        sensor.name: sensor for sensor in build_sensors(settings, sources, warehouse, daily, jobs)
    }


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Shop:
    return Shop(settings, tmp_path / "orders")


def test_before_the_first_load_every_day_is_asked_for_in_one_run(shop: Shop) -> None:
    assert shop.asked() == [WINDOW]


def test_after_a_load_nothing_is_asked_for(shop: Shop) -> None:
    shop.load(WINDOW)
    result = shop.tick()
    assert not result.run_requests
    assert "The sources have not changed" in result.skip_message


def test_exactly_the_changed_days_are_asked_for_neighbours_together(shop: Shop) -> None:
    shop.load(WINDOW)
    for day in (date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 9)):
        shop.write(day, quantity=2)
    (shop.folder / "2024-03-20.csv").unlink()
    assert shop.asked() == [
        Window.of_days("2024-02-28", "2024-03-01"),
        Window.of_days("2024-03-09", "2024-03-09"),
        Window.of_days("2024-03-20", "2024-03-20"),
    ]


def test_content_that_returns_to_what_it_was_is_asked_for_again(shop: Shop) -> None:
    day = date(2024, 3, 9)
    shop.load(WINDOW)
    keys = []
    for hour, quantity in enumerate((2, 1, 2, 1)):
        shop.write(day, quantity)
        (request,) = shop.tick().run_requests
        assert [again.run_key for again in shop.tick().run_requests] == [request.run_key]
        keys.append(request.run_key)
        shop.load(Window.of_days(str(day), str(day)), LOADED_AT + timedelta(hours=1 + hour))
    assert len(set(keys)) == 4


def test_a_file_written_again_with_the_same_content_is_no_change(shop: Shop) -> None:
    shop.load(WINDOW)
    shop.write(date(2024, 3, 9))
    assert shop.asked() == []


def test_a_changed_file_asks_for_the_days_whose_rows_changed_and_no_other(
    settings: Settings, tmp_path: Path
) -> None:
    shop = Shop(settings, tmp_path / "orders")
    late = replace(shop.sources.sources["orders"], late_days=3)
    shop.sources = SourcesConfig(CALENDAR, {"orders": late})
    shop.sensors = all_sensors(settings, shop.sources, shop.warehouse)
    shop.load(WINDOW)
    assert shop.asked() == []
    shop.write(date(2024, 3, 9), quantity=2)
    assert shop.asked() == [Window.of_days("2024-03-09", "2024-03-09")]


def test_a_tick_that_is_repeated_asks_for_the_same_runs(shop: Shop) -> None:
    shop.load(WINDOW)
    keys = []
    for quantity in (2, 2, 3):
        shop.write(date(2024, 3, 9), quantity)
        keys.append([request.run_key for request in shop.tick().run_requests])
    assert keys[0] == keys[1]
    assert keys[1] != keys[2]


def test_many_scattered_days_are_a_few_runs(shop: Shop) -> None:
    shop.load(WINDOW)
    changed = [day for day in WINDOW if day.day in (3, 5, 9, 22)]
    for day in changed:
        shop.write(day, quantity=2)
    asked = shop.asked()
    assert asked == [
        Window.of_days("2024-02-03", "2024-02-09"),
        Window.of_days("2024-02-22", "2024-03-09"),
        Window.of_days("2024-03-22", "2024-03-22"),
    ]
    for window in asked:
        assert window is not None
        shop.load(window)
    assert shop.asked() == []


def test_scattered_days_of_one_file_are_one_run(settings: Settings, tmp_path: Path) -> None:
    shop = Shop(settings, tmp_path / "orders")
    config = SourceConfig("orders", str(shop.folder / "*.csv"))
    shop.sources = SourcesConfig(CALENDAR, {"orders": config})
    shop.sensors = all_sensors(settings, shop.sources, shop.warehouse)
    shop.load(WINDOW)
    for day in (date(2024, 2, 10), date(2024, 2, 20), date(2024, 3, 20)):
        shop.write(day, quantity=2)
    (request,) = shop.tick().run_requests
    assert run_window(request.tags) == Window.of_days("2024-02-10", "2024-03-20")
    shop.write(date(2024, 3, 1), quantity=2)  # between them
    (again,) = shop.tick().run_requests
    assert again.tags == request.tags
    assert again.run_key != request.run_key


def test_a_source_without_files_is_a_reason_and_no_error(shop: Shop) -> None:
    customers = SourceConfig("customers", str(shop.folder / "none.csv"))
    sources = SourcesConfig(CALENDAR, {**shop.sources.sources, "customers": customers})
    shop.sensors = all_sensors(shop.settings, sources, shop.warehouse)
    result = shop.tick()
    assert not result.run_requests
    assert "no file at" in result.skip_message


def test_while_another_process_writes_the_tick_is_skipped(shop: Shop) -> None:
    shop.load(WINDOW)
    with locked(shop.warehouse.path):
        result = shop.tick()
    assert not result.run_requests
    assert "locked by another process" in result.skip_message


@pytest.mark.slow
def test_the_projects_own_sensor_gives_up_before_dagster_cuts_the_tick_off(
    parsed_settings: Settings,
) -> None:
    build_warehouse(parsed_settings).prepare()
    sensor = build_definitions(parsed_settings).resolve_sensor_def("changed_sources")
    write_sample(parsed_settings.sample_dir, customers=3, months=1)
    with locked(parsed_settings.warehouse_path):
        began = time.monotonic()
        with DagsterInstance.ephemeral() as instance:
            result = sensor.evaluate_tick(build_sensor_context(instance=instance))
        assert time.monotonic() - began < DEFAULT_SENSOR_GRPC_TIMEOUT / 2
    assert "locked by another process" in result.skip_message


@contextmanager
def locked(warehouse: Path) -> Iterator[None]:
    """Meanwhile another process has the warehouse open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_WAREHOUSE, str(warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield
        finally:
            holder.communicate("\n", timeout=30)


# What follows a run.


@dagster.op
def fail() -> None:
    raise ValueError("customer a@example.com has no order")


@dagster.op
def succeed() -> None:
    pass


@dagster.job(name=LOAD_DAYS)
def failing_load() -> None:
    fail()


@dagster.job(name=LOAD_DAYS)
def load() -> None:
    succeed()


@pytest.fixture
def instance(settings: Settings) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance


def loads(instance: DagsterInstance, tags: dict[str, str]) -> str:
    """A successful load, as far as the instance knows."""
    return load.execute_in_process(instance=instance, tags=tags).run_id


def looks(sensor: SensorDefinition, instance: DagsterInstance) -> list[RunRequest] | str:
    """What a tick asks for, without the cursor of the one before, or why it asks for nothing."""
    said: Any = sensor(build_sensor_context(instance=instance))
    if isinstance(said, SkipReason):
        return str(said.skip_message)
    return said if isinstance(said, list) else [said]


def of_job(name: str, instance: DagsterInstance, status: DagsterRunStatus, **words: Any) -> str:
    return create_run_for_test(instance, name, status=status, **words).run_id


def test_after_a_load_the_newest_day_is_scored_once(shop: Shop, instance: DagsterInstance) -> None:
    sensor = shop.sensors["score_after_load"]
    assert "No days have been loaded since" in looks(sensor, instance)
    shop.load(Window.of_days("2024-02-01", "2024-02-29"))
    run_id = loads(instance, {"dagster/partition": "2024-02-27"})
    for _ in range(2):
        (request,) = looks(sensor, instance)
        assert request.partition_key == "2024-02-29"
        assert request.run_key == run_id  # one score a load, however often the tick is repeated
    of_job("score_day", instance, DagsterRunStatus.NOT_STARTED)
    assert "since" in looks(sensor, instance)


def test_several_loads_are_followed_by_one_scoring_when_the_last_has_ended(
    shop: Shop, instance: DagsterInstance
) -> None:
    sensor = shop.sensors["score_after_load"]
    shop.load(WINDOW)
    loads(instance, {"dagster/partition": "2024-02-03"})
    waiting = of_job(LOAD_DAYS, instance, DagsterRunStatus.NOT_STARTED)
    assert "A load waits or goes on" in looks(sensor, instance)
    instance.report_run_canceled(instance.get_run_by_id(waiting))
    last = loads(instance, {"dagster/partition": "2024-03-03"})
    (request,) = looks(sensor, instance)
    assert (request.run_key, request.partition_key) == (last, "2024-03-31")


def test_a_failed_scoring_or_one_of_snapshots_alone_is_none_of_the_load(
    shop: Shop, instance: DagsterInstance
) -> None:
    sensor = shop.sensors["score_after_load"]
    shop.load(WINDOW)
    run_id = loads(instance, {"dagster/partition": "2024-02-03"})
    of_job("score_day", instance, DagsterRunStatus.FAILURE)
    snapshots = frozenset({dagster.AssetKey("churn_predictions")})
    of_job("score_day", instance, DagsterRunStatus.SUCCESS, asset_selection=snapshots)
    (request,) = looks(sensor, instance)
    assert request.run_key == run_id  # Dagster starts no second run of a key
    of_job("score_day", instance, DagsterRunStatus.SUCCESS)
    assert "since" in looks(sensor, instance)


def test_the_command_line_follows_up_its_own_loads_while_it_lives(
    shop: Shop, instance: DagsterInstance
) -> None:
    sensor = shop.sensors["score_after_load"]
    shop.load(WINDOW)
    run_id = loads(instance, {"dagster/partition": "2024-02-03", COMMAND_LINE_TAG: "true"})
    instance.add_run_tags(run_id, Process.current().tags(run_id))
    assert "command line" in looks(sensor, instance)
    dead = Process(Process.current().host, os.getpid(), "an earlier one")
    instance.add_run_tags(run_id, dead.tags(run_id))
    assert isinstance(looks(sensor, instance), list)


def fails(instance: DagsterInstance, *days: str) -> str:
    tags = range_tags(Window.of_days(*days))
    result = failing_load.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
    return result.run_id


def test_days_whose_load_failed_after_the_rows_had_come_are_asked_for_once_more(
    shop: Shop, instance: DagsterInstance
) -> None:
    shop.load(WINDOW)
    fails(instance, "2024-02-28", "2024-03-01")
    loads(instance, {"dagster/partition": "2024-02-29"})
    wanted = [
        Window.of_days("2024-02-28", "2024-02-28"),
        Window.of_days("2024-03-01", "2024-03-01"),
    ]
    assert shop.asked(instance) == wanted
    keys = [request.run_key for request in shop.tick(instance).run_requests]
    assert keys == [request.run_key for request in shop.tick(instance).run_requests]
    run_id = fails(instance, "2024-02-28", "2024-02-28")
    shop.write(date(2024, 3, 5), quantity=2)
    assert shop.asked(instance) == [wanted[1], Window.of_days("2024-03-05", "2024-03-05")]
    shop.load(Window.of_days("2024-03-05", "2024-03-05"))
    loads(instance, range_tags(wanted[1]))
    result = shop.tick(instance)
    assert not result.run_requests
    assert "1 days failed 2 times; the first is 2024-02-28" in result.skip_message
    assert run_id[:8] in result.skip_message


def test_a_load_under_way_is_waited_for(shop: Shop, instance: DagsterInstance) -> None:
    shop.load(WINDOW)
    fails(instance, "2024-02-28", "2024-02-28")
    instance.create_run_for_job(
        load, tags={"dagster/partition": "2024-02-28"}, status=DagsterRunStatus.STARTED
    )
    result = shop.tick(instance)
    assert not result.run_requests
    assert "is asked for after it" in result.skip_message


def test_a_file_that_grows_is_not_asked_for_until_two_ticks_have_seen_the_same(
    shop: Shop,
) -> None:
    day = date(2024, 3, 9)
    shop.load(WINDOW)
    cursor = shop.tick_after(None).cursor
    file = shop.folder / f"{day}.csv"
    for line in range(3):
        with file.open("a") as stream:
            stream.write(f"N{line},1,{day} 11:00:00,C2,P1,1,9.99\n")
        result = shop.tick_after(cursor)
        assert not result.run_requests
        assert "1 days are new or changed; the next look" in result.skip_message
        cursor = result.cursor
    shop.write(date(2024, 3, 20), quantity=2)  # another day does not wait for it, nor it for that
    result = shop.tick_after(cursor)
    (request,) = result.run_requests
    assert run_window(request.tags) == Window.of_days(str(day), str(day))
    # The cursor may be lost: then one more tick passes, and the key is the same.
    again = shop.tick_after(shop.tick_after(None).cursor)
    assert request.run_key in {one.run_key for one in again.run_requests}


def test_a_file_with_its_marker_is_asked_for_at_the_first_look(
    settings: Settings, tmp_path: Path
) -> None:
    shop = Shop(settings, tmp_path / "orders")
    shop.load(WINDOW)
    marked = replace(shop.sources.sources["orders"], marker="{file}.done")
    for day in WINDOW:
        (shop.folder / f"{day}.csv.done").touch()
    shop.sources = SourcesConfig(CALENDAR, {"orders": marked})
    shop.sensors = all_sensors(settings, shop.sources, shop.warehouse)
    day = date(2024, 3, 9)
    marker = shop.folder / f"{day}.csv.done"
    marker.unlink()
    shop.write(day, quantity=2)
    waits = shop.tick_after(None)
    assert not waits.run_requests
    assert f"orders: {day}.csv waits for {{file}}.done" in waits.skip_message
    marker.touch()
    (request,) = shop.tick_after(waits.cursor).run_requests
    assert run_window(request.tags) == Window.of_days(str(day), str(day))


def test_after_a_load_of_old_days_the_features_of_their_months_are_made_anew(
    shop: Shop, instance: DagsterInstance
) -> None:
    shop.load(WINDOW)
    sensor = shop.sensors["features_after_old_days"]
    assert sensor.job_name == "monthly_features"
    newest = Window(WINDOW.end - timedelta(days=shop.settings.refresh_days), WINDOW.end)
    loads(instance, range_tags(newest))
    assert "monthly schedule" in looks(sensor, instance)
    loads(instance, {"dagster/partition": "2024-02-10"})
    run_id = loads(instance, {"dagster/partition": "2024-03-30"})
    (request,) = looks(sensor, instance)
    assert run_window(request.tags, monthly=True) == Window(date(2024, 2, 1), date(2024, 4, 1))
    assert request.run_key == run_id
    of_job("monthly_features", instance, DagsterRunStatus.NOT_STARTED)
    assert "since" in looks(sensor, instance)


def test_after_the_monthly_features_the_model_is_trained(
    shop: Shop, instance: DagsterInstance
) -> None:
    sensor = shop.sensors["retrain_after_features"]
    result = load.execute_in_process(instance=instance)
    (succeeded,) = [event for event in result.all_events if event.is_job_success]
    context = build_run_status_sensor_context(sensor.name, succeeded, instance, result.dagster_run)
    assert sensor(context).run_key == result.run_id
    assert sensor.job_name == "retrain"
