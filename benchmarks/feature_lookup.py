"""How long the newest features of one of a million customers take: file, Redis and HTTP.

Run with `python benchmarks/feature_lookup.py [CUSTOMERS] [--write]`. Asks for customers by chance,
one after the other: the rows by key of a build, a real Redis that `feature_lookup` has filled, and
the API with its keys and its audit log, from one connection and from 16 at once. Prints requests a
second, the median and the 99th percentile. Limit: 5 ms for the 99th percentile, but for the 16
connections, which wait for each other.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import api as load
import redis
from stream_kills import redis_server

from analytics_assets.api.keys import Keys
from analytics_assets.api.service import api_folder
from analytics_assets.serving.feature_store import FeatureStore
from analytics_assets.serving.features import FEATURES, NEWEST, described, newest_features
from analytics_assets.settings import load_settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.lookup import FILE, Lookup
from analytics_assets.warehouse.publish import publish

ASKED = 20_000
LIMIT_MILLISECONDS = 5.0
RESULTS = Path(__file__).parent / "results" / "feature_lookup.json"


def figures(ask: Callable[[str], object], customers: int) -> dict[str, float]:
    """Ask for customers one after the other."""
    chance = random.Random(7)
    times = []
    for number in range(ASKED + 500):
        customer = f"C{chance.randrange(customers):08d}"
        began = time.perf_counter()
        if ask(customer) is None:
            raise RuntimeError(f"{customer} is not there")
        if number >= 500:
            times.append(time.perf_counter() - began)
    return _figures(len(times) / sum(times), times)


def _figures(rate: float, times: list[float]) -> dict[str, float]:
    return {
        "requests_a_second": round(rate),
        "median_milliseconds": round(statistics.median(times) * 1000, 3),
        "p99_milliseconds": round(statistics.quantiles(times, n=100)[98] * 1000, 3),
    }


def _answers(url: str) -> bool:
    try:
        return bool(redis.Redis.from_url(url).ping())
    except redis.ConnectionError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("customers", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    customers, found = options.customers, {}
    with TemporaryDirectory() as folder:
        settings = load_settings({"ANALYTICS_HOME": folder})
        warehouse = Warehouse(settings.warehouse_path)
        load.fill(warehouse, customers)
        build = publish(warehouse, settings.published_dir, 3).path
        lookup = Lookup(build.with_name(FILE))
        columns = lookup.columns[NEWEST.name]

        def by_file(customer: str) -> object:
            row = dict(zip(columns, json.loads(lookup.row(NEWEST.name, customer)), strict=True))
            return described(customer, row, "000001", 3, FEATURES)

        found["file"] = figures(by_file, customers)
        lookup.close()
        with redis_server(Path(folder) / "redis") as url:
            while not _answers(url):
                time.sleep(0.1)
            store = FeatureStore(url)
            began = time.perf_counter()
            store.publish("000001", newest_features(build, 3))
            written = time.perf_counter() - began
            found["redis"] = figures(lambda customer: store.read([customer])[0], customers)
            store.close()
        token = Keys(api_folder(settings)).create("bench", ["read:*", "personal"], rate=0)
        command = [sys.executable, "-m", "analytics_assets.cli", "api", "--port", "0"]
        headers = f"Authorization: Bearer {token}\r\n"
        path = "/v1/features/{customer}"
        with load.serving(command, "", {"ANALYTICS_HOME": folder}) as (place, _):
            for connections in (1, 16):
                load.CONNECTIONS = connections
                asyncio.run(load._load(place, path, customers, 0.5, headers, 99))
                rate, p99 = asyncio.run(
                    load._load(place, path, customers, options.seconds, headers, 1)
                )
                found[f"http, {connections} at once"] = {
                    "requests_a_second": round(rate),
                    "p99_milliseconds": round(p99 * 1000, 3),
                }
    results = {
        "customers": customers,
        "redis_written_seconds": round(written, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "lookups": found,
        "limit_milliseconds": LIMIT_MILLISECONDS,
    }
    print(json.dumps(results, indent=1))
    if options.write:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    single = ("file", "redis", "http, 1 at once")
    if missed := [n for n in single if found[n]["p99_milliseconds"] >= LIMIT_MILLISECONDS]:
        sys.exit(f"Limit missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
