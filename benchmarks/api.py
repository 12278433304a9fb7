"""The API on a million customers, beside a bare FastAPI and DuckDB script in the same run.

Run with `python benchmarks/api.py [CUSTOMERS] [--write]`. Each server is a process of its own, over
the same build; the script has an index on the customer. Servers take turns, and the figures are
medians of the turns. Ours asks for a key, counts, and writes its audit log. Prints requests a
second, the 99th percentile, the peak of the memory, and ratios. Limits: a row by its key twice as
many requests as the script, a page of 1,000 rows and the cohort table 0.9 of them, 500 MB.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import duckdb

from analytics_assets.api.keys import Keys
from analytics_assets.api.service import api_folder
from analytics_assets.schemas import TABLES
from analytics_assets.settings import load_settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import publish

CONNECTIONS, TURNS = 16, 3
LIMITS = {"key": 2.0, "page": 0.9, "cohorts": 0.9}
MOST_MEGABYTES = 500
RESULTS = Path(__file__).parent / "results" / "api.json"
BARE = """
import sys
import duckdb, orjson, uvicorn
from fastapi import FastAPI, Response
app = FastAPI()
connection = duckdb.connect(sys.argv[1], read_only=True, config={"threads": 2})
def answer(sql, *values):
    cursor = connection.cursor()
    found = cursor.execute(sql, values)
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row)) for row in found.fetchall()]
    return Response(orjson.dumps(rows, default=str), media_type="application/json")
@app.get("/customers/{customer_id}")
def customer(customer_id: str):
    return answer("SELECT * FROM marts.user_analytics WHERE customer_id = ?", customer_id)
@app.get("/page")
def page(after: str):
    return answer("SELECT * FROM marts.user_analytics WHERE customer_id > ? "
                  "ORDER BY customer_id LIMIT 1000", after)
@app.get("/cohorts")
def cohorts():
    return answer("SELECT * FROM marts.customer_cohort_analysis ORDER BY ALL")
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
"""
OURS = {
    "key": "/v1/tables/user_analytics?customer_id={customer}",
    "page": "/v1/tables/user_analytics?customer_id__gt={customer}&limit=1000",
    "cohorts": "/v1/tables/customer_cohort_analysis?limit=1000",
    "whole customer": "/v1/customers/{customer}",
    "cohorts, kept": "/v1/cohorts",
}
THEIRS = {"key": "/customers/{customer}", "page": "/page?after={customer}", "cohorts": "/cohorts"}


def fill(warehouse: Warehouse, customers: int) -> None:
    """Customers with their snapshot, prediction and six months of orders, in no order; cohorts."""
    with warehouse.transaction() as session:
        for schema in ("core", "marts", "churn", "quality"):
            session.execute(f"CREATE SCHEMA {schema}")
        for name, rows in (
            ("user_analytics", customers),
            ("churn_predictions", customers),
            ("customer_sales", customers * 6),
            ("customer_cohort_analysis", 24 * 24),
        ):
            table = TABLES[name]
            values = ", ".join(_value(table, column, customers) for column in table.columns)
            session.execute(table.ddl)
            session.execute(
                f"INSERT INTO {table.relation} SELECT {values} FROM range({rows}) AS r(i) "
                "ORDER BY hash(i)"
            )


def _value(table, name: str, customers: int) -> str:
    type_, dice = table.sql_types[name], f"(hash(i, '{name}') % 100000)::INTEGER"
    if name == "customer_id":
        return f"'C' || lpad((i % {customers})::VARCHAR, 8, '0')"
    if name == "month":
        return f"DATE '2024-01-01' + INTERVAL (i // {customers}) MONTH"
    if name == "cohort_month":
        return "DATE '2023-01-01' + INTERVAL (i // 24) MONTH"
    if name == "month_number":
        return "i % 24"
    if name == "snapshot_date":
        return "DATE '2024-12-31'"
    return {
        "TEXT": f"'name ' || {dice} % 20",
        "DATE": f"DATE '2023-01-01' + {dice} % 700",
        "BOOLEAN": f"{dice} % 2 = 0",
        "DOUBLE": f"{dice} / 100000",
        "INT": dice,
        "BIGINT": dice,
    }.get(type_, f"{dice} / 100")


@contextmanager
def serving(command: list[str], address: str, environment: dict[str, str]):
    """A server in a process of its own; gives its address and its process."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    )
    try:
        if not address:
            address = process.stdout.readline().strip().removesuffix("/openapi.json")
        place = urlsplit(address)
        for _ in range(600):
            try:
                asyncio.run(_close(place.hostname, place.port))
                break
            except OSError:
                time.sleep(0.1)
        yield place, process
    finally:
        process.terminate()
        process.wait(30)


