"""Loading order lines from CSV and from Parquet, against DuckDB alone into a typed table.

Run with `python benchmarks/load.py [LINES]`. Both contestants read the same files in turn, each in
its own process with the same threads and memory limit, into its own warehouse file; the loaded rows
are compared before any time is printed. Ours matches, casts, rejects, numbers and counts every row
and writes the ledger; DuckDB alone reads with declared types. Seconds depend on the machine; what
counts is the ratio.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.load import load
from analytics_assets.warehouse.connection import Warehouse

CALENDAR = Calendar(date(2023, 1, 1), date(2026, 1, 1))
WINDOW = Window(date(2023, 1, 1), date(2026, 1, 1))
ROUNDS = 3
COLUMNS = (
    "order_id", "line_number", "ordered_at", "customer_id", "product_id", "quantity", "unit_price",
    "status", "updated_at", "country",
)  # fmt: skip


def write(folder: Path, lines: int) -> None:
    """Write the same lines as a CSV and as a Parquet file."""
    seconds = (WINDOW.end - WINDOW.start).days * 86400
    placed = f"TIMESTAMP '{WINDOW.start}' + to_seconds(n * {seconds} // {lines})"
    query = f"""
        SELECT 'O' || n // 4 AS order_id, (n % 4 + 1)::INT AS line_number, {placed} AS ordered_at,
            'C' || hash(n // 4) % 1000000 AS customer_id, 'P' || hash(n) % 5000 AS product_id,
            (1 + hash(n + 7) % 5)::INT AS quantity,
            (hash(n + 3) % 9999 / 100)::DECIMAL(18, 4) AS unit_price, 'completed' AS status,
            {placed} + INTERVAL 1 HOUR AS updated_at, 'DE' AS country
        FROM range({lines}) AS numbers(n)
    """
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{folder}/orders.parquet'")
        connection.execute(
            f"COPY (SELECT * REPLACE (strftime(ordered_at, '%Y-%m-%d %H:%M:%S') AS ordered_at, "
            "strftime(updated_at, '%Y-%m-%d %H:%M:%S') AS updated_at) "
            f"FROM '{folder}/orders.parquet') TO '{folder}/orders.csv'"
        )


def ours(file: Path, warehouse: Warehouse) -> None:
    """Load as the project does."""
    config = SourceConfig("orders", str(file), format=file.suffix[1:])
    load(warehouse, config, CALENDAR, WINDOW, datetime(2026, 1, 1))  # noqa: DTZ001 (naive UTC)


def alone(file: Path, warehouse: Warehouse) -> None:
    """Read with declared types, straight into a table."""
    types = TABLES["raw_orders"].sql_types
    columns = ", ".join(f"'{name}': '{types[name]}'" for name in COLUMNS)
    read = f"read_csv('{file}', columns = {{{columns}}}, header = true, auto_detect = false)"
    source = read if file.suffix == ".csv" else f"'{file}'"
    with warehouse.transaction() as session:
        session.execute("CREATE OR REPLACE TABLE raw.raw_orders AS SELECT * FROM " + source)


CONTESTANTS: dict[str, Callable[[Path, Warehouse], None]] = {"ours": ours, "alone": alone}


def run(name: str, file: Path) -> None:
    """Run one contestant in this process, and print its figures as JSON."""
    with TemporaryDirectory() as folder:
        warehouse = Warehouse(Path(folder) / "warehouse.duckdb")
        warehouse.prepare()
        wall, cpu = time.perf_counter(), time.process_time()
        CONTESTANTS[name](file, warehouse)
        figures = {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }
        # A hash goes by the type, and Parquet read as it is keeps the types of the file.
        types = TABLES["raw_orders"].sql_types
        values = ", ".join(f"{column}::{types[column]}" for column in COLUMNS)
        with warehouse.read() as session:
            rows = session.row(
                f"SELECT count(*), sum(hash({values})::HUGEINT)::VARCHAR FROM raw.raw_orders"
            )
        print(json.dumps({**figures, "rows": rows}))


def main(lines: int) -> None:
    """Run both contestants in turn, with both formats."""
    with TemporaryDirectory() as folder:
        write(Path(folder), lines)
        for suffix in ("csv", "parquet"):
            figures_of: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
            for _ in range(ROUNDS):
                for name in CONTESTANTS:
                    command = [sys.executable, __file__, name, f"{folder}/orders.{suffix}"]
                    output = subprocess.run(command, check=True, capture_output=True, text=True)
                    figures_of[name].append(json.loads(output.stdout.splitlines()[0]))
            if len({str(figures["rows"]) for runs in figures_of.values() for figures in runs}) > 1:
                raise SystemExit(f"{suffix}: the contestants did not load the same rows")
            print(f"{suffix}, {lines:,} lines")
            for name, runs in figures_of.items():
                print(
                    f"  {name:<6}"
                    + "".join(
                        f"  {figure} {median(run[figure] for run in runs):6.2f} {unit}"
                        for figure, unit in (("wall", "s"), ("cpu", "s"), ("peak", "GB"))
                    )
                )
            ratios = {
                figure: median(run[figure] for run in figures_of["ours"])
                / median(run[figure] for run in figures_of["alone"])
                for figure in ("wall", "cpu")
            }
            print(f"  ours / alone   wall {ratios['wall']:.2f}   cpu {ratios['cpu']:.2f}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        run(sys.argv[1], Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
