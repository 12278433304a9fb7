"""Kills the command line at random moments, and looks whether anything is lost, doubled or half.

    python benchmarks/soak.py --kills 25 --seed 7

Each kill is of a backfill, of the backfill of a corrected day, or of `run`. A scoring, a `run` or
nothing follows. After each: the published build adds up, and no run waits for a dead one. At the
end: one more `run`, no key twice, every source row accounted for, and the tables of a load of all
days at once. The result goes to `benchmarks/results/soak.json`.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from analytics_assets.automation.backfill import RunPlan, run_backfill
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.automation.jobs import LOAD_DAYS, SCORE_DAY
from analytics_assets.automation.ranges import range_tags
from analytics_assets.definitions import build_definitions, build_warehouse
from analytics_assets.partitions import Window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import load_settings
from analytics_assets.sources.configured import configured_sources
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets.warehouse.session import Session

RESULT = Path(__file__).parent / "results" / "soak.json"
SAMPLE = ("--customers", "600", "--months", "5")
HORIZON_DAYS = "30"
TOTALS = {
    "fact_orders": "SELECT sum(extended_amount) FILTER (line_type = 'sale') FROM core.fact_orders",
    **{
        relation: f"SELECT sum(gross_amount) FROM {relation}"
        for relation in ("core.customer_days", "marts.sales_daily", "marts.customer_sales")
    },
}


class Soak:
    """A home with a sample in it, whose commands are killed."""

    def __init__(self, home: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.environment = {
            **os.environ,
            "ANALYTICS_HOME": str(home),
            "ANALYTICS_CHURN_HORIZON_DAYS": HORIZON_DAYS,
        }
        self.settings = load_settings(self.environment)
        self.warehouse = build_warehouse(self.settings)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.seconds: list[float] = []

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "analytics_assets.cli", *arguments]
        with (self.settings.home / "soak.log").open("a") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def run(self) -> None:
        """A `run` that nobody kills."""
        if code := self.start("run", *SAMPLE).wait():
            self.faults.append(f"run ended with {code}")

    def score(self) -> None:
        """The scoring of the newest day, as another run would start it."""
        newest = max(self.days)
        plan = RunPlan(SCORE_DAY, range_tags(Window.of_days(newest, newest)))
        home = prepare_instance(self.settings)
        with DagsterInstance.from_config(str(home)) as instance:
            outcome = run_backfill(
                build_definitions(self.settings), instance, [plan], self.settings.home / "soak.log"
            )
        for failure in outcome.failures:
            self.counts["refused" if "has not finished" in failure else "failed"] += 1
            if "has not finished" not in failure:
                self.faults.append(failure)

    @property
    def days(self) -> list[str]:
        files = (self.settings.sample_dir / "orders").glob("*.csv")
        return sorted(file.stem.removeprefix("orders_") for file in files)

    def correct(self, day: str) -> None:
        """Other prices on a day."""
        file = self.settings.sample_dir / "orders" / f"orders_{day}.csv"
        cents = f"{self.random.randrange(100):02}"
        file.write_text(re.sub(r"(\d)\.\d\d,", rf"\g<1>.{cents},", file.read_text()))

    def kill(self, number: int) -> None:
        """One kill, and what follows it."""
        kind = self.random.choice(["backfill", "correction", "run"])
        day = self.random.choice(self.days[:-10])
        last = self.days[self.days.index(day) + self.random.randrange(10)]
        if kind != "backfill":
            self.correct(day)
            last = day
        arguments = ("run", *SAMPLE) if kind == "run" else ("backfill", "--from", day, "--to", last)
        process = self.start(*arguments)
        longest = max(self.seconds, default=20.0)
        began = time.monotonic()
        try:
            process.wait(self.random.uniform(2.0, longest))
            self.counts["ended before the kill"] += 1
            self.seconds.append(time.monotonic() - began)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.counts["killed"] += 1
        follow = self.random.choice(["score", "run", "nothing"])
        self.counts[kind] += 1
        self.counts[f"then {follow}"] += 1
        if follow == "score":
            self.score()
        elif follow == "run":
            began = time.monotonic()
            self.run()
            self.seconds.append(time.monotonic() - began)
        faults = len(self.faults)
        self.look(number)
        if follow != "nothing":
            self.require_free(number)
        state = "; ".join(self.faults[faults:]) or "good"
        print(f"{number:>4} {kind:<11} {day} then {follow:<8} {state}", flush=True)

    def look(self, number: int) -> None:
        """The published build adds up."""
        with open_build(current_build(self.settings.published_dir)) as session:
            totals = {name: session.value(query) for name, query in TOTALS.items()}
            if len(set(totals.values())) > 1:
                self.faults.append(f"kill {number}: published {totals}")
            self.require_keys(session, number)

    def require_keys(self, session: Session, number: int) -> None:
        for name in ("fact_orders", "customer_days"):
            table = TABLES[name]
            keys = f"SELECT DISTINCT {', '.join(table.key)} FROM {table.relation}"
            if session.count(table.relation) != session.count(f"({keys})"):
                self.faults.append(f"kill {number}: {name} has rows twice")

    def require_free(self, number: int) -> None:
        home = prepare_instance(self.settings)
        with DagsterInstance.from_config(str(home)) as instance:
            if stuck := instance.event_log_storage.get_concurrency_run_ids():
                self.faults.append(f"kill {number}: slots of {stuck}")

    def contents(self) -> dict[str, list[Any]]:
        """Tables that a load of days leaves."""
        with self.warehouse.read() as session:
            return {
                table.name: session.rows(
                    f"SELECT * EXCLUDE (loaded_at) FROM {table.relation} ORDER BY ALL"
                    if "loaded_at" in table.columns
                    else f"FROM {table.relation} ORDER BY ALL"
                )
                for table in TABLES.values()
                if table.group in ("core", "marts")
                and not table.is_view
                and not {"snapshot_date", "month"} & {*table.columns}
                and session.exists(table)
            }

    def end(self) -> None:
        """One more run; then everything is there, once, as a load of all days has it."""
        self.run()
        self.look(0)
        with self.warehouse.read() as session:
            if left := session.rows("FROM raw.unfinished_tables"):
                self.faults.append(f"unfinished: {left[:3]}")
            read = session.row(
                "SELECT sum(rows_read), sum(rows_accepted + rows_rejected + rows_not_due) "
                "FROM raw.source_loads WHERE source = 'orders'"
            )
        lines = sum(
            sum(1 for _ in file.open()) - 1
            for file in (self.settings.sample_dir / "orders").glob("*.csv")
        )
        if {*read} != {lines}:
            self.faults.append(f"{lines} lines in the files, {read} in the ledger")
        converged = self.contents()
        calendar = configured_sources(self.settings).calendar
        assert calendar.end
        plan = RunPlan(LOAD_DAYS, range_tags(Window(calendar.start, calendar.end)))
        home = prepare_instance(self.settings)
        with DagsterInstance.from_config(str(home)) as instance:
            run_backfill(
                build_definitions(self.settings), instance, [plan], self.settings.home / "soak.log"
            )
        clean = self.contents()
        for name in clean:
            if clean[name] != converged[name]:
                self.faults.append(f"{name} is not that of a clean load")
        self.counts["tables compared"] = len(clean)


def main() -> None:
    """Kill as often as asked, and write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="at most")
    parser.add_argument("--base", type=Path, help="a home with this sample, to start from")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        home = Path(folder) / "home"
        if given.base:
            shutil.copytree(given.base, home)
            (home / "dagster" / "dagster.yaml").unlink()
        soak = Soak(home, given.seed)
        home.mkdir(exist_ok=True)
        began = time.monotonic()
        soak.run()
        done = 0
        while done < given.kills and time.monotonic() - began < 60 * given.minutes:
            done += 1
            soak.kill(done)
        soak.end()
    result = {"seed": given.seed, "rounds": done, **soak.counts, "faults": soak.faults}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    sys.exit(bool(soak.faults))


if __name__ == "__main__":
    main()
