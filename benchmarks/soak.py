"""Kills the command line and the daemon at random moments: nothing is lost, doubled or half.

    python benchmarks/soak.py --home /tmp/soak --kills 1000       # stop and go on as you like
    python benchmarks/soak.py --home /tmp/soak --write            # only write the result down

A kill (SIGKILL of the process and all its children) is of a backfill, of the backfill of a
corrected day, of `run` after a correction, or of the daemon with the run that it has launched. The
moment is drawn uniformly over the time that such a command takes. A scoring, a `run` or nothing
follows. After each kill:

- the published build adds up: fact, spine and marts have the same sales, no key is there twice. A
  reader looks every second while the commands run, too;
- after a `run`: nothing is unfinished, no run has a slot, and the lines of the files, counted by
  this script, are the rows that the ledger and the tables have;
- after every 50 kills, and at the end: the tables equal those that a new home makes of the same
  files (`analytics-assets diff`).

Kill N depends on the seed, N and the durations so far only. What each saw is a line of
`<home>/kills.jsonl`; another call goes on from there. `benchmarks/results/soak.json` sums them up.

Commands are forked from a process that has imported everything and composed the definitions, so a
kill costs seconds. Every fourth `run` is a new process, and the seconds from its start to the
first event of its run are measured.
"""

import argparse
import contextlib
import importlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

RESULT = Path(__file__).parent / "results" / "soak.json"
DAEMON = Path(__file__).parent / "soak_daemon.py"
SAMPLE = ("--customers", "500", "--months", "4")
HORIZON_DAYS = "30"
KINDS = {"backfill": 30, "correction": 30, "run": 32, "daemon": 8}  # per cent
FOLLOWS = ("score", "run", "nothing")
COMPARED_EVERY = 50  # kills
NEW_PROCESS_EVERY = 4  # runs
STARTS_WITHIN = 10.0
PATIENCE = 300.0  # a command that takes longer waits for something that never comes
LIBRARIES = ("analytics_assets", "dagster", "dbt", "duckdb", "sklearn", "scipy", "pandas", "mlflow")
TOTALS = {
    "core.fact_orders": "SELECT sum(extended_amount) FILTER (line_type = 'sale') "
    "FROM core.fact_orders",
    **{
        relation: f"SELECT sum(gross_amount) FROM {relation}"
        for relation in ("core.customer_days", "marts.sales_daily", "marts.customer_sales")
    },
}


