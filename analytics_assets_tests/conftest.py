"""What tests of the whole project share: settings over a home of their own, and a built project.

The built project costs half a minute, so it is made once and only read, also where several
processes run the tests; `copied_project` is for tests that change something.
"""

import gc
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import Any, TypeVar

import duckdb
import pytest
from dagster import DagsterInstance, Definitions
from filelock import FileLock

from analytics_assets.assets.dbt.command import prepare_manifest
from analytics_assets.automation.backfill import Outcome, RunPlan, plan_backfill, run_backfill
from analytics_assets.automation.instance import prepare_instance
from analytics_assets.definitions import build_definitions, build_warehouse
from analytics_assets.partitions import Calendar, Window
from analytics_assets.schemas import TABLES
from analytics_assets.settings import Settings, load_settings
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.configured import configured_sources
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.sample import write_sample
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.session import Session

REPOSITORY = Path(__file__).resolve().parents[1]
OURS = ("ANALYTICS_", "DAGSTER_", "DBT_")
# Two months of closed labels of 30 days at the least; every dirt of the sample stands in it.
HORIZON_DAYS = 30
CUSTOMERS, MONTHS = 1200, 6
# Subscribers and events are no part of the sample; no asset makes the record of loads, and ledgers
# have no checks of their own. Their tables are named after them.
SEPARATE = [name.removesuffix("s") for name, source in SOURCES.items() if not source.sample]
OF_SEPARATE = {name for name in TABLES if any(word in name for word in SEPARATE)}
OF_SEPARATE |= {"churn_by_contract"} | {name for name, table in TABLES.items() if table.is_optional}
RECORDS = ("source_loads", "unfinished_tables")  # no asset makes them: loads do
# The sample has no tickets either.
ABSENT = OF_SEPARATE | {"raw_support_tickets", *SOURCES["support_tickets"].stand_ins}
OF_SAMPLE = [table for name, table in TABLES.items() if name not in ABSENT]
CHECKED_OF_SAMPLE = [t for t in OF_SAMPLE if t.group != "quality" and t.name not in RECORDS]
Made = TypeVar("Made")
# Slow files that take a minute each: no core waits for one of them at the end. The first makes
# the built project; the others need none of it.
LONGEST = (
    *("checks/test_mutations.py", "real_data/test_online_retail.py"),
    *("test_history.py", "test_days.py"),
)


@dataclass(frozen=True)
class Project:
    """A home with everything in it, and what made it."""

    settings: Settings
    instance: DagsterInstance
    outcome: Outcome

    @property
    def sources(self) -> SourcesConfig:
        return configured_sources(self.settings)

    @property
    def calendar(self) -> Calendar:
        return self.sources.calendar

    @property
    def warehouse(self) -> Warehouse:
        return build_warehouse(self.settings)

    def definitions(self) -> Definitions:
        return build_definitions(self.settings)

    def environment(self) -> dict[str, str]:
        """Environment of a process that works on this project."""
        return {
            **os.environ,
            "ANALYTICS_HOME": str(self.settings.home),
            "ANALYTICS_CHURN_HORIZON_DAYS": str(self.settings.churn_horizon_days),
            "DAGSTER_HOME": str(self.settings.dagster_home),
            "PYTHONPATH": str(REPOSITORY),
        }

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.warehouse.read() as session:
            return session.rows(sql)

    def run(self, plans: list[RunPlan]) -> Outcome:
        log = self.settings.home / "logs" / "backfill.log"
        return run_backfill(self.definitions(), self.instance, plans, log)


def table_contents(session: Session, table: str) -> list[tuple[Any, ...]]:
    """The rows of a declared table, sorted, without the columns that may differ by load."""
    declared = TABLES[table]
    stable = [f'"{name}"' for name in declared.columns if name not in declared.volatile]
    return session.rows(f"SELECT {', '.join(stable)} FROM {declared.relation} ORDER BY ALL")


def make_settings(home: Path, **environment: str) -> Settings:
    return load_settings({"ANALYTICS_HOME": str(home), **environment})


