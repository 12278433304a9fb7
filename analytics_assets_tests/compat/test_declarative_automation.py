"""What declarative automation of the pinned Dagster does with changed ranges.

It is measured here because sensors of ours do its job: see docs/architecture.md. If an upgrade
fails these tests, look at that decision again.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    AutomationCondition,
    AutomationConditionSensorDefinition,
    BackfillPolicy,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    asset,
    build_sensor_context,
    define_asset_job,
)

DAYS = DailyPartitionsDefinition("2024-01-01", end_date="2024-03-01")
EAGER = AutomationCondition.eager()
EVERY_DAY = EAGER.without(AutomationCondition.in_latest_time_window())
SINGLE = BackfillPolicy.single_run()


@asset(partitions_def=DAYS, backfill_policy=SINGLE)
def raw() -> None: ...


@asset(partitions_def=DAYS, deps=[raw], backfill_policy=SINGLE, automation_condition=EVERY_DAY)
def fact() -> None: ...


@asset(deps=[fact], automation_condition=EAGER)
def whole() -> None: ...


class Automation:
    def __init__(self, instance: DagsterInstance) -> None:
        self.instance, self.cursor = instance, None
        sensor = AutomationConditionSensorDefinition(
            "automation", target=AssetSelection.all(), use_user_code_server=True
        )
        self.repository = Definitions([raw, fact, whole], sensors=[sensor]).get_repository_def()

    def build(self, made: AssetsDefinition, first: str, last: str) -> None:
        job = Definitions([made], jobs=[define_asset_job("build", [made])]).resolve_job_def("build")
        tags = {
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
        }
        partitioned = made.partitions_def is not None
        assert job.execute_in_process(
            instance=self.instance, tags=tags if partitioned else {}
        ).success

    def tick(self) -> Any:
        context = build_sensor_context(
            instance=self.instance, repository_def=self.repository, cursor=self.cursor
        )
        result = self.repository.get_sensor_def("automation").evaluate_tick(context)
        self.cursor = result.cursor
        return result.run_requests


@pytest.fixture
def automation() -> Iterator[Automation]:
    with DagsterInstance.ephemeral() as instance:
        automation = Automation(instance)
        automation.build(raw, "2024-01-01", "2024-02-29")
        automation.tick()
        automation.build(fact, "2024-01-01", "2024-02-29")
        automation.build(whole, "", "")
        automation.tick()
        yield automation


def test_a_changed_range_is_one_backfill_and_not_a_run_for_each_day(automation: Automation) -> None:
    automation.build(raw, "2024-01-05", "2024-01-09")
    automation.build(raw, "2024-01-20", "2024-01-21")
    requests = automation.tick()
    ranges = [
        (str(days.start), str(days.end))
        for request in requests
        for days in request.asset_graph_subset.partitions_subsets_by_asset_key[
            AssetKey("fact")
        ].get_partition_key_ranges(DAYS)
    ]
    assert len(requests) == 1
    assert ranges == [("2024-01-05", "2024-01-09"), ("2024-01-20", "2024-01-21")]


def test_each_load_is_followed_up_whether_or_not_another_one_waits(automation: Automation) -> None:
    """So three changed ranges, loaded one after the other, are scored and published three times."""
    followed = 0
    for first, last in (("2024-01-05", "2024-01-09"), ("2024-01-20", "2024-01-21")):
        automation.build(raw, first, last)
        assert len(automation.tick()) == 1
        automation.build(fact, first, last)
        followed += sum(
            AssetKey("whole") in (one.asset_selection or ()) for one in automation.tick()
        )
        automation.build(whole, "", "")
        automation.tick()
    assert followed == 2
