"""SQLite files, and several files that a query joins."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest
import yaml

from analytics_assets.sources.changes import source_versions
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourceConfig, SourceConfigError, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.load import DayLoad
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.cases.test_text_files import gross, rejected
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, Source
from analytics_assets_tests.sources.forms import workbook


def configured(source: Source, **orders: Any) -> SourceConfig:
    file = source.folder / "in" / "sources.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    calendar = {"start": JANUARY.start, "end": JANUARY.end}
    file.write_text(yaml.safe_dump({"calendar": calendar, "orders": orders}))
    return load_sources(file).sources["orders"]


def database(source: Source, *statements: str) -> None:
    path = source.folder / "in" / "shop.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


SHOP = (
    "CREATE TABLE orders (order_id INTEGER, ordered_at TEXT, customer_id, product_id TEXT, "
    "quantity INTEGER, unit_price REAL)",
    "INSERT INTO orders VALUES (1, '2024-01-04 09:00:00', 7, 'MUG', 2, 3.5), "
    "(2, '2024-01-05 10:00:00', 'guest-1', 'BOWL', 1, 7.25)",
)


def test_a_sqlite_column_is_what_its_values_are(source: Source) -> None:
    database(source, *SHOP)
    config = configured(source, path="shop.sqlite", table="orders", decimal=",")
    result = source.load(config)
    assert (result.total, config.format) == (DayLoad(2, 2, 0), "sqlite")
    assert source.rows(
        "SELECT order_id, customer_id, quantity, unit_price::VARCHAR, source_file "
        "FROM raw.raw_orders ORDER BY 1"
    ) == [
        ("1", "7", 2, "3.5000", "shop.sqlite: orders"),
        ("2", "guest-1", 1, "7.2500", "shop.sqlite: orders"),
    ]


def test_days_of_a_sqlite_file_have_versions(source: Source) -> None:
    database(source, *SHOP)
    config = configured(source, path="shop.sqlite", query="SELECT * FROM orders")
    before = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    database(source, "UPDATE orders SET quantity = 3 WHERE order_id = 2")
    after = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    assert [str(day) for day in before if before[day] != after[day]] == ["2024-01-05"]
    source.load(config)
    versions = source.rows("SELECT window_date, source_version FROM raw.source_loads")
    assert dict(versions) == after


def test_a_sqlite_file_is_read_only(source: Source) -> None:
    database(source, *SHOP)
    config = configured(source, path="shop.sqlite", query="DELETE FROM orders RETURNING *")
    with pytest.raises(SourceError, match="cannot be read"):
        source.load(config)


def test_a_text_that_is_not_utf_8_is_an_error_without_the_text(source: Source) -> None:
    database(source, *SHOP, "UPDATE orders SET product_id = CAST(x'5A5AFF' AS TEXT)")
    with pytest.raises(SourceError, match="UTF-8") as caught:
        source.load(configured(source, path="shop.sqlite", table="orders"))
    assert "ZZ" not in str(caught.value)


def test_a_file_that_is_no_sqlite_is_an_error(source: Source) -> None:
    source.write("shop.sqlite", "order_id\n1\n")
    with pytest.raises(SourceError, match="file is not a database"):
        source.load(configured(source, path="shop.sqlite", table="orders"))


HEADERS = {
    "orders.csv": "id;bought;customer\n",
    "items.csv": "order_no;sku;qty;price\n",
    "people.csv": "customer;person\n",
}
FILES = {
    "orders.csv": "1;2024-01-04 09:00;a\n2;2024-01-05 10:00;b\n3;2024-01-06 10:00;c\n",
    "items.csv": "1;MUG;2;3.5\n1;BOWL;1;7.25\n2;MUG;1;3.5\n",
    "people.csv": "a;Ann\nb;Ann\nc;Cem\n",
}
QUERY = (
    "SELECT id AS order_id, bought AS ordered_at, person AS customer_id, sku AS product_id, "
    "qty AS quantity, price AS unit_price "
    "FROM items JOIN orders ON items.order_no = orders.id JOIN people USING (customer)"
)
INPUTS = {"orders": "orders.csv", "items": "items.csv", "people": "people.csv"}


def joined(source: Source, **words: Any) -> SourceConfig:
    for name, text in FILES.items():
        path = source.folder / "in" / name
        if not path.exists():
            source.write(name, HEADERS[name] + text)
    return configured(source, **{"inputs": INPUTS, "query": QUERY, "delimiter": ";", **words})


def test_files_are_joined_by_a_query(source: Source) -> None:
    config = joined(source)
    result = source.load(config)
    assert (result.total, result.warnings) == (DayLoad(3, 3, 0), ())
    assert gross(source) == 17.75
    assert source.rows("SELECT DISTINCT customer_id FROM raw.raw_orders") == [("Ann",)]
    report = check_sources(SourcesConfig(CALENDAR, {"orders": config}))[0]
    assert (report.problem, report.rows) == (None, 3)


def test_every_format_can_be_an_input(source: Source) -> None:
    source.write("orders.jsonl", '{"id": 1, "bought": "2024-01-04 09:00", "customer": "a"}\n')
    source.write("people.xlsx", workbook(People=[["customer", "person"], ["a", "Ann"]]))
    source.write("items.tsv", "order_no\tsku\tqty\tprice\n1\tMUG\t2\t3.5\n")
    inputs = {"orders": "orders.jsonl", "items": "items.tsv", "people": "people.xlsx"}
    config = configured(source, inputs=inputs, query=QUERY)
    assert source.load(config).total == DayLoad(1, 1, 0)


def test_a_row_of_a_file_that_cannot_be_cut_is_rejected(source: Source) -> None:
    source.write("items.csv", HEADERS["items.csv"] + "1;MUG\n" + FILES["items.csv"] + "9\n")
    result = source.load(joined(source))
    assert result.total == DayLoad(5, 3, 2)
    found = rejected(source)
    assert found == [(1, 2, "too few fields: 2 for 4 columns", "1;MUG"),
                     (5, 6, "too few fields: 1 for 4 columns", "9")]  # fmt: skip
    assert source.rows("SELECT DISTINCT source_file FROM raw.rejected_rows") == [("items.csv",)]


def test_a_row_of_the_query_that_does_not_fit_is_rejected(source: Source) -> None:
    query = QUERY.replace("qty AS quantity", "qty || 'x' AS quantity")
    result = source.load(joined(source, query=query))
    assert result.total == DayLoad(3, 0, 3)
    assert json.loads(rejected(source)[0][3])["customer_id"] == "Ann"


def test_days_of_joined_files_have_versions(source: Source) -> None:
    config = joined(source)
    before = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    text = FILES["items.csv"].replace("2;MUG;1", "2;MUG;5")
    source.write("items.csv", HEADERS["items.csv"] + text)
    after = source_versions(config, CALENDAR, JANUARY, source.warehouse)
    assert [str(day) for day in before if before[day] != after[day]] == ["2024-01-05"]
    source.load(config)
    versions = source.rows("SELECT window_date, source_version FROM raw.source_loads")
    assert dict(versions) == after


@pytest.mark.parametrize(
    "reach",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT content FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT 1; ATTACH '/tmp/x.duckdb' AS other; SELECT 1",
        "SELECT 1; SET enable_external_access = true; SELECT 1",
        "SELECT 1; COPY orders TO '/tmp/x.csv'; SELECT 1",
        "SELECT 1; INSTALL httpfs; SELECT 1",
        "SELECT getenv('HOME')",
    ],
)
def test_the_query_reaches_nothing_but_the_inputs(source: Source, reach: str) -> None:
    with pytest.raises(SourceError, match="orders: ") as caught:
        source.load(joined(source, query=reach))
    assert "root:" not in str(caught.value)
    assert any(
        word in str(caught.value)
        for word in ("disabled", "Permission", "locked", "does not exist", "Cannot")
    ), caught.value


def test_an_input_by_its_path_is_refused_too(source: Source) -> None:
    path = source.folder / "in" / "orders.csv"
    with pytest.raises(SourceError, match="disabled"):
        source.load(joined(source, query=f"SELECT * FROM read_csv('{path}')"))


def test_a_missing_input_is_an_error(source: Source) -> None:
    with pytest.raises(SourceError, match=r"orders: no file at .*gone\.csv"):
        source.load(joined(source, inputs={**INPUTS, "items": "gone.csv"}))


def test_a_query_that_names_no_column_says_what_there_is(source: Source) -> None:
    with pytest.raises(SourceError, match="the query cannot be run: Binder Error"):
        source.load(joined(source, query="SELECT nothing FROM orders"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"inputs": {"a": "a.csv"}}, "there is no `query`"),
        ({"inputs": {}, "query": "SELECT 1"}, "name at least one file"),
        ({"inputs": {"a b": "a.csv"}, "query": "SELECT 1"}, "cannot be the name of a table"),
        ({"inputs": {"a": "a.csv"}, "query": "x", "path": "a"}, "path: means nothing"),
        ({"inputs": {"a": "a.csv"}, "query": "x", "table": "a"}, "table: means nothing"),
        ({"format": "joined", "query": "x"}, "there is no `inputs`"),
    ],
)
def test_words_of_a_join_are_checked(source: Source, words: Any, error: str) -> None:
    with pytest.raises(SourceConfigError, match=error):
        configured(source, **words)
