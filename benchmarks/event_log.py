"""How long Dagster takes to record a range of partitions: its own event log against ours.

Run with `python benchmarks/event_log.py [DAYS]`. Prints wall and CPU seconds of both, one after the
other with the same graph in one process, their ratios, and the ratio of the range to one day.
Seconds depend on the machine.
"""

import sys
import tempfile
import time
import warnings
from datetime import date, timedelta
from pathlib import Path

import yaml
from dagster import (
    AssetSpec,
    BackfillPolicy,
    DagsterInstance,
    DailyPartitionsDefinition,
    Definitions,
    MaterializeResult,
    multi_asset,
)

from analytics_assets.automation.instance import instance_config
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window

START = date(2024, 1, 1)


def record(days: int, pooled: bool) -> tuple[float, float]:
    """Wall and CPU seconds to materialize two assets that do nothing."""
    daily = DailyPartitionsDefinition(START.isoformat(), end_date=str(START + timedelta(days)))

    @multi_asset(
        specs=[AssetSpec(name, partitions_def=daily) for name in ("one", "two")],
        backfill_policy=BackfillPolicy.single_run(),
    )
    def nothing():
        yield MaterializeResult(asset_key="one")
        yield MaterializeResult(asset_key="two")

    with tempfile.TemporaryDirectory() as home:
        config = instance_config(Path(home))
        if not pooled:
            del config["event_log_storage"]
        Path(home, "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        with DagsterInstance.from_config(home) as instance:
            job = Definitions(assets=[nothing]).resolve_implicit_global_asset_job_def()
            began, busy = time.perf_counter(), time.process_time()
            job.execute_in_process(
                instance=instance,
                tags=range_tags(Window(START, START + timedelta(days))),
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            )
            return time.perf_counter() - began, time.process_time() - busy


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 365
    record(1, pooled=True)  # imports and compiles once
    one, ours = record(1, pooled=True), record(days, pooled=True)
    stock = record(days, pooled=False)
    print(f"{days} days x 2 assets, wall seconds (CPU seconds):")
    for name, (clock, busy), against in (
        ("Dagster's own", stock, ours),
        ("ours", ours, ours),
        ("ours, one day", one, ours),
    ):
        print(f"  {name:<15}{clock:6.1f} ({busy:5.1f}) {clock / against[0]:6.2f} x")