class Forked:
    """A child of this process that executes a function, in a process group of its own."""

    living: ClassVar[set["Forked"]] = set()

    def __init__(self, act: Callable[[], Any], environment: dict[str, str], log: Path) -> None:
        reading, writing = os.pipe()
        self.began = time.time()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            code = 1
            try:
                os.setsid()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.environ.update(environment)
                out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
                for stream in (1, 2):
                    os.dup2(out, stream)
                os.write(writing, json.dumps(act(), default=str).encode())
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        Forked.living.add(self)
        self._reading = reading
        self.code: int | None = None
        self.answer: Any = None

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within the time."""
        answer = b""
        deadline = time.monotonic() + seconds
        os.set_blocking(self._reading, False)
        while self.code is None and time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                answer += os.read(self._reading, 1 << 16)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                os.set_blocking(self._reading, True)
                while part := os.read(self._reading, 1 << 16):
                    answer += part
                os.close(self._reading)
                self.answer = json.loads(answer) if self.code == 0 and answer else None
                Forked.living.discard(self)
            else:
                time.sleep(0.02)
        return self.code is not None

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._reading)
        self.code = -signal.SIGKILL
        Forked.living.discard(self)


class Soak:
    """A home with a sample in it, whose commands are killed."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home, self.seed = home, seed
        self.log = home / "soak.log"
        self.record = home / "kills.jsonl"
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "ANALYTICS_HOME": str(home / "home"),
            "ANALYTICS_CHURN_HORIZON_DAYS": HORIZON_DAYS,
        }
        os.environ.update(self.environment)
        self.orders = home / "home" / "sample" / "orders"
        self.done = (
            [json.loads(line) for line in self.record.read_text().splitlines()]
            if self.record.exists()
            else []
        )
        self.seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.faults: list[str] = []

    # Commands

    def fork(self, act: Callable[[], Any], **environment: str) -> Forked:
        if threading.active_count() > 1:
            raise RuntimeError(f"not to be forked: {threading.enumerate()}")
        return Forked(act, {**self.environment, **environment}, self.log)

    def ask(self, act: Callable[[], Any]) -> Any:
        """What a function returns in a child; this process opens no file and starts no thread."""
        child = self.fork(act)
        if not child.wait(PATIENCE):
            child.kill()
            raise TimeoutError(f"{act} did not end; see {self.log}")
        if child.code:
            raise RuntimeError(f"{act} failed; see {self.log}")
        return child.answer

    def command(self, *arguments: str, **environment: str) -> Forked:
        from analytics_assets.cli import main

        return self.fork(lambda: main(list(arguments)), **environment)

    def finish(self, what: str, child: Forked) -> None:
        """Wait for a command that nobody kills; it has to succeed."""
        if not child.wait(PATIENCE):
            child.kill()
            self.faults.append(f"{what} did not end within {PATIENCE:.0f} s")
        elif child.code:
            self.faults.append(f"{what} ended with {child.code}")

    def prepare(self) -> None:
        """Sample, first load, and everything imported and composed in this process."""
        if not self.orders.exists():
            print("first load", flush=True)
            code = self._cli_process("run", *SAMPLE).wait()
            if code:
                raise RuntimeError(f"the first load ended with {code}; see {self.log}")
        names = self.ask(self._modules)
        for name in names:
            with contextlib.suppress(Exception):  # a module that only its own package may import
                importlib.import_module(name)
        from analytics_assets import definitions
        from analytics_assets.settings import load_settings

        settings = load_settings(dict(os.environ))
        composed = definitions.build_definitions(settings)
        for job in composed.resolve_all_job_defs():
            composed.resolve_job_def(job.name)
        original = definitions.build_definitions
        definitions.build_definitions = lambda given: (
            composed if given == settings else original(given)
        )

    def _modules(self) -> list[str]:
        from analytics_assets.cli import main

        self._correct(next(day for day in self._days() if self._lines(day)), random.Random(0))
        try:
            main(["run", *SAMPLE])
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"run ended with {ended.code}") from ended
        return sorted(name for name in sys.modules if name.startswith(LIBRARIES))

    def _cli_process(self, *arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "analytics_assets.cli", *arguments]
        with self.log.open("a") as log:
            return subprocess.Popen(
                command, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )

    def calibrate(self) -> None:
        """How long each kind takes, unless known from before."""
        known = self.home / "durations.json"
        if known.exists():
            self.seconds |= json.loads(known.read_text())
        draw = random.Random(self.seed)
        for kind in KINDS:
            while len(self.seconds[kind]) < 2:
                child = self.start(kind, draw)[0]
                began = time.monotonic()
                if kind == "daemon":
                    self._until_idle(child)
                else:
                    self.finish(kind, child)
                self.seconds[kind].append(round(time.monotonic() - began, 2))
                known.write_text(json.dumps(self.seconds))
        print({kind: statistics.mean(some) for kind, some in self.seconds.items()}, flush=True)

    # What is killed

    def start(self, kind: str, draw: random.Random) -> tuple[Forked, str]:
        """Start what is to be killed, and say for which days."""
        days = self._days()
        sold = [day for day in days[:-10] if self._lines(day)]
        day = draw.choice(sold)
        last = days[days.index(day) + draw.randrange(10)]
        if kind != "backfill":
            self._correct(day, draw)
            last = day
        if kind == "run":
            return self.command("run", *SAMPLE), day
        if kind == "daemon":
            return self.fork(self._daemon), day
        return self.command("backfill", "--from", day, "--to", last), f"{day} to {last}"

    def _daemon(self) -> None:
        """The daemon: it notices the correction and launches runs of their own processes."""
        from dagster._daemon.cli import cli

        os.environ["DAGSTER_HOME"] = str(self.home / "home" / "dagster")
        cli(["run", "-f", str(DAEMON), "-d", str(DAEMON.parents[1])])

    def _until_idle(self, child: Forked) -> None:
        """Wait until the daemon has published the correction, and end it."""
        before = self.ask(_published)
        deadline = time.monotonic() + PATIENCE
        while self.ask(_published) == before and not child.wait(1.0):
            if time.monotonic() > deadline:
                self.faults.append("the daemon published nothing")
                break
        child.kill()

    def kill(self, number: int) -> None:
        """One kill, what follows it, and what was seen."""
        draw = random.Random(f"{self.seed}-{number}")
        (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
        moment = draw.uniform(0.0, statistics.mean(self.seconds[kind][-20:]))
        self.faults, result = [], {"kill": number, "kind": kind, "at": round(moment, 3)}
        reader = self.fork(self._read_all_the_time)
        child, result["days"] = self.start(kind, draw)
        began = time.monotonic()
        if child.wait(moment):
            self.seconds[kind].append(round(time.monotonic() - began, 2))
            result["ended before"] = True
            if child.code:
                self.faults.append(f"{kind} ended with {child.code}")
        else:
            child.kill()
        result["then"] = follow = draw.choice(FOLLOWS)
        if follow == "score":
            answer = self.ask(self._score)
            result["refused"] = any("has not finished" in failure for failure in answer)
            self.faults += [failure for failure in answer if "has not finished" not in failure]
        elif follow == "run":
            result |= self._run(number)
        reader.wait(0.0)
        if reader.code is None:
            os.kill(reader.pid, signal.SIGTERM)
            reader.wait(PATIENCE)
        seen = reader.answer or {"faults": [f"the reader ended with {reader.code}"], "reads": 0}
        result["reads"] = seen["reads"]
        self.faults += seen["faults"]
        self.faults += self.ask(lambda: self._look(follow))
        if number % COMPARED_EVERY == 0:
            result["tables compared"] = self.compare()
        result["faults"] = self.faults
        with self.record.open("a") as record:
            record.write(json.dumps(result) + "\n")
        self.done.append(result)
        (self.home / "durations.json").write_text(json.dumps(self.seconds))
        said = "; ".join(self.faults) or "good"
        print(f"{number:>4} {kind:<10} at {moment:5.1f} s then {follow:<7} {said}", flush=True)

    def _run(self, number: int) -> dict[str, Any]:
        """A `run` that nobody kills: how long it took to the first event of its run."""
        before = self.ask(_newest_start)
        began = time.time()
        new = number % NEW_PROCESS_EVERY == 0
        if new:
            process = self._cli_process("run", *SAMPLE)
            try:
                if code := process.wait(PATIENCE):
                    self.faults.append(f"run ended with {code}")
            except subprocess.TimeoutExpired:
                process.kill()
                self.faults.append(f"run did not end within {PATIENCE:.0f} s")
        else:
            self.finish("run", self.command("run", *SAMPLE))
        starts = [at for at in self.ask(_starts) if at > max(before, began)]
        if not starts:
            return {"nothing to do": True}
        seconds = round(min(starts) - began, 2)
        if seconds > STARTS_WITHIN:
            self.faults.append(f"the run started after {seconds} s")
        return {"started after": seconds, "new process": new}

    # What is seen

    def _read_all_the_time(self) -> dict[str, Any]:
        """A reader while commands run: every build that it opens adds up."""
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        faults: list[str] = []
        reads = 0
        while not ended.wait(1.0):
            faults += _published_faults()
            reads += 1
        return {"faults": sorted(set(faults)), "reads": reads}

    def _score(self) -> list[str]:
        """The scoring of the newest day, as another run would start it."""
        from dagster import DagsterInstance

        from analytics_assets import definitions
        from analytics_assets.automation.backfill import RunPlan, run_backfill
        from analytics_assets.automation.instance import prepare_instance
        from analytics_assets.automation.jobs import SCORE_DAY
        from analytics_assets.automation.ranges import range_tags
        from analytics_assets.partitions import Window
        from analytics_assets.settings import load_settings

        settings = load_settings(dict(os.environ))
        newest = self._days()[-1]
        plan = RunPlan(SCORE_DAY, range_tags(Window.of_days(newest, newest)))
        with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
            composed = definitions.build_definitions(settings)
            return run_backfill(composed, instance, [plan], self.log).failures

    def _look(self, follow: str) -> list[str]:
        """What is wrong now."""
        from dagster import DagsterInstance

        from analytics_assets.automation.instance import prepare_instance
        from analytics_assets.definitions import build_warehouse
        from analytics_assets.settings import load_settings

        faults = _published_faults()
        settings = load_settings(dict(os.environ))
        if follow == "nothing":
            return faults
        with DagsterInstance.from_config(str(prepare_instance(settings))) as instance:
            if stuck := instance.event_log_storage.get_concurrency_run_ids():
                faults.append(f"slots of {stuck}")
        if follow == "score":
            return faults
        with build_warehouse(settings).read() as session:
            if left := session.rows("FROM raw.unfinished_tables"):
                faults.append(f"unfinished: {left[:3]}")
            read, accounted = session.row(
                "SELECT sum(rows_read), sum(rows_accepted + rows_rejected + rows_not_due) "
                "FROM raw.source_loads WHERE source = 'orders'"
            )
            there = session.value(
                "SELECT (SELECT count(*) FROM raw.raw_orders) + (SELECT count(*) FROM "
                "raw.rejected_rows WHERE source = 'orders')"
            )
        lines = sum(self._lines(day) for day in self._days())
        if {read, accounted, there} != {lines}:
            faults.append(
                f"{lines} lines in the files, {read} read, {accounted} accounted for, {there} there"
            )
        return faults

    def compare(self) -> int:
        """The tables of the home against those of a new home with the same files."""
        import shutil

        self.finish("run", self.command("run", *SAMPLE))
        clean = self.home / "clean"
        shutil.rmtree(clean, ignore_errors=True)
        shutil.copytree(self.home / "home" / "sample", clean / "sample")
        self.finish("clean run", self.command("run", *SAMPLE, ANALYTICS_HOME=str(clean)))
        compared, faults = self.ask(lambda: _differences(self.home / "home", clean))
        self.faults += faults
        return int(compared)

    def _days(self) -> list[str]:
        return sorted(file.stem.removeprefix("orders_") for file in self.orders.glob("*.csv"))

    def _lines(self, day: str) -> int:
        text = (self.orders / f"orders_{day}.csv").read_text(encoding="utf-8")
        return text.count("\n") - 1

    def _correct(self, day: str, draw: random.Random) -> None:
        """Other prices on a day; the file is replaced whole."""
        file = self.orders / f"orders_{day}.csv"
        cents = f"{draw.randrange(100):02}"
        part = file.with_suffix(".part")
        part.write_text(re.sub(r"(\d)\.\d\d,", rf"\g<1>.{cents},", file.read_text()))
        part.replace(file)

    def go_on(self, kills: int, seconds: float) -> None:
        """Kill until there are as many, or for some time."""
        began = time.monotonic()
        self.prepare()
        self.calibrate()
        killed = sum(not one.get("ended before") for one in self.done)
        while killed < kills and time.monotonic() - began < seconds:
            self.kill(len(self.done) + 1)
            killed += not self.done[-1].get("ended before")

    def write(self) -> dict[str, Any]:
        """The sum of all kills so far."""
        killed = [one for one in self.done if not one.get("ended before")]
        started = [one for one in self.done if "started after" in one]
        new = [one for one in started if one["new process"]]
        forked = [one for one in started if not one["new process"]]
        result = {
            "seed": self.seed,
            "rounds": len(self.done),
            "killed": len(killed),
            "killed by kind": dict(Counter(one["kind"] for one in killed)),
            "then": dict(Counter(one["then"] for one in killed)),
            "scorings refused": sum(bool(one.get("refused")) for one in self.done),
            "reads of published builds meanwhile": sum(one["reads"] for one in self.done),
            "comparisons with a clean home": sum("tables compared" in one for one in self.done),
            "tables compared": max((one.get("tables compared", 0) for one in self.done), default=0),
            "seconds to the first event, new process": _spread(new),
            "seconds to the first event, forked": _spread(forked),
            "faults": [f"kill {o['kill']}: {fault}" for o in self.done for fault in o["faults"]],
        }
        RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        return result


def _spread(started: list[dict[str, Any]]) -> dict[str, float]:
    """The seconds to the first event."""
    values = [one["started after"] for one in started]
    if not values:
        return {"runs": 0}
    return {"runs": len(values), "median": statistics.median(values), "longest": max(values)}


def _instance() -> Any:
    from dagster import DagsterInstance

    home = Path(os.environ["ANALYTICS_HOME"]) / "dagster"
    return DagsterInstance.from_config(str(home))


def _starts() -> list[float]:
    with _instance() as instance:
        records = instance.get_run_records(limit=20)
        return [record.start_time for record in records if record.start_time]


def _newest_start() -> float:
    return max(_starts(), default=0.0)


def _published() -> str:
    return (Path(os.environ["ANALYTICS_HOME"]) / "published" / "CURRENT").read_text()


def _published_faults() -> list[str]:
    """Whether the published build adds up, and has no key twice."""
    from analytics_assets.schemas import TABLES
    from analytics_assets.warehouse.publish import current_build, open_build

    build = current_build(Path(os.environ["ANALYTICS_HOME"]) / "published")
    faults = []
    with open_build(build) as session:
        totals = {name: session.value(query) for name, query in TOTALS.items()}
        if len(set(totals.values())) > 1:
            faults.append(f"build {build.parent.name}: {totals}")
        for name in ("fact_orders", "customer_days"):
            table = TABLES[name]
            keys = f"SELECT DISTINCT {', '.join(table.key)} FROM {table.relation}"
            if session.count(table.relation) != session.count(f"({keys})"):
                faults.append(f"build {build.parent.name}: {name} has rows twice")
        snapshot = session.value("SELECT max(snapshot_date) FROM marts.customer_analytics_daily")
        scored = session.value("SELECT max(snapshot_date) FROM churn.churn_predictions")
        if snapshot != scored:
            faults.append(f"build {build.parent.name}: snapshot of {snapshot}, scores of {scored}")
    return faults


def _differences(home: Path, clean: Path) -> tuple[int, list[str]]:
    """The tables that a load of days leaves: how many, and which differ."""
    import duckdb

    from analytics_assets.schemas import TABLES
    from analytics_assets.warehouse.duckdb_engine import DuckDBSession

    compared, faults = 0, []
    with (
        duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as ours,
        duckdb.connect(str(clean / "warehouse.duckdb"), read_only=True) as theirs,
    ):
        sessions = [DuckDBSession(ours), DuckDBSession(theirs)]
        for table in TABLES.values():
            if table.group not in ("core", "marts") or table.is_view:
                continue
            if {"snapshot_date", "month"} & {*table.columns}:
                continue  # they are built for some days, by the models of their time
            if not all(session.exists(table) for session in sessions):
                continue
            stable = [f'"{name}"' for name in table.columns if name not in table.volatile]
            query = f"SELECT {', '.join(stable)} FROM {table.relation} ORDER BY ALL"
            left, right = (session.rows(query) for session in sessions)
            compared += 1
            if left != right:
                more = len([row for row in left if row not in right])
                faults.append(
                    f"{table.name}: {len(left)} rows, a clean home has {len(right)}; "
                    f"{more} are not there"
                )
    return compared, faults


def main() -> None:
    """Kill as often as asked, and write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--home", type=Path, required=True, help="of the sample and the record")
    parser.add_argument("--kills", type=int, default=1000, help="in all, those before included")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="at most")
    parser.add_argument("--write", action="store_true", help="write the result; kill nothing")
    given = parser.parse_args()
    soak = Soak(given.home.resolve(), given.seed)
    if not given.write:
        # SIGTERM ends it between two kills, or within one, which is then no part of the record.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            soak.go_on(given.kills, 60 * given.minutes)
        finally:
            for child in list(Forked.living):
                child.kill()
    result = soak.write()
    print(json.dumps(result, indent=1))
    sys.exit(bool(result["faults"]))


if __name__ == "__main__":
    main()
