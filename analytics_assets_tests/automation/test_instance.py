"""The dagster.yaml that we write, as Dagster understands it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance.config import PoolGranularity

from analytics_assets.automation.event_log import PooledSqliteEventLogStorage
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.settings import Settings


@pytest.fixture
def instance(settings: Settings) -> Iterator[DagsterInstance]:
    with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
        yield instance


def test_one_run_at_a_time_has_the_warehouse(instance: DagsterInstance) -> None:
    """The daemon launches a run when no other has its pool; the lock is `warehouse.occupancy`."""
    pools = instance.get_concurrency_config().pool_config
    assert pools.pool_granularity == PoolGranularity.RUN
    assert pools.default_pool_limit == 1


def test_killed_and_cancelled_runs_are_found_and_free_their_slot(instance: DagsterInstance) -> None:
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_poll_interval_seconds <= 60
    assert 0 < instance.run_monitoring_max_runtime_seconds <= 24 * 60 * 60
    monitoring = instance.get_settings("run_monitoring")
    assert 0 < monitoring["free_slots_after_run_end_seconds"] <= 60


def test_ticks_do_not_pile_up(instance: DagsterInstance) -> None:
    for kind in (InstigatorType.SENSOR, InstigatorType.SCHEDULE):
        days = instance.get_tick_retention_settings(kind)
        assert all(0 < value <= 30 for value in days.values()), days


def test_nothing_is_sent_home(instance: DagsterInstance) -> None:
    assert not instance.telemetry_enabled


def test_everything_lies_under_the_home(settings: Settings) -> None:
    prepare_instance(settings)
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        storage = instance.event_log_storage
        assert isinstance(storage, PooledSqliteEventLogStorage)
        path = Path(storage.path_for_shard("index"))
        assert path.is_relative_to(settings.dagster_home)
        assert Path(instance.root_directory) == settings.dagster_home


def test_a_second_preparation_changes_nothing(settings: Settings) -> None:
    file = prepare_instance(settings) / "dagster.yaml"
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    prepare_instance(settings)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before


def test_a_teams_own_file_is_kept(settings: Settings) -> None:
    settings.dagster_home.mkdir(parents=True)
    file = settings.dagster_home / "dagster.yaml"
    file.write_text("telemetry:\n  enabled: false\n")
    prepare_instance(settings)
    assert file.read_text() == "telemetry:\n  enabled: false\n"


def test_preparing_leaves_the_environment_alone(settings: Settings) -> None:
    prepare_instance(settings)
    assert "DAGSTER_HOME" not in os.environ
