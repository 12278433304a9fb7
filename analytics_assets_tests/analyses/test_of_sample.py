"""The analyses of the sample, against what pandas makes of the raw rows."""

import re

import pytest

from analytics_assets_tests.analyses import cohorts_oracle, growth_oracle, ltv_oracle
from analytics_assets_tests.conftest import REPOSITORY, Project

pytestmark = pytest.mark.slow


def test_growth(built_project: Project) -> None:
    growth_oracle.assert_as_recomputed(built_project)


def test_cohorts(built_project: Project) -> None:
    cohorts_oracle.assert_as_recomputed(built_project)


def test_ltv_curves(built_project: Project) -> None:
    ltv_oracle.assert_as_recomputed(built_project)


def test_the_queries_of_the_page_have_rows(built_project: Project) -> None:
    page = (REPOSITORY / "docs" / "analyses.md").read_text(encoding="utf-8")
    queries = re.findall(r"^```sql\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(queries) >= 4
    for query in queries:
        assert built_project.query(query), query
