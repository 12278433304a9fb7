"""Readers while builds are published, and while a publish is killed: always one whole build."""

import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import POINTER, current_build, open_build, publish
from analytics_assets_tests.rows import insert

pytestmark = pytest.mark.slow

BUILDS = 100
PUBLISHES = """
    import sys
    from pathlib import Path
    from analytics_assets.warehouse.connection import Warehouse
    from analytics_assets.warehouse.publish import publish
    from analytics_assets_tests.faults.test_readers import add

    warehouse, published = Warehouse(Path(sys.argv[1])), Path(sys.argv[2])
    for _ in range(int(sys.argv[3])):
        add(warehouse)
        publish(warehouse, published, 2)
        print("published", flush=True)
"""


def add(warehouse: Warehouse) -> None:
    """A customer and the scores, in one transaction: in each build there are as many of both."""
    with warehouse.transaction() as session:
        insert(session, "dim_customers", {"customer_id": "more"})
        insert(session, "churn_predictions", {"customer_id": "more"})


def answer(published: Path) -> tuple[int, int]:
    with open_build(current_build(published)) as session:
        first = session.count("core.dim_customers")
        time.sleep(0.005)  # a publish may come between two queries of a reader
        return first, session.count("churn.churn_predictions")


def start(warehouse: Warehouse, published: Path, builds: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-c", textwrap.dedent(PUBLISHES)),
            *(str(warehouse.path), str(published), str(builds)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def filled(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path / "warehouse.duckdb")
    warehouse.prepare()
    add(warehouse)
    return warehouse


def test_across_a_hundred_builds_each_answer_is_of_one(filled: Warehouse, tmp_path: Path) -> None:
    published = tmp_path / "published"
    publish(filled, published, 2)
    seen = set()
    with start(filled, published, BUILDS) as process:
        while process.poll() is None:
            customers, scores = answer(published)
            assert customers == scores
            seen.add(customers)
    assert process.returncode == 0
    assert answer(published) == (BUILDS + 1, BUILDS + 1)
    assert len(seen) > BUILDS / 10  # the reader was there meanwhile


def test_killed_at_random_moments_a_whole_build_is_there(filled: Warehouse, tmp_path: Path) -> None:
    published = tmp_path / "published"
    publish(filled, published, 2)
    moments = random.Random(1)
    for _ in range(4):
        before = answer(published)[0]
        with start(filled, published, 1000) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "published\n"
            time.sleep(moments.uniform(0, 0.4))
            process.kill()
            acknowledged = before + 1 + len(process.stdout.read().splitlines())
        customers, scores = answer(published)
        assert customers == scores
        assert customers >= acknowledged
    build = publish(filled, published, 2)
    left = {path.name for path in published.iterdir()}
    assert build.path.parent.name in left
    assert not [name for name in left if name.startswith(".building")] or len(left) <= 4
    assert POINTER in left
