"""How long all checks take, as a share of the load that they check.

Run with `python benchmarks/checks.py [LINES] [-v]` (10 million by default; needs about 4 GB of disk
under the temporary folder). The shop is that of `data.py`. Timed one
after the other, in one run: the load (CSV to raw_orders, and the dbt models from staging to the
marts, without their tests), and all checks (those of this project on the loaded window, and dbt's
tests), as a run of `load_days` does them. Prints seconds, of the clock and of the processors (what
else runs on the machine changes the first), and the shares.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from data import START, write_shop

from analytics_assets.assets.dbt import stand_ins
from analytics_assets.assets.dbt_command import DbtCommand, prepare_manifest
from analytics_assets.checks.registry import all_checks, evaluate
from analytics_assets.definitions import build_warehouse
from analytics_assets.partitions import Window, daily_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings, load_settings
from analytics_assets.sources.config import SourcesConfig, configured_sources
from analytics_assets.sources.load import load_source

MODELS = (
    "dim_customers dim_products dim_date fact_orders customer_days sales_daily customer_sales "
    "customer_cohort_analysis"
)


def dbt(settings: Settings, window: Window, *arguments: str) -> None:
    DbtCommand(settings).run(arguments, settings.dbt_target_dir / "runs", window)


def load(settings: Settings, sources: SourcesConfig, window: Window) -> None:
    warehouse = build_warehouse(settings)
    warehouse.prepare(stand_ins(sources))
    for config in sources.sources.values():
        days = window if config.contract.time_column else None
        with warehouse.transaction() as connection:
            load_source(connection, config, sources.calendar, days, datetime(2026, 1, 1))  # noqa: DTZ001
    models = [f"stg_{source}" for source in sources.sources] + MODELS.split()
    dbt(settings, window, "run", "--select", *models)


def check(settings: Settings, sources: SourcesConfig, window: Window) -> Counter[str]:
    """Seconds of each family."""
    absent = {*stand_ins(sources), *(f"raw_{source}" for source in sources.absent)}
    made = (*MODELS.split(), "rejected_rows")
    tables = [
        table
        for table in TABLES.values()
        if (table.name.startswith(("raw_", "stg_")) or table.name in made)
        and table.name not in absent
    ]
    checks = all_checks(settings, sources, daily_partitions(sources.calendar), tables)
    spent: Counter[str] = Counter()
    with build_warehouse(settings).read() as connection:
        for finding in evaluate(connection, checks, lambda check: window):
            spent[finding.check.family] += finding.seconds
            if "-v" in sys.argv:
                name = f"{finding.check.asset}.{finding.check.name}"
                print(f"  {name:<60}{finding.seconds:7.2f} s  {finding.description}")
    began = time.perf_counter()
    dbt(settings, window, "test", "--exclude-resource-type", "unit_test", "--select", MODELS)
    spent["dbt"] = time.perf_counter() - began
    return spent


def main(arguments: Sequence[str]) -> None:
    lines = int(next((word for word in arguments if word.isdigit()), 10_000_000))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = write_shop(folder / "shop", lines)
        settings = load_settings(
            {
                "ANALYTICS_HOME": str(folder / "home"),
                "ANALYTICS_SOURCES": str(shop.sources),
            }
        )
        prepare_manifest(settings)
        sources = configured_sources(settings)
        window = Window(START, shop.last + timedelta(1))
        started = spent_so_far()
        load(settings, sources, window)
        loaded = spent_so_far()
        families = check(settings, sources, window)
        checked = spent_so_far()
    told = ", ".join(f"{family} {seconds:.1f}" for family, seconds in families.most_common())
    print(f"{lines:,} lines; checks by family, seconds of the clock: {told}")
    for unit, *times in zip(("clock", "processors"), started, loaded, checked, strict=True):
        of_load, of_checks = times[1] - times[0], times[2] - times[1]
        print(
            f"by the {unit}: load {of_load:.1f} s, all checks {of_checks:.1f} s, "
            f"{of_checks / of_load:.0%} of the load"
        )


def spent_so_far() -> tuple[float, float]:
    """Seconds of the clock, and of the processors in this process and those that it waited for."""
    used = os.times()
    return time.perf_counter(), sum(used[:4])


if __name__ == "__main__":
    main(sys.argv[1:])
