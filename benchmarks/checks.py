"""How long all checks take, as a share of the load that they check, and the rows in Python.

    python benchmarks/checks.py                          # ten million order lines, 4 GB of disk
    python benchmarks/checks.py 1000000 -v --shops shops # keeps the files, lists each check

The shop is that of `data.py`; writing its files is not timed. Timed one after the other in one
process, as in a run of all days:

load    the files into the raw tables (read, typed, rejected, accounted for), and dbt's models from
        staging to the marts, without their tests. Left out, though a run has them: churn, tables
        that are known day by day (corrections, customer_analytics_daily), ledgers, publishing,
        Dagster.
checks  the project's checks of each loaded table over all days, and dbt's tests of these models,
        with one more start of dbt than in a run.

Prints wall and CPU seconds (other processes on the machine change the first), the shares, and the
most rows that one query of the checks gave to Python. Fails where the checks
take a quarter of the load's CPU time.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from data import write_shop

from analytics_assets.assets.dbt.command import DbtCommand, prepare_manifest
from analytics_assets.checks.registry import all_checks, evaluate
from analytics_assets.definitions import build_warehouse
from analytics_assets.partitions import Window, daily_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings, load_settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.configured import configured_sources
from analytics_assets.sources.load import load_source
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.session import Row

MODELS = (
    "dim_customers dim_products dim_date fact_orders customer_days sales_daily customer_sales "
    "customer_cohort_analysis"
)
LARGEST_SHARE = 0.25


class CountingSession(DuckDBSession):
    """A session that remembers the most rows that one query gave to Python."""

    most_rows = 0

    def _fetch(self, sql: str, parameters: Sequence[Any]) -> tuple[list[str], list[Row]]:
        names, rows = super()._fetch(sql, parameters)
        self.most_rows = max(self.most_rows, len(rows))
        return names, rows


def dbt(settings: Settings, window: Window, *arguments: str) -> None:
    DbtCommand(settings).run(arguments, settings.dbt_target_dir / "runs", window)


def load(settings: Settings, sources: SourcesConfig, window: Window) -> None:
    warehouse = build_warehouse(settings)
    warehouse.prepare(sources.stand_ins)
    for config in sources.sources.values():
        days = window if config.contract.time_column else None
        with warehouse.transaction() as session:
            load_source(session.connection, config, sources.calendar, days, datetime(2026, 1, 1))  # noqa: DTZ001
    models = [f"stg_{source}" for source in sources.sources] + MODELS.split()
    dbt(settings, window, "run", "--select", *models)


def check(
    settings: Settings, sources: SourcesConfig, window: Window, *, verbose: bool
) -> tuple[Counter[str], int]:
    """Seconds of each family, and the most rows that one query gave to Python."""
    absent = {*sources.stand_ins, *(f"raw_{source}" for source in sources.absent)}
    built = (*MODELS.split(), "rejected_rows")
    tables = [
        table
        for table in TABLES.values()
        if (table.name.startswith(("raw_", "stg_")) or table.name in built)
        and table.name not in absent
    ]
    checks = all_checks(settings, sources, daily_partitions(sources.calendar), tables)
    spent: Counter[str] = Counter()
    with build_warehouse(settings).read() as session:
        counting = CountingSession(session.connection)
        for finding in evaluate(counting, checks, lambda check: window):
            spent[finding.check.family] += finding.seconds
            if verbose:
                name = f"{finding.check.asset}.{finding.check.name}"
                print(f"  {name:<60}{finding.seconds:7.2f} s  {finding.description}")
    began = time.perf_counter()
    dbt(settings, window, "test", "--exclude-resource-type", "unit_test", "--select", MODELS)
    spent["dbt"] = time.perf_counter() - began
    return spent, counting.most_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", type=int, nargs="?", default=10_000_000)
    parser.add_argument("--shops", type=Path, help="folder that keeps the files for the next run")
    parser.add_argument("-v", "--verbose", action="store_true", help="list each check")
    arguments = parser.parse_args()
    lines = arguments.lines
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = write_shop((arguments.shops or folder) / f"{lines}-lines-730-days", lines)
        settings = load_settings(
            {
                "ANALYTICS_HOME": str(folder / "home"),
                "ANALYTICS_SOURCES": str(shop.sources),
            }
        )
        prepare_manifest(settings)
        sources = configured_sources(settings)
        window = Window(shop.start, shop.last + timedelta(1))
        started = spent_so_far()
        load(settings, sources, window)
        loaded = spent_so_far()
        families, most_rows = check(settings, sources, window, verbose=arguments.verbose)
        checked = spent_so_far()
    by_family = ", ".join(f"{family} {seconds:.1f}" for family, seconds in families.most_common())
    print(f"{lines:,} lines; checks by family, wall seconds: {by_family}")
    share = 0.0
    for unit, *times in zip(("wall", "CPU"), started, loaded, checked, strict=True):
        of_load, of_checks = times[1] - times[0], times[2] - times[1]
        share = of_checks / of_load
        print(
            f"{unit}: load {of_load:.1f} s, all checks {of_checks:.1f} s, {share:.1%} of the load"
        )
    print(f"most rows that one query gave to Python: {most_rows:,}")
    if share >= LARGEST_SHARE:
        raise SystemExit(f"The checks take {LARGEST_SHARE:.0%} of the load or more.")


def spent_so_far() -> tuple[float, float]:
    """Wall seconds, and CPU seconds of this process and those that it waited for."""
    used = os.times()
    return time.perf_counter(), sum(used[:4])


if __name__ == "__main__":
    main()
