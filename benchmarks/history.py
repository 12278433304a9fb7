"""Five years of daily runs in the run history: how long the UI's asset page takes, and pruning.

    python benchmarks/history.py --years 5

Writes the events that the daily refresh and the scoring of each day would have written, for the
assets and checks of the sample's graph, into an instance as `analytics-assets` makes it. Then asks
a real webserver what the page of a daily asset asks, before and after pruning. The result goes to
`benchmarks/results/history.json`.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    EventLogEntry,
)
from dagster._core.events import StepMaterializationData

from analytics_assets.assets.dbt.command import prepare_manifest
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.automation.ranges import range_tags
from analytics_assets.automation.retention import prune
from analytics_assets.definitions import build_definitions, build_warehouse
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import load_settings
from analytics_assets.sources.sample import write_sample

RESULT = Path(__file__).parent / "results" / "history.json"
ROOT = Path(__file__).parents[1]
START = date(2021, 1, 1)
ASSET = "fact_orders"
TRIES = 5

# What the page of an asset asks: status and live data, partitions, events, checks, lineage.
OF_ASSET = "query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode { "
QUERIES = {
    "live data": OF_ASSET
    + """latestMaterializationByPartition(partitions: null) { timestamp runId }
        assetMaterializations(limit: 1) { timestamp runId partition }
        partitionStats { numMaterialized numPartitions numFailed numMaterializing }
        staleStatus freshnessInfo { currentLagMinutes } } } }""",
    "partitions": OF_ASSET
    + """partitionKeysByDimension { name partitionKeys } assetPartitionStatuses {
        ... on TimePartitionStatuses { ranges { status startKey endKey } } } } } }""",
    "newest events": """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
        assetMaterializations(limit: 100) { timestamp runId partition tags { key value }
            metadataEntries { label } runOrError { ... on Run { id status jobName } } }
        assetObservations(limit: 100) { timestamp } } } }""",
    "checks": OF_ASSET
    + """assetChecksOrError(limit: 100) { ... on AssetChecks { checks { name
        executionForLatestMaterialization { status runId timestamp
            evaluation { severity success } } } } } } } }""",
    "one partition": OF_ASSET
    + """latestMaterializationByPartition(partitions: ["DAY"]) { timestamp
        metadataEntries { label } } latestRunForPartition(partition: "DAY") { id status } } } }""",
    "runs": """{ runsOrError(limit: 25) { ... on Runs { results { id status jobName
        tags { key value } startTime endTime } } } }""",
}


class History:
    """The run history of years, written without running anything."""

    def __init__(self, home: Path, years: float) -> None:
        os.environ["ANALYTICS_HOME"] = str(home)
        self.settings = load_settings(dict(os.environ))
        self.days = round(365.25 * years)
        write_sample(self.settings.sample_dir, 20, 2, 1)
        manifest = self.settings.sample_dir / "manifest.json"
        span = {"start": str(START), "end": str(START + timedelta(self.days))}
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | span))
        prepare_manifest(self.settings)
        composed = build_definitions(self.settings)
        self.jobs = {
            name: composed.resolve_job_def(name).asset_layer for name in ("load_days", "score_day")
        }
        self.runs: list[tuple[str, datetime]] = []
        self.events = 0

    def write(self, instance: DagsterInstance) -> None:
        for number in range(1, self.days + 1):
            day = START + timedelta(number - 1)
            at = datetime.combine(day + timedelta(1), datetime.min.time(), UTC) + timedelta(hours=2)
            first = max(START, day - timedelta(self.settings.refresh_days - 1))
            for job, window in (
                ("load_days", Window(first, day + timedelta(1))),
                ("score_day", Window(day, day + timedelta(1))),
            ):
                at += timedelta(minutes=5)
                self._run(instance, job, window, at, number)
            if number % 100 == 0:
                print(f"{number} of {self.days} days, {self.events:,} events", flush=True)

    def _run(
        self, instance: DagsterInstance, job: str, window: Window, at: datetime, number: int
    ) -> None:
        run_id = str(UUID(int=2 * number + (job == "score_day"), version=4))
        run = DagsterRun(job, run_id, status=DagsterRunStatus.SUCCESS, tags=range_tags(window))
        instance.run_storage.add_historical_run(run, at)
        layer, stamp = self.jobs[job], at.timestamp()
        events: list[Any] = []
        for key in layer.executable_asset_keys:
            table = TABLES.get(key.path[-1])
            daily = table is not None and table.partitioning == "daily"
            metadata = {"dagster/row_count": 1000 + number, "Execution Duration": 0.3}
            for partition in map(str, window) if daily else (None,):
                tags = {
                    "dagster/data_version": f"{key.path[-1]}-{number}",
                    "dagster/code_version": "1",
                }
                made = AssetMaterialization(key, partition=partition, metadata=metadata, tags=tags)
                events.append(
                    (DagsterEventType.ASSET_MATERIALIZATION, StepMaterializationData(made))
                )
        entries = [_entry(run_id, job, stamp, kind, data) for kind, data in events]
        checks = [
            _entry(run_id, job, stamp, DagsterEventType.ASSET_CHECK_EVALUATION, _verdict(key))
            for key in layer.asset_graph.asset_check_keys
        ]
        storage = instance.event_log_storage
        storage.store_event_batch(entries)
        with storage.index_connection(), storage.run_connection(run_id):  # in one transaction
            for entry in checks:
                storage.store_event(entry)
        self.runs.append((run_id, at.replace(tzinfo=None)))
        self.events += len(entries) + len(checks)

    def record(self) -> None:
        """The ledger, as if each scoring had written it."""
        warehouse = build_warehouse(self.settings)
        warehouse.prepare()
        with warehouse.transaction() as session:
            session.execute(
                "INSERT INTO quality.pipeline_executions BY NAME SELECT unnest(?::VARCHAR[]) AS "
                "run_id, unnest(?::TIMESTAMP[]) AS ended_at, 'load_days' AS job, "
                "'SUCCESS' AS status, 0 AS assets, 0 AS checks_passed, 0 AS checks_failed",
                [[run_id for run_id, _ in self.runs], [at for _, at in self.runs]],
            )


def _entry(run_id: str, job: str, at: float, kind: DagsterEventType, data: Any) -> EventLogEntry:
    event = DagsterEvent(kind.value, job, event_specific_data=data, step_key="step")
    return EventLogEntry(None, 10, "", run_id, at, "step", job, event)


def _verdict(key: Any) -> AssetCheckEvaluation:
    return AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=True,
        metadata={},
        severity=AssetCheckSeverity.WARN,
    )


def pages(home: Path, last: str) -> dict[str, float]:
    """Median seconds of each query, from a webserver of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dagster_home = str(home / "dagster")
    with (home / "webserver.log").open("a") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)),
                *("-m", "analytics_assets.definitions"),
            ],
            env={**os.environ, "DAGSTER_HOME": dagster_home, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )

    def ask(query: str) -> Any:
        variables = {"key": {"path": [ASSET]}} if "$key" in query else {}
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=300) as response:  # noqa: S310
            answer = json.loads(response.read())
        if "errors" in answer:
            raise RuntimeError(answer["errors"])
        return answer["data"]

    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                ask("{ version }")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        seconds = {}
        for name, query in QUERIES.items():
            query = query.replace("DAY", last)
            taken = [_timed(lambda: ask(query)) for _ in range(TRIES)]  # noqa: B023
            seconds[f"{name}, first"] = round(taken[0], 2)
            seconds[name] = round(statistics.median(taken[1:]), 2)
        return seconds
    finally:
        process.terminate()
        process.wait(30)


