"""How long all checks take, as a share of the load that they check.

Run with `python benchmarks/checks.py [LINES] [-v]` (10 million by default; needs about 4 GB of disk
under the temporary folder). Order lines are generated in SQL and written as one CSV. Timed one
after the other, in one run: the load (CSV to raw_orders, and the dbt models from staging to the
marts, without their tests), and all checks (those of this project on the loaded window, and dbt's
tests), as a run of `load_days` does them. Prints seconds and the share.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from analytics_assets.assets.dbt import (
    _dbt_environment,
    absent_models,
    dbt_executable,
    prepare_manifest,
)
from analytics_assets.checks.registry import all_checks, evaluate
from analytics_assets.definitions import build_warehouse
from analytics_assets.partitions import Window, daily_partitions
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings, load_settings
from analytics_assets.sources.config import SourcesConfig, configured_sources
from analytics_assets.sources.load import load_source

START, DAYS = date(2024, 1, 1), 730
MODELS = (
    "dim_customers dim_products dim_date fact_orders customer_days sales_daily customer_sales "
    "customer_cohort_analysis"
)
SOURCES = """
calendar: {{start: {start}, end: {end}}}
orders: {{path: "orders.csv"}}
customers: {{path: "customers.csv"}}
products: {{path: "products.csv"}}
"""


def write_sources(folder: Path, lines: int) -> None:
    """Orders of three lines, a customer for each 25 lines, 2,000 products; a few duplicates."""
    customers, products = lines // 25, 2000
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.7)")
        connection.execute(f"""
            COPY (
                SELECT 'O' || (i // 3) AS order_id, i % 3 + 1 AS line_number,
                    strftime(
                        TIMESTAMP '{START}'
                            + to_seconds((i // 3) * {DAYS * 86400} // ({lines} // 3 + 1)),
                        '%Y-%m-%d %H:%M:%S'
                    ) AS ordered_at,
                    'C' || (hash(i // 3) % {customers}) AS customer_id,
                    'P' || (hash(i) % {products}) AS product_id,
                    1 + (hash(i + 7) % 4)::INT AS quantity,
                    (1 + hash(i) % {products} % 90)::DECIMAL(9, 2) AS unit_price,
                    (quantity * unit_price)::DECIMAL(18, 2) AS amount,
                    'completed' AS status, ordered_at AS updated_at
                FROM range({lines}) AS lines(i)
            ) TO '{folder / "orders.csv"}' (HEADER)
        """)
        for name, rows in (("customer", customers), ("product", products)):
            connection.execute(
                f"COPY (SELECT '{name[0].upper()}' || i AS {name}_id FROM range({rows}) AS r(i)) "
                f"TO '{folder / f'{name}s.csv'}' (HEADER)"
            )
    (folder / "sources.yaml").write_text(
        SOURCES.format(start=START, end=START + timedelta(DAYS)), encoding="utf-8"
    )


def dbt(settings: Settings, window: Window, *arguments: str) -> None:
    environment = {**os.environ, **_dbt_environment(settings, settings.dbt_target_dir, window)}
    environment["DBT_LOG_PATH"] = str(settings.dbt_target_dir)
    command = [dbt_executable(), "--quiet", *arguments, "--target", settings.deployment]
    subprocess.run(command, cwd=settings.dbt_project_dir, env=environment, check=True)


def load(settings: Settings, sources: SourcesConfig, window: Window) -> None:
    warehouse = build_warehouse(settings)
    warehouse.prepare(absent_models(sources))
    for config in sources.sources.values():
        days = window if config.contract.time_column else None
        with warehouse.transaction() as connection:
            load_source(connection, config, sources.calendar, days, datetime(2026, 1, 1))  # noqa: DTZ001
    models = [f"stg_{source}" for source in sources.sources] + MODELS.split()
    dbt(settings, window, "run", "--select", *models)


def check(settings: Settings, sources: SourcesConfig, window: Window) -> Counter[str]:
    """Seconds of each family."""
    absent = {*absent_models(sources), *(f"raw_{source}" for source in sources.absent)}
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
        write_sources(folder, lines)
        settings = load_settings(
            {
                "ANALYTICS_HOME": str(folder / "home"),
                "ANALYTICS_SOURCES": str(folder / "sources.yaml"),
            }
        )
        prepare_manifest(settings)
        sources = configured_sources(settings)
        window = Window(START, START + timedelta(DAYS))
        began = time.perf_counter()
        load(settings, sources, window)
        loaded = time.perf_counter() - began
        began = time.perf_counter()
        spent = check(settings, sources, window)
        checked = time.perf_counter() - began
    families = ", ".join(f"{family} {seconds:.1f}" for family, seconds in spent.most_common())
    print(f"{lines:,} lines: load {loaded:.1f} s, all checks {checked:.1f} s ({families})")
    print(f"checks take {checked / loaded:.0%} of the load")


if __name__ == "__main__":
    main(sys.argv[1:])
