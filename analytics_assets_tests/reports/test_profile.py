"""The HTML page of a table: exact figures, changes, and no personal value or network in it."""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from analytics_assets.cli import main
from analytics_assets.reports import profile
from analytics_assets.reports.profile import (
    HIDDEN,
    count_figures,
    list_changes,
    read_figures,
    write_profile,
)
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets_tests.conftest import HORIZON_DAYS, Project
from analytics_assets_tests.rows import insert

MADE = datetime(2024, 3, 1, 12)
CUSTOMERS, LINES = TABLES["raw_customers"], TABLES["fact_orders"]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def customers(connection: duckdb.DuckDBPyConnection) -> None:
    people = [
        {
            "customer_id": f"C{n}",
            "email": f"canary{n}@example.com",
            "first_name": "Canaria",
            "last_name": None if n % 2 else "Canary",
            "country": "DE" if n % 4 else "FR",
            "source_row": n + 1,
        }
        for n in range(40)
    ]
    insert(connection, "raw_customers", *people)


def test_figures_are_exact_and_without_personal_values(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    customers(connection)
    figures = count_figures(DuckDBSession(connection), CUSTOMERS, MADE)
    assert figures.rows == 40
    assert figures.columns["country"].categories == {"DE": 30, "FR": 10}
    assert figures.columns["last_name"].nulls == 20
    row = figures.columns["source_row"]
    assert (row.least, row.greatest, row.mean) == ("1", "40", 20.5)
    for name in ("email", "first_name", "last_name"):
        column = figures.columns[name]
        assert (column.distinct, column.least, column.categories) == (None, None, {})


def test_a_page_has_no_personal_value_and_needs_no_network(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    customers(connection)
    insert(connection, "rejected_rows", *[{"row": f"canary {n}"} for n in range(30)])
    for name in ("raw_customers", "rejected_rows"):
        write_profile(DuckDBSession(connection), TABLES[name], tmp_path, MADE, seed=7)
        page = (tmp_path / f"{name}.html").read_text()
        assert HIDDEN in page
        for file in tmp_path.iterdir():
            assert "canar" not in file.read_text().lower(), file
        # Nothing is fetched: no element, style or script names an address outside of the page.
        assert not re.findall(r"(?:src|href|action)\s*=\s*[\"']?(?!data:|#)[a-z/.]", page)
        assert not re.findall(r"@import|url\(\s*[\"']?(?!data:|#)", page)
        assert not re.findall(r"\bfetch\(|XMLHttpRequest|import\(|from\s+[\"']http", page)
    page = (tmp_path / "raw_customers.html").read_text()
    assert "40 rows, as of 2024-03-01 12:00 UTC" in page
    assert "DE (75%), FR (25%)" in page
    assert "There is no profile before this one." in page


def test_money_is_a_number_of_all_its_digits(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    prices = [{"product_id": f"P{n}", "list_price": Decimal("1000.5") + n} for n in range(60)]
    insert(connection, "raw_products", *prices)
    write_profile(DuckDBSession(connection), TABLES["raw_products"], tmp_path, MADE, seed=7)
    page = (tmp_path / "raw_products.html").read_text()
    assert "<td class=n>1,030</td>" in page  # the mean
    assert "Float64DType" in page  # with a distribution, unlike an object


def test_the_same_table_and_seed_give_the_same_sample(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    insert(connection, "fact_orders", *[{"order_id": f"O{n}"} for n in range(3000)])

    def sampled(seed: int) -> set[str]:
        page = profile._report(DuckDBSession(connection), LINES, seed)
        return set(re.findall(r"\bO\d+\b", page))

    once = sampled(7)
    connection.execute("CREATE TABLE reversed AS FROM core.fact_orders ORDER BY order_id DESC")
    connection.execute("DELETE FROM core.fact_orders")
    connection.execute("INSERT INTO core.fact_orders FROM reversed")
    assert sampled(7) == once
    assert sampled(8) != once


def test_changes_since_the_last_page_are_listed(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    customers(connection)
    assert write_profile(DuckDBSession(connection), CUSTOMERS, tmp_path, MADE, seed=7) == []
    assert write_profile(DuckDBSession(connection), CUSTOMERS, tmp_path, MADE, seed=7) == []
    page = tmp_path / "raw_customers.html"
    assert "Nothing notable since the profile of 2024-03-01 12:00 UTC." in page.read_text()
    connection.execute("UPDATE raw.raw_customers SET country = 'NL' WHERE country = 'FR'")
    connection.execute("UPDATE raw.raw_customers SET last_name = NULL, city = NULL")
    connection.execute("DELETE FROM raw.raw_customers WHERE source_row > 30")
    assert write_profile(DuckDBSession(connection), CUSTOMERS, tmp_path, MADE, seed=7) == [
        "rows: 40 before, 30 now",
        "last_name: missing in 50.0% before, in 100.0% now",
        "country: NL is new",
        "country: FR is gone",
        "city: missing in 0.0% before, in 100.0% now",
        "source_row: mean 20.5 before, 15.5 now",
    ]
    assert "country: NL is new" in page.read_text()


def test_new_and_missing_columns_and_changed_types_are_listed(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    customers(connection)
    now = count_figures(DuckDBSession(connection), CUSTOMERS, MADE)
    columns = dict(now.columns)
    columns["old"] = columns.pop("city")
    columns["country"] = replace(columns["country"], type="BLOB")
    before = replace(now, columns=columns)
    assert list_changes(before, now) == [
        "old: no longer there",
        "country: BLOB before, TEXT now",
        "city: new",
    ]


@pytest.mark.parametrize("content", ["", "{", "{}", '{"made": "", "rows": 1, "columns": {"a": 1}}'])
def test_figures_that_cannot_be_read_are_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    assert read_figures(tmp_path / "x.json") is None
    assert read_figures(tmp_path / "missing.json") is None


def test_an_empty_table_has_a_page(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    insert(connection, "churn_model")
    write_profile(DuckDBSession(connection), TABLES["churn_model"], tmp_path, MADE, seed=7)
    assert "No rows." in (tmp_path / "churn_model.html").read_text()


@pytest.mark.slow
def test_the_command_draws_a_page_for_each_table_and_its_asset_links_to_it(
    copied_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The plots take half a minute, and are tested above.
    monkeypatch.setattr(profile, "_report", lambda *_: "<p>sample</p>")
    project = copied_project
    environment = {
        "ANALYTICS_HOME": str(project.settings.home),
        "ANALYTICS_CHURN_HORIZON_DAYS": str(HORIZON_DAYS),
    }
    result = CliRunner().invoke(main, ["profile"], env=environment)
    assert result.exit_code == 0, result.output
    graph = project.definitions().resolve_asset_graph()
    groups = ("raw", "core", "marts", "churn")
    linked = set()
    for key in graph.executable_asset_keys:
        node = graph.get(key)
        if (
            node.group_name in groups
            and node.is_materializable
            and not TABLES[key.path[-1]].is_view
        ):
            page = Path(str(node.metadata["profile"].value))
            assert page.is_file(), page
            linked.add(str(page))
    assert linked <= set(result.output.split())
    address = re.compile(r"[a-z.]+\d+@example\.(?:com|org|net)")
    for file in project.settings.profiles_dir.iterdir():
        assert not address.search(file.read_text()), file