@contextmanager
def open_project(settings: Settings, outcome: Outcome | None = None) -> Iterator[Project]:
    """The project of a home on the Dagster instance in it."""
    prepare_instance(settings)
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        yield Project(settings, instance, outcome or Outcome())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with fast tests come first; of the others, those that take longest."""
    fast = {item.path for item in items if item.get_closest_marker("slow") is None}

    def place(item: pytest.Item) -> tuple[bool, int]:
        file = item.path.relative_to(Path(__file__).parent).as_posix()
        return item.path not in fast, LONGEST.index(file) if file in LONGEST else len(LONGEST)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    # What was imported and collected stays: no collection of garbage need look at it again.
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_shell() -> Iterator[None]:
    with _restored_environment():
        yield


@pytest.fixture(autouse=True)
def _no_settings_of_other_tests() -> Iterator[None]:
    # The command line sets variables of its own process.
    with _restored_environment():
        yield


@contextmanager
def _restored_environment() -> Iterator[None]:
    before: Mapping[str, str] = dict(os.environ)
    for name in [name for name in before if name.startswith(OURS)]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory; to open one takes longer than most statements of a test."""
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture
def connection(memory: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database, in a transaction that is rolled back."""
    memory.execute("BEGIN")
    yield memory
    memory.execute("ROLLBACK")
    assert memory.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (0,)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of the dev deployment over an empty home."""
    return make_settings(tmp_path / "home")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder for what the processes of a test run share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def made_once(folder: Path, make: Callable[[Path], Made]) -> Made:
    """What `make` returned, which fills a folder for the first process that asks."""
    returned = folder.with_suffix(".pickle")
    with FileLock(folder.with_suffix(".lock")):
        if not returned.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            returned.write_bytes(pickle.dumps(make(folder)))
    made: Made = pickle.loads(returned.read_bytes())
    return made


@pytest.fixture(scope="session")
def manifest(shared: Path) -> Path:
    """dbt's manifest: parsing costs seconds, and homes can share what was parsed."""

    def parsed(home: Path) -> Path:
        from dbt.adapters.factory import get_adapter_by_type

        file = prepare_manifest(make_settings(home))
        profile = get_adapter_by_type("duckdb").config.credentials.connection_info()
        file.with_name("profile.pickle").write_bytes(pickle.dumps(dict(profile)))
        return file

    return made_once(shared / "manifest", parsed)


def share_parsed(manifest: Path, warehouse: Path, target: Path) -> None:
    """Spare a target folder of dbt the parsing.

    dbt parses again where the profile is another, by the hash of it, and the path of the warehouse
    is a part of the profile.
    """
    profile = pickle.loads(manifest.with_name("profile.pickle").read_bytes())
    saved = manifest.with_name("partial_parse.msgpack").read_bytes()
    before, after = (
        hashlib.sha256(pformat(sorted({**profile, "path": path}.items())).encode()).hexdigest()
        for path in (profile["path"], str(warehouse))
    )
    assert saved.count(before.encode()) == 1
    target.mkdir(parents=True, exist_ok=True)
    (target / "partial_parse.msgpack").write_bytes(saved.replace(before.encode(), after.encode()))
    text = manifest.with_name("parsed.txt").read_text()
    (target / "parsed.txt").write_text(text.replace(profile["path"], str(warehouse)))
    shutil.copy(manifest, target)
    (target / "parsed.sums").unlink(missing_ok=True)  # of a parse of its own


def share_manifest(manifest: Path, settings: Settings) -> Settings:
    """Spare a home the parsing."""
    share_parsed(manifest, settings.warehouse_path, settings.dbt_target_dir)
    return settings


@pytest.fixture
def parsed_settings(settings: Settings, manifest: Path) -> Settings:
    """Settings over a home that has dbt's manifest, and nothing else."""
    return share_manifest(manifest, settings)


@pytest.fixture(scope="session")
def built_project(shared: Path, manifest: Path) -> Iterator[Project]:
    """A small sample through every asset: only for reading."""

    def built(folder: Path) -> tuple[Settings, Outcome]:
        settings = share_manifest(
            manifest,
            make_settings(folder / "home", ANALYTICS_CHURN_HORIZON_DAYS=str(HORIZON_DAYS)),
        )
        write_sample(settings.sample_dir, CUSTOMERS, MONTHS, settings.seed)
        with open_project(settings) as project:
            calendar = project.calendar
            assert calendar.end is not None
            whole = [Window(calendar.start, calendar.end)]
            return settings, project.run(plan_backfill(whole, calendar, HORIZON_DAYS))

    with open_project(*made_once(shared / "built", built)) as project:
        yield project


@pytest.fixture
def copied_project(built_project: Project, manifest: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy of the built project with an instance of its own, to be changed."""
    home = tmp_path / "copy"
    # Another process may be reading the sources there, in a scratch folder that goes meanwhile.
    scratch = shutil.ignore_patterns("incoming-*")
    shutil.copytree(built_project.settings.home, home, ignore=scratch)
    settings = share_manifest(
        manifest, make_settings(home, ANALYTICS_CHURN_HORIZON_DAYS=str(HORIZON_DAYS))
    )
    # It names the folder that it was written for.
    (settings.dagster_home / "dagster.yaml").unlink()
    with open_project(settings, built_project.outcome) as project:
        yield project
