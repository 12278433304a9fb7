"""Features of a million customers in SQL: for a day (scoring), and for three months (training).

Run with `python benchmarks/features.py [CUSTOMERS]`. dbt runs the models over a warehouse of
generated facts, each in its own process with the default settings, and replaces their windows.
Prints seconds, also for each million rows, CPU seconds and peak memory, and the ratio to one
aggregate of customer_days by customer, the least that reading all active days costs. Limits for a
million customers as of one date: 60 s and 4 GB.
"""

import json
import resource
import subprocess
import sys
import time
from contextlib import redirect_stdout
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from analytics_assets.assets.dbt.command import DbtCommand, prepare_manifest
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import load_settings
from analytics_assets.warehouse.connection import Warehouse

DAYS = 730
FIRST = "DATE '2024-01-01'"
WINDOWS = {
    "customer_analytics_daily": ("2025-12-30", "2025-12-31"),
    "churn_features": ("2025-10-01", "2026-01-01"),
}
FILL = """
    INSERT INTO core.dim_customers BY NAME
    SELECT 'C' || (1000000 + n) AS customer_id, 'source' AS member_type,
        {first} + to_days(n::INT % {days} // 2) AS registered_at
    FROM range({customers}) AS numbers(n);

    -- One to some twenty orders each, by how often the customer buys, of one to five lines.
    INSERT INTO core.fact_orders BY NAME
    SELECT {first} + (hash(c, o) % {days})::INT AS order_date, 'O' || c || '-' || o AS order_id,
        l::INT AS line_number, order_date AS ordered_at, 'C' || (1000000 + c) AS customer_id,
        'P' || hash(c, o, l) % 5000 AS product_id, 'K' || hash(c, o, l) % 20 AS product_category,
        (1 + hash(l, o) % 4)::INT AS quantity,
        (hash(o, c, l) % 9999 / 100)::DECIMAL(18, 4) AS unit_price,
        (quantity * unit_price)::DECIMAL(18, 4) AS extended_amount,
        CASE hash(l, c, o) % 30 WHEN 0 THEN 'return' ELSE 'sale' END AS line_type
    FROM range({customers}) AS customers(c), range(1, 21) AS orders(o), range(1, 6) AS lines(l)
    WHERE o <= 1 + (hash(c) % 100)^2 // 500 AND l <= 1 + hash(c, o + 1) % 5
    ORDER BY order_date;

    INSERT INTO core.customer_days BY NAME
    SELECT order_date, customer_id, count(DISTINCT order_id) AS orders, orders AS sale_orders,
        count(*) AS lines, count(*) FILTER (line_type = 'sale') AS sale_lines,
        lines - sale_lines AS return_lines, 0 AS adjustment_lines, sum(quantity) AS units,
        sum(extended_amount) AS gross_amount, 0 AS returned_amount, gross_amount AS net_amount
    FROM core.fact_orders GROUP BY ALL ORDER BY order_date;

    INSERT INTO core.fact_user_sessions BY NAME
    SELECT {first} + (hash(c, s, 1) % {days})::INT AS session_date,
        'S' || c || '-' || s AS session_id, 'C' || (1000000 + c) AS customer_id,
        session_date AS started_at
    FROM range({customers}) AS customers(c), range(1, 31) AS sessions(s)
    WHERE s <= 1 + (hash(c) % 100)^2 // 330 ORDER BY session_date;

    -- One order in fifty was cancelled some days later.
    INSERT INTO core.order_corrections BY NAME
    SELECT order_date, order_id, line_number AS correction_number, order_date + 1 AS known_from,
        order_date + 1 + (hash(order_id, 2) % 10)::INT AS known_to, 1 AS weight, customer_id,
        product_id, product_category, quantity, extended_amount, line_type
    FROM core.fact_orders WHERE hash(order_id) % 50 = 0;

    INSERT INTO raw.source_loads BY NAME
    SELECT 'orders' AS source, {first} + ({days})::INT AS window_date;
"""


def fill(warehouse: Warehouse, customers: int) -> None:
    """Fill the tables that the models read."""
    warehouse.prepare()
    with warehouse.transaction() as session:
        for table in TABLES.values():
            if table.group == "core" or table.name in WINDOWS:
                session.execute(table.ddl)
        session.execute(FILL.format(customers=customers, days=DAYS, first=FIRST))


def run_model(model: str, home: Path) -> None:
    """Replace the window of a model."""
    window = Window(*map(date.fromisoformat, WINDOWS[model]))
    command = DbtCommand(load_settings({"ANALYTICS_HOME": str(home)}))
    command.run(["--quiet", "run", "--select", model], home / "target", window)


def aggregate(home: Path) -> None:
    """Run the aggregate, the least that any feature costs."""
    with Warehouse(home / "warehouse.duckdb").write() as session:
        session.execute(
            "CREATE TABLE main.totals AS SELECT customer_id, max(order_date), sum(sale_orders), "
            "sum(gross_amount) FROM core.customer_days GROUP BY customer_id"
        )


def measured(what: str, home: Path) -> dict[str, float]:
    """Measure a model, or the aggregate, in a process of its own."""
    result = subprocess.run(
        [sys.executable, __file__, "--one", what, str(home)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def one(what: str, home: Path) -> None:
    """Run a model or the aggregate, and print its cost."""
    began, before = time.perf_counter(), time.process_time()
    with redirect_stdout(sys.stderr):  # dbt prints failures to stdout
        if what in WINDOWS:
            run_model(what, home)
        else:
            aggregate(home)
    cost = {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - before,
        "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    }
    print(json.dumps(cost))


def main(customers: int) -> None:
    """Compare each model with the plain aggregate."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        warehouse = Warehouse(home / "warehouse.duckdb")
        fill(warehouse, customers)
        with warehouse.read() as session:
            lines, days = session.rows(
                "SELECT (SELECT count(*) FROM core.fact_orders), count(*) FROM core.customer_days"
            )[0]
        print(f"{customers:,} customers, {days:,} active days, {lines:,} lines")
        prepare_manifest(load_settings({"ANALYTICS_HOME": folder}))
        plain = measured("aggregate", home)
        for model in WINDOWS:
            cost = measured(model, home)
            with warehouse.read() as session:
                ((rows,),) = session.rows(f"SELECT count(*) FROM {TABLES[model].relation}")
            print(
                f"{model}: {rows:,} rows in {cost['seconds']:.1f} s "
                f"({cost['seconds'] / rows * 1e6:.1f} s for a million, {cost['cpu']:.1f} s of CPU),"
                f" {cost['gb']:.1f} GB at the peak; "
                f"{cost['cpu'] / plain['cpu']:.0f} x the CPU of one aggregate of the active days"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