async def _close(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()


async def _load(place, path: str, customers: int, seconds: float, headers: str, seed: int):
    """Ask from several connections for some seconds; requests, seconds, and each one's time."""
    times: list[float] = []
    began = time.perf_counter()

    async def ask(number: int) -> None:
        chance = random.Random(seed * 1000 + number)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        while time.perf_counter() - began < seconds:
            target = path.format(customer=f"C{chance.randrange(customers):08d}")
            writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
            asked = time.perf_counter()
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:20]:
                raise RuntimeError(head.decode())
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - asked)
        writer.close()

    await asyncio.gather(*(ask(number) for number in range(CONNECTIONS)))
    return len(times) / (time.perf_counter() - began), statistics.quantiles(times, n=100)[98]


def peak(process: subprocess.Popen) -> float:
    """Most megabytes that a process has had in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("customers", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        settings = load_settings({"ANALYTICS_HOME": folder})
        warehouse = Warehouse(settings.warehouse_path)
        fill(warehouse, options.customers)
        began = time.perf_counter()
        build = publish(warehouse, settings.published_dir, 3)
        published = time.perf_counter() - began
        lookup = build.path.with_name("lookup.sqlite").stat().st_size / 1e6
        size = build.path.stat().st_size / 1e6
        print(f"published in {published:.1f} s: {size:.0f} MB, rows by key {lookup:.0f} MB")
        indexed = Path(folder) / "indexed.duckdb"
        shutil.copy(build.path, indexed)
        with duckdb.connect(str(indexed)) as connection:
            connection.execute("CREATE INDEX by_customer ON marts.user_analytics (customer_id)")
        token = Keys(api_folder(settings)).create("bench", ["read:*", "personal"], rate=0)
        script = Path(folder) / "bare.py"
        script.write_text(BARE)
        environment = {"ANALYTICS_HOME": folder}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        servers = {
            "ours": (
                [sys.executable, "-m", "analytics_assets.cli", "api", "--port", "0"],
                "",
                f"Authorization: Bearer {token}\r\n",
                OURS,
            ),
            "bare": (
                [sys.executable, str(script), str(indexed), str(port)],
                f"http://127.0.0.1:{port}",
                "",
                THEIRS,
            ),
        }
        found: dict[str, dict[str, list]] = {name: {} for name in servers}
        memory = dict.fromkeys(servers, 0.0)
        for turn in range(TURNS):
            for name, (command, address, headers, paths) in servers.items():
                with serving(command, address, environment) as (place, process):
                    for question, path in paths.items():
                        asyncio.run(_load(place, path, options.customers, 0.5, headers, 99))
                        figures = asyncio.run(
                            _load(place, path, options.customers, options.seconds, headers, turn)
                        )
                        found[name].setdefault(question, []).append(figures)
                    memory[name] = max(memory[name], peak(process))
    report(options, found, memory, published, lookup)


def report(options, found, memory, published: float, lookup: float) -> None:
    results = {
        "customers": options.customers,
        "connections": CONNECTIONS,
        "publish_seconds": round(published, 1),
        "lookup_megabytes": round(lookup),
        "memory_megabytes": {name: round(value) for name, value in memory.items()},
        "load_average": round(os.getloadavg()[0], 1),
    }
    rates: dict[str, dict[str, dict[str, float]]] = {}
    for name, questions in found.items():
        rates[name] = {
            question: {
                "requests_a_second": round(statistics.median(rate for rate, _ in figures)),
                "p99_milliseconds": round(statistics.median(p99 for _, p99 in figures) * 1000, 1),
            }
            for question, figures in questions.items()
        }
    ratios = {
        question: round(
            rates["ours"][question]["requests_a_second"]
            / rates["bare"][question]["requests_a_second"],
            2,
        )
        for question in LIMITS
    }
    results |= {"rates": rates, "ratios": ratios, "limits": LIMITS}
    print(json.dumps(results, indent=1))
    if options.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    missed = [question for question, limit in LIMITS.items() if ratios[question] < limit]
    if memory["ours"] > MOST_MEGABYTES:
        missed.append("memory")
    if missed:
        sys.exit(f"Limits missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
