"""How far the asset graph is from hand-written code, and how its cost grows.

    python benchmarks/run.py                                   # everything; about an hour
    python benchmarks/run.py --lines 20000 --days 365 --parts contest    # a minute

Parts, each of which can be run alone; the homes that it needs are loaded first. With --keep, homes
and results of earlier runs are used:

contest    a full backfill by this project, with all checks; the limit, one hand-written DuckDB
           script (`limit.sql`) and the same training; pandas with JSON between the steps
           (`by_hand.py`). Each in its own process over the same files; results are compared
           before times are printed
increment  one day's refresh, everything fresh afterwards, on a tenth of the lines and on all
fixed      a day without rows, and a run with nothing to do
days       the last 365 days as one backfill against the last day alone, with all days loaded
years      the same number of lines over five years of partitions
scattered  44 corrected lines on 43 scattered days of one file, against a full load of the file
customers  a million customers
growth     a full backfill of ten times the lines, with more memory; not among the defaults

With --write a table and a chart go to `benchmarks/results/`, and the table to
`docs/performance.md`.
Seconds depend on the machine; the limits are mainly for ratios within one run.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from compare import require_same_figures, require_same_rows, require_same_tables
from data import Shop, correct_lines, one_file, write_shop
from measure import Cost, measure
from report import machine, steps_of, write_report

HERE = Path(__file__).parent
PARTS = ("contest", "increment", "fixed", "days", "years", "scattered", "customers")
# Pandas would have the JSON and the frame of ten million lines in memory at once: it is run on so
# many lines at most, and its costs are multiplied.
BY_HAND_LINES = 1_000_000
# Ten times the lines have ten times the customers, and a day's snapshot of all is built at once.
MEMORY_LIMIT_OF_GROWTH = "10GB"


class Bench:
    """Shops, homes and results in one folder."""

    def __init__(self, folder: Path, lines: int, days: int = 730) -> None:
        self.folder = folder
        self.lines = lines
        self.length = days
        self.results: dict[str, Any] = {}

    def shop(self, lines: int, days: int | None = None, customers: int | None = None) -> Shop:
        days = days or self.length
        name = f"{customers}-customers" if customers else f"{lines}-lines"
        return write_shop(self.folder / "shops" / f"{name}-{days}-days", lines, days, customers)

    def home(self, shop: Shop) -> Path:
        return self.folder / "homes" / shop.folder.name

    def ours(self, shop: Shop, what: str, *arguments: str, **settings: str) -> Cost:
        """The command line in a fresh process, with settings other than the defaults."""
        home = self.home(shop)
        settings |= {"ANALYTICS_HOME": str(home), "ANALYTICS_SOURCES": str(shop.sources)}
        command = [str(Path(sys.executable).with_name("analytics-assets")), *arguments]
        return self._measured(f"{shop.folder.name}, {what}", command, settings)

    def backfill(self, shop: Shop, first: date, last: date, what: str, **settings: str) -> Cost:
        days = ("--from", str(first), "--to", str(last))
        return self.ours(shop, what, "backfill", *days, **settings)

    def loaded(self, shop: Shop, **settings: str) -> Cost:
        """A home with all but the last two days of a shop; the cost of loading it."""
        home, cost = self.home(shop), self.home(shop) / "cost.json"
        if not cost.is_file():
            shutil.rmtree(home, ignore_errors=True)
            last = shop.last - timedelta(1)
            measured = self.backfill(shop, shop.start, last, "full backfill", **settings)
            cost.write_text(json.dumps({**measured.as_dict(), "steps": steps_of(home)}))
        kept = json.loads(cost.read_text())
        self.results.setdefault("steps", {})[shop.folder.name] = kept.pop("steps")
        self.results.setdefault("backfills", {})[shop.folder.name] = {"lines": shop.lines, **kept}
        return Cost(**kept)

    def _measured(self, what: str, command: list[str], environment: dict[str, str]) -> Cost:
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        cost = measure(
            command, logs / f"{what.replace(', ', '-').replace(' ', '_')}.txt", environment
        )
        print(
            f"  {what:<58}{cost.wall:8.1f} s{cost.cpu:9.1f} s CPU{cost.peak:7.2f} GB peak"
            f"{cost.written:7.2f} GB written",
            flush=True,
        )
        return cost

    def contest(self) -> None:
        shop = self.shop(self.lines)
        ours = self.loaded(shop)
        limit = self._limit(shop)
        compared = require_same_rows(self.home(shop) / "warehouse.duckdb", self._limit_file(shop))
        print(f"    {compared:,} rows of the two warehouses are the same")
        few = shop if self.lines <= BY_HAND_LINES else self.shop(BY_HAND_LINES)
        self.loaded(few)
        pandas = self._by_hand(few)
        figures = require_same_figures(self.home(few) / "warehouse.duckdb", self.folder / "by_hand")
        print(f"    {figures} figures of pandas are the same")
        times = shop.lines / few.lines
        self.results["contest"] = {
            "lines": shop.lines,
            "ours": ours.as_dict(),
            "limit": limit.as_dict(),
            "by_hand": pandas.as_dict(),
            "by_hand_lines": few.lines,
            "ours / limit": _ratios(ours, limit),
            "ours / by hand": _ratios(ours, pandas, times),
        }

    def _limit_file(self, shop: Shop) -> Path:
        return self.folder / "limit" / shop.folder.name / "warehouse.duckdb"

    def _limit(self, shop: Shop) -> Cost:
        file = self._limit_file(shop)
        shutil.rmtree(file.parent, ignore_errors=True)
        file.parent.mkdir(parents=True)
        command = [sys.executable, str(HERE / "limit.py"), str(shop.folder), str(file)]
        return self._measured(f"{shop.folder.name}, limit", [*command, str(shop.last)], {})

    def _by_hand(self, shop: Shop) -> Cost:
        out = self.folder / "by_hand"
        shutil.rmtree(out, ignore_errors=True)
        command = [sys.executable, str(HERE / "by_hand.py"), str(shop.folder), str(out)]
        return self._measured(f"{shop.folder.name}, by hand", [*command, str(shop.last)], {})

    def increment(self) -> None:
        costs = []
        for lines in (self.lines // 10, self.lines):
            shop = self.shop(lines)
            self.loaded(shop)
            costs.append(self.backfill(shop, shop.last, shop.last, "a day's refresh"))
        self.results["increment"] = {
            "history": [self.lines // 10, self.lines],
            "costs": [cost.as_dict() for cost in costs],
            "ratio": _ratios(costs[1], costs[0]),
        }

    def fixed(self) -> None:
        shop = self.shop(self.lines // 10)
        self.loaded(shop)
        self.backfill(shop, shop.last, shop.last, "before: the last day with rows")
        empty = shop.last + timedelta(1)
        self.results["fixed"] = {
            "an empty day": self.backfill(shop, empty, empty, "an empty day").as_dict(),
            "nothing to do": self.ours(shop, "nothing to do", "run").as_dict(),
        }

    def days(self) -> None:
        shop = self.shop(self.lines // 10)
        self.loaded(shop)
        one = self.backfill(shop, shop.last, shop.last, "the last day")
        first = max(shop.last - timedelta(364), shop.start)
        year = self.backfill(shop, first, shop.last, "the last 365 days")
        self.results["days"] = {
            "one": one.as_dict(),
            "365": year.as_dict(),
            "ratio": _ratios(year, one),
        }

    def years(self) -> None:
        costs = [self.loaded(self.shop(self.lines // 10, days)) for days in (self.length, 1826)]
        self.results["years"] = {
            "lines": self.lines // 10,
            "costs": [cost.as_dict() for cost in costs],
            "ratio": _ratios(costs[1], costs[0]),
        }

    def scattered(self) -> None:
        shop = one_file(self.shop(self.lines // 10))
        home = self.home(shop)
        before = home.with_name(f"{home.name}-corrected")
        for folder in (home, before):
            shutil.rmtree(folder, ignore_errors=True)
        self.ours(shop, "one file, before the corrections", "run")
        correct_lines(shop, days=43, lines=44)
        correction = self.ours(shop, "one file, the corrections", "run")
        home.rename(before)
        full = self.ours(shop, "one file, a full load", "run")
        compared = require_same_tables(*(folder / "warehouse.duckdb" for folder in (home, before)))
        print(f"    {compared} tables of the two homes are the same")
        self.results["scattered"] = {
            "lines": shop.lines,
            "full": full.as_dict(),
            "correction": correction.as_dict(),
            "ratio": _ratios(correction, full),
        }

    def customers(self) -> None:
        shop = self.shop(0, days=365, customers=1_000_000)
        self.results["customers"] = {
            "customers": shop.customers,
            "lines": shop.lines,
            "cost": self.loaded(shop).as_dict(),
        }

    def growth(self) -> None:
        shops = [self.shop(self.lines), self.shop(self.lines * 10)]
        memory = {"ANALYTICS_MEMORY_LIMIT": MEMORY_LIMIT_OF_GROWTH}
        costs = [self.loaded(shops[0]), self.loaded(shops[1], **memory)]
        self.results["growth"] = {
            "lines": [shop.lines for shop in shops],
            "costs": [cost.as_dict() for cost in costs],
            "ratio": _ratios(costs[1], costs[0]),
        }


def _ratios(one: Cost, other: Cost, times: float = 1.0) -> dict[str, float]:
    """Ratios of wall and CPU seconds; those of the other are multiplied by `times`."""
    return {
        name: round(getattr(one, name) / (getattr(other, name) * times), 3)
        for name in ("wall", "cpu")
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, default=10_000_000, help="order lines")
    parser.add_argument("--days", type=int, default=730, help="days that the lines lie on")
    parser.add_argument("--parts", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument(
        "--work", type=Path, default=HERE / "results" / "tmp", help="scratch folder"
    )
    parser.add_argument("--keep", action="store_true", help="use homes and results of earlier runs")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(("ANALYTICS_", "DAGSTER_"))]:
        del os.environ[name]  # everything runs with the default settings
    bench = Bench(options.work.resolve(), options.lines, options.days)
    results = bench.folder / "results.json"
    if not options.keep:
        shutil.rmtree(bench.folder / "homes", ignore_errors=True)
    elif results.is_file():
        bench.results = json.loads(results.read_text())
    for part in options.parts.split(","):
        step: Callable[[], None] | None = getattr(bench, part, None)
        if part not in (*PARTS, "growth") or step is None:
            parser.error(f"{part!r} is no part; known: {', '.join(PARTS)}, growth")
        print(f"{part}", flush=True)
        step()
        for name, value in bench.results.get(part, {}).items():
            if "ratio" in name or "/" in name:
                print(f"    {name}: " + ", ".join(f"{k} {v:.2f}" for k, v in value.items()))
        bench.results["machine"] = machine()
        results.write_text(json.dumps(bench.results, indent=1))
    if options.write:
        write_report(bench.results, HERE / "results", HERE.parent / "docs" / "performance.md")


if __name__ == "__main__":
    main()
