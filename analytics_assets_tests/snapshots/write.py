"""The graph as text, one line a thing, so that a change to it shows in a diff.

`make snapshot` writes the files; `test_snapshots.py` compares them with the definitions.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from dagster import AssetKey, Definitions, MonthlyPartitionsDefinition

from analytics_assets.definitions import build_definitions
from analytics_assets.settings import load_settings

FOLDER = Path(__file__).parent
EXAMPLES = FOLDER.parents[1] / "examples"
# What each file is of: variables of the environment.
CONFIGURATIONS = {
    "sample": {},
    "subscriptions": {"ANALYTICS_SOURCES": str(EXAMPLES / "telco.yaml")},
    "events": {"ANALYTICS_SOURCES": str(EXAMPLES / "stream.yaml")},
}


def path_of(configuration: str) -> Path:
    return FOLDER / f"{configuration}.txt"


def describe(definitions: Definitions) -> Iterator[str]:
    """Lines on assets with their checks, jobs, schedules and sensors."""
    graph = definitions.resolve_asset_graph()
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        monthly = isinstance(node.partitions_def, MonthlyPartitionsDefinition)
        partitioning = ("monthly" if monthly else "daily") if node.partitions_def else "whole"
        yield f"asset {name(key)} ({node.group_name}, {partitioning}): {names(node.parent_keys)}"
        for check in sorted(node.check_keys):
            blocking = " blocking" if graph.get_check_spec(check).blocking else ""
            yield f"    check {check.name}{blocking}"
    repository = definitions.get_repository_def()
    for job in sorted(definitions.jobs or [], key=lambda job: job.name):
        keys = definitions.resolve_job_def(job.name).asset_layer.executable_asset_keys
        yield f"job {job.name}: {names(keys)}"
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        yield (
            f"schedule {schedule.name} ({schedule.default_status.value}): {schedule.cron_schedule} "
            f"{schedule.execution_timezone or 'UTC'}, {schedule.job_name}"
        )
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        yield f"sensor {sensor.name} ({sensor.default_status.value})"


def name(key: AssetKey) -> str:
    return "/".join(key.path)


def names(keys: set[AssetKey]) -> str:
    return ", ".join(sorted(map(name, keys))) or "-"


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        for configuration, variables in CONFIGURATIONS.items():
            settings = load_settings({"ANALYTICS_HOME": home, **variables})
            lines = describe(build_definitions(settings))
            path_of(configuration).write_text("\n".join([*lines, ""]), encoding="utf-8")
            print(path_of(configuration))


if __name__ == "__main__":
    main()
