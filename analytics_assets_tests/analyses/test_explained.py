"""The marts on sales and repeat purchase, against what pandas makes of the raw rows."""

import re

import duckdb
import pytest

from analytics_assets.schemas.explained import SALES_DIMENSIONS
from analytics_assets.schemas.repeat import REPEAT_DAYS
from analytics_assets_tests.analyses import explained_oracle as oracle
from analytics_assets_tests.analyses.repeat_oracle import assert_marts
from analytics_assets_tests.conftest import REPOSITORY, Project
from analytics_assets_tests.dbt.conftest import Warehouse, built_warehouse

__all__ = ["built_warehouse"]


def test_the_dimensions_are_those_of_the_model() -> None:
    macro = (REPOSITORY / "dbt_project" / "macros" / "sales.sql").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^        '(\w+)': '", macro, re.MULTILINE)) == SALES_DIMENSIONS


def test_the_days_are_those_of_the_model() -> None:
    macro = (REPOSITORY / "dbt_project" / "macros" / "repeat.sql").read_text(encoding="utf-8")
    assert f"return({list(REPEAT_DAYS)})" in macro


@pytest.mark.slow
def test_of_the_sample(built_project: Project) -> None:
    with built_project.warehouse.read() as session:
        assert_marts(session.frame, built_project.settings)


@pytest.mark.slow
def test_with_refunds_costs_and_channels(built_warehouse: Warehouse) -> None:
    with duckdb.connect(str(built_warehouse.path), read_only=True) as connection:

        def frame(sql: str):  # type: ignore[no-untyped-def]
            return connection.execute(sql).df()

        lines = oracle.order_lines(frame)
        assert lines["is_refund"].any() and lines["cost"].any() and lines["discount"].any()
        assert lines["channel"].nunique() == 3
        assert_marts(frame)


@pytest.mark.slow
def test_the_queries_of_the_page_have_rows(built_project: Project) -> None:
    page = (REPOSITORY / "docs" / "analyses.md").read_text(encoding="utf-8")
    queries = re.findall(r"^```sql\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(queries) == len(re.findall(r"^## ", page, re.MULTILINE))
    for query in queries:
        assert built_project.query(query), query
