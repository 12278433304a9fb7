"""Hooks into Dagster's private modules.

`DbIOManager` and `TableSlice`: dagster-duckdb-pandas is a plug-in of that IO manager, and Dagster
exports neither; the public `DuckDBPandasIOManager` opens its own connections, read-write.

`DATA_VERSION_TAG` and `GLOBAL_CONCURRENCY_TAG`: an observation that a step logs, and the pool of an
observation, have no other way to be said.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import Any

from dagster import AssetKey, AssetsDefinition, DagsterEventType, DagsterInstance, SourceAsset
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.definitions.external_asset import create_external_asset_from_source_asset
from dagster._core.definitions.repository_definition.valid_definitions import (
    SINGLETON_REPOSITORY_NAME,
)
from dagster._core.execution.context.metadata_logging import (
    AssetMetadataHandle,
    OutputMetadataAccumulator,
)
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.storage.db_io_manager import DbIOManager, TableSlice
from dagster._core.storage.tags import GLOBAL_CONCURRENCY_TAG, REPOSITORY_LABEL_TAG
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

__all__ = [
    "DATA_VERSION_TAG",
    "GLOBAL_CONCURRENCY_TAG",
    "DbIOManager",
    "TableSlice",
    "add_partition_metadata",
    "external_asset",
    "known_to_the_ui",
    "observed_versions",
]


def external_asset(source: SourceAsset) -> AssetsDefinition:
    """An observable source as an asset whose spec can be changed.

    `observable_source_asset` takes no owners, and `multi_observable_source_asset`, which takes
    them, no data version for each partition.
    """
    return create_external_asset_from_source_asset(source)


@contextmanager
def known_to_the_ui(
    instance: DagsterInstance, module: str, location: str, job: str
) -> Iterator[dict[str, str]]:
    """Meanwhile, runs that this process creates have the place of their job; gives their tags.

    The timeline of the UI, and its pages of jobs, show only such runs. `execute_in_process`, which
    creates its run itself, takes no place.

    Args:
        instance: the instance.
        module: the module of the definitions.
        location: the name of the code location.
        job: the job.
    """
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=module)
    place = ManagedGrpcPythonEnvCodeLocationOrigin(target, location)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(place, SINGLETON_REPOSITORY_NAME), job)
    create = instance.create_run_for_job
    instance.create_run_for_job = partial(create, remote_job_origin=origin)  # type: ignore[method-assign]
    try:
        yield {REPOSITORY_LABEL_TAG: f"{SINGLETON_REPOSITORY_NAME}@{location}"}
    finally:
        del instance.create_run_for_job


def observed_versions(instance: DagsterInstance, asset: AssetKey) -> dict[str, str]:
    """The data version of each partition when it was last observed.

    The public `get_latest_data_version_record` reads an event for each partition.
    """
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        asset, DagsterEventType.ASSET_OBSERVATION, [DATA_VERSION_TAG]
    )
    return {day: by_tag[DATA_VERSION_TAG] for day, by_tag in tags.items()}


def add_partition_metadata(
    step: Any,
    asset: AssetKey,
    by_partition: Mapping[date, Mapping[str, Any]],
    of_all: Mapping[str, Any],
) -> None:
    """Add metadata to the materializations of partitions of a run.

    The public `add_asset_metadata` copies the metadata of all other partitions and lists the
    partitions of the run for each one: minutes for five years of days.

    Args:
        step: the step's execution context.
        asset: one of its assets.
        by_partition: metadata of each partition, by its first day.
        of_all: metadata of the whole run, added only to its newest partition: the UI shows that
            one, and a column lineage on each of a thousand partitions is megabytes.
    """
    newest = max(by_partition)
    before = step._metadata_accumulator.per_output_metadata
    added = {
        AssetMetadataHandle(asset_key=asset, partition_key=day.isoformat()): {
            **metadata,
            **(of_all if day == newest else {}),
        }
        for day, metadata in by_partition.items()
    }
    step._metadata_accumulator = OutputMetadataAccumulator(
        per_output_metadata={
            **before,
            **{handle: {**before.get(handle, {}), **new} for handle, new in added.items()},
        }
    )
