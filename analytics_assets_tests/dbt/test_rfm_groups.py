"""The eleven groups of RFM: the macro, the value of stored rows and the table of the docs agree."""

import re
from itertools import product

import duckdb
import pytest

from analytics_assets.schemas.marts import RFM_GROUP_BEFORE, RFM_GROUPS
from analytics_assets_tests.conftest import REPOSITORY

from .conftest import Warehouse

pytestmark = pytest.mark.slow

SCORES = list(product(range(1, 6), repeat=3))


def of_docs() -> dict[tuple[int, int, int], str]:
    """Group of each R, F and M by the table of the page."""
    page = (REPOSITORY / "docs" / "analyses.md").read_text(encoding="utf-8")
    groups = {}
    for first, cells in re.findall(r"^\| R (\d(?: or \d)?) \|(.+)\|$", page, re.MULTILINE):
        for r in map(int, re.findall(r"\d", first)):
            groups |= {(r, fm): name.strip() for fm, name in enumerate(cells.split("|"), start=1)}
    return {(r, f, m): groups[r, (f + m + 1) // 2] for r, f, m in SCORES}


def computed(sql: str) -> dict[tuple[int, int, int], str]:
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"""SELECT r_score, f_score, m_score, {sql} FROM
            (SELECT 1 AS sale_orders, unnest(range(1, 6))::INT AS r_score),
            (SELECT unnest(range(1, 6))::INT AS f_score),
            (SELECT unnest(range(1, 6))::INT AS m_score)"""
        ).fetchall()
    return {(r, f, m): group for r, f, m, group in rows}


def test_every_score_is_in_the_group_that_the_docs_say(built_warehouse: Warehouse) -> None:
    expected = of_docs()
    assert {*expected.values(), "Prospects"} == {*RFM_GROUPS}
    model = built_warehouse.compiled["customer_analytics_daily"]
    (rule,) = re.findall(
        r"case\s+when sale_orders = 0 then 'Prospects'.+?end(?= as rfm_group)", model, re.DOTALL
    )
    assert computed(rule) == expected
    assert computed(RFM_GROUP_BEFORE) == expected


def test_stored_rows_get_the_group_that_they_would_have_been_given(
    built_warehouse: Warehouse,
) -> None:
    ((rows, wrong, prospects),) = built_warehouse.query(
        f"SELECT count(*), count(*) FILTER (rfm_group IS DISTINCT FROM {RFM_GROUP_BEFORE}), "
        "count(*) FILTER (rfm_group = 'Prospects') FROM marts.customer_analytics_daily"
    )
    assert (rows > 100, wrong, prospects > 0) == (True, 0, True)