def _timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def sizes(home: Path) -> dict[str, float]:
    files = [file for file in (home / "dagster").rglob("*") if file.is_file()]
    return {
        "files": len(files),
        "megabytes": round(sum(file.stat().st_size for file in files) / 1e6, 1),
    }


def portions(prune_some: Callable[[], Any]) -> Iterator[Any]:
    while True:
        pruned = prune_some()
        yield pruned
        if not pruned.more:
            return


def main() -> None:
    """Write the history, measure, prune, measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--years", type=float, default=5.0)
    parser.add_argument("--home", type=Path, help="keep it there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="history-") as folder:
        home = given.home or Path(folder) / "home"
        history = History(home, given.years)
        last = str(START + timedelta(history.days - 1))
        prepared = prepare_instance(history.settings)
        with DagsterInstance.from_config(str(prepared)) as instance:
            writing = _timed(lambda: history.write(instance))
            history.record()
        result: dict[str, Any] = {
            "days": history.days,
            "runs": len(history.runs),
            "events": history.events,
            "seconds to write": round(writing),
            "load average": round(os.getloadavg()[0], 1),
            "before": {**sizes(home), **pages(home, last)},
        }
        end = datetime.combine(START + timedelta(history.days + 1), datetime.min.time(), UTC)
        warehouse = build_warehouse(history.settings)
        with DagsterInstance.from_config(str(prepared)) as instance:
            began = time.perf_counter()
            done = list(
                portions(lambda: prune(history.settings, instance, warehouse, end.timestamp))
            )
            result["pruned"] = {
                "seconds": round(time.perf_counter() - began, 1),
                "portions of 200 runs": len(done),
                "runs deleted": sum(one.runs for one in done),
                "runs emptied": sum(one.emptied for one in done),
                "events": sum(one.events for one in done),
            }
            kept = len(
                instance.get_latest_storage_id_by_partition(
                    AssetKey(ASSET), DagsterEventType.ASSET_MATERIALIZATION
                )
            )
            if kept != history.days:
                raise RuntimeError(f"{kept} of {history.days} partitions are left")
        result["after"] = {**sizes(home), **pages(home, last)}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
