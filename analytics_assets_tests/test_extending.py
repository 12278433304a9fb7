"""docs/extending.md: its examples, put into a copy of the project, do what the page says.

All of them are put into one copy, so they also get along with each other. The tests of the copy are
its own: they say what a new mart, check, candidate, format or source would break.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from .conftest import REPOSITORY
from .examples import PAGE, examples, only

COPIED = ("analytics_assets", "analytics_assets_tests", "dbt_project", "docs", "examples")
# What a section may change besides what is generated.
FILES = {"A mart": 2, "A check": 2, "A candidate": 2, "A format": 2, "A source": 6}
# The tests of the project that look at all that there is.
TESTS = (
    "analytics_assets_tests/test_definitions.py",
    "analytics_assets_tests/test_imports.py",
    "analytics_assets_tests/test_snapshots.py",
    "analytics_assets_tests/dbt/test_declarations.py",
    "analytics_assets_tests/churn/test_artifact.py",
    "analytics_assets_tests/churn/test_candidates.py",
    "analytics_assets_tests/churn/test_training.py",
    "analytics_assets_tests/checks/test_reconciliation.py",
    "analytics_assets_tests/sources/test_config.py",
    "analytics_assets_tests/sources/test_declared.py",
    "analytics_assets_tests/test_docs.py",
)
# On a built sample: the new check, the key of the new mart, and that each check has a corruption.
MUTATIONS = "every_check_has_a_corruption or placed_before or sales_by_country"

Run = Callable[..., str]


def test_each_example_has_as_many_files_as_the_page_says() -> None:
    files: dict[str, set[str]] = {}
    for example in examples():
        if example.file:
            files.setdefault(example.section, set()).add(example.file)
    assert {section: len(found) for section, found in files.items()} == FILES
    for section, found in files.items():
        for name in found:
            assert name.split("/")[0] in COPIED, (section, name)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all examples, and what the page's command generates."""
    folder = tmp_path_factory.mktemp("extended")
    ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
    for path in REPOSITORY.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=ignored)
        elif path.name not in (".venv", ".git", ".analytics"):
            (folder / path.name).symlink_to(path)
    for example in examples():
        if example.file:
            example.apply(folder)
    return folder


@pytest.fixture(scope="module")
def run(extended: Path) -> Run:
    """Runs Python in the copy."""

    def python(*arguments: str, **environment: str) -> str:
        result = subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            cwd=extended,
            env={**os.environ, "PYTHONPATH": str(extended), **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert result.returncode == 0, f"{arguments}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    return python


@pytest.fixture(scope="module")
def generated(extended: Path, run: Run) -> list[str]:
    """What `make schema docs snapshot` runs, and the files that it has changed."""
    assert "make schema docs snapshot" in PAGE.read_text(encoding="utf-8")
    folders = (extended / "dbt_project", extended / "docs", extended / "analytics_assets_tests")
    files = [path for folder in folders for path in folder.rglob("*.*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    run("-m", "analytics_assets.schemas.dbt_yaml")
    run("docs/images/make.py", "graph")
    run("-m", "analytics_assets_tests.snapshots.write")
    return sorted(path.name for path in files if path.read_bytes() != before[path])


@pytest.mark.slow
def test_the_rest_of_a_mart_a_check_and_a_source_is_generated(generated: list[str]) -> None:
    assert generated == [
        "architecture.md",
        "events.txt",
        "graph.svg",
        "marts.yml",
        "sample.txt",
        "sources.yml",
        "staging.yml",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("generated")
def test_the_tests_of_the_extended_project_pass(run: Run) -> None:
    # The example of a source is declared already.
    run("-m", "pytest", "-m", "not slow", "-k", "not a_new_source", *TESTS)


@pytest.mark.slow
@pytest.mark.usefixtures("generated")
def test_a_mart_is_built_a_check_finds_its_row_and_a_candidate_is_trained(
    extended: Path, run: Run
) -> None:
    built = extended / "built"
    mutations = "analytics_assets_tests/checks/test_mutations.py"
    run("-m", "pytest", f"--basetemp={built}", "-k", MUTATIONS, mutations)
    home = built / "shared" / "built" / "home"
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        ((countries, orders),) = connection.sql(
            "SELECT count(*), sum(orders) FROM marts.sales_by_country"
        ).fetchall()
        assert countries > 1 < orders
        candidates = connection.sql("SELECT DISTINCT candidate FROM churn.churn_backtest")
        assert ("extra_trees",) in candidates.fetchall()
        ledger = "SELECT DISTINCT passed FROM quality.data_quality_metrics WHERE check_name = "
        for check in ("order_is_placed_before_it_changes", "key_is_unique"):
            assert connection.sql(f"{ledger}'{check}'").fetchall() == [(True,)]


@pytest.mark.slow
@pytest.mark.usefixtures("generated")
def test_a_new_source_in_a_new_format_is_loaded_by_its_job(extended: Path, run: Run) -> None:
    shop = extended / "shop"
    shop.mkdir()
    (shop / "surveys.csv").write_text("customer_id,answer\n C1,7\nC2,11\nC3,-1\n")
    (shop / "orders.fwf").write_text(only("A format", "text"))
    (shop / "sources.yaml").write_text(only("A format", "yaml") + only("A source", "yaml"))
    home = extended / "home"
    variables = {
        "ANALYTICS_HOME": str(home),
        "ANALYTICS_SOURCES": str(shop / "sources.yaml"),
    }
    told = run("-m", "analytics_assets.cli", "check-sources", **variables)
    assert "orders.fwf" in told
    run("-m", "analytics_assets.cli", "run", **variables)
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        answers = "SELECT customer_id, answer FROM staging.stg_surveys ORDER BY ALL"
        assert connection.sql(answers).fetchall() == [("C1", 7), ("C2", 11)]
        facts = "SELECT order_id, quantity FROM core.fact_orders"
        assert connection.sql(facts).fetchall() == [("O1", 2)]
        checks = (
            "SELECT check_name, failing_rows FROM quality.data_quality_metrics "
            "WHERE asset = 'raw_surveys' ORDER BY ALL"
        )
        assert dict(connection.sql(checks).fetchall())["answer_is_on_the_scale"] == 1
