"""Rows of tables: every filter, sort, page and format gives the rows that SQL gives."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics_assets.api.columns import Column, columns_of, readable_tables
from analytics_assets.api.query import WORDS
from analytics_assets.quoting import literal
from analytics_assets.schemas import TABLES, Table
from analytics_assets.settings import Settings

from .conftest import Client, publish_rows
from .rows import HOSTILE

Rows = list[tuple[Any, ...]]
Query = Callable[[str], Rows]
FORMATS = {
    "json": "application/json",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
# Of every type, with nulls, ties, keys of one and of several columns.
TABLE_NAMES = (
    *("user_analytics", "customer_sales", "churn_drift", "fact_orders"),
    *("data_quality_metrics", "dim_customers", "churn_predictions"),
)
SIGNS = {"": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@pytest.fixture(scope="module")
def reader(published: Settings) -> Iterator[TestClient]:
    from analytics_assets.api.app import create_app

    with TestClient(create_app(published), "http://localhost") as client:
        yield client


def written(column: Column, value: Any) -> str:
    """A value as a URL has it."""
    match value:
        case bool():
            return str(value).lower()
        case datetime() | date():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
    return str(value)


def sql_literal(value: Any) -> str:
    match value:
        case bool() | int():
            return str(value)
        case float():
            return f"{value!r}::DOUBLE"
        case Decimal():
            return f"{value:f}::DECIMAL(18,4)"
        case datetime():
            return f"TIMESTAMP '{value.isoformat(' ')}'"
        case date():
            return f"DATE '{value}'"
    return literal(value)


def values_of(column: Column) -> st.SearchStrategy[Any]:
    if column.choices:
        return st.sampled_from(column.choices)
    return {
        "text": st.sampled_from(HOSTILE) | st.sampled_from(["C000007", "C0001", "feature 3", "zz"]),
        "integer": st.integers(-2, 40),
        "decimal": st.integers(-1000, 7000).map(lambda n: Decimal(n) / 1000),
        "double": st.integers(0, 49).map(lambda n: n / 49.0) | st.just(0.5),
        "boolean": st.booleans(),
        "date": st.integers(0, 100).map(
            lambda n: date.fromordinal(date(2024, 1, 1).toordinal() + n)
        ),
        "timestamp": st.integers(0, 1000).map(lambda n: datetime(2024, 1, 1, 0, n // 60, n % 60)),  # noqa: DTZ001
    }[column.kind]


@st.composite
def requests(draw: st.DrawFn) -> tuple[Table, list[Column], list[tuple[str, str]], str, str]:
    """A table, the columns of the answer, the parameters, and the same as SQL."""
    table = TABLES[draw(st.sampled_from(TABLE_NAMES))]
    declared = [*columns_of(table).values()]
    chosen = draw(st.lists(st.sampled_from(declared), unique_by=lambda c: c.name, max_size=5))
    pairs, where = [], []
    for column in draw(st.lists(st.sampled_from(declared), max_size=3)):
        operator = draw(st.sampled_from(column.operators))
        name = f"{column.name}__{operator}" if operator else column.name
        if operator == "is_null":
            value = draw(st.booleans())
            pairs.append((name, str(value).lower()))
            where.append(f"{column.name} IS {'' if value else 'NOT '}NULL")
        elif operator == "in":
            values = draw(st.lists(values_of(column), min_size=1, max_size=4))
            line = io.StringIO()
            csv.writer(line).writerow([written(column, v) for v in values])
            pairs.append((name, line.getvalue().removesuffix("\r\n")))
            where.append(f"{column.name} IN ({', '.join(map(sql_literal, values))})")
        elif operator == "prefix":
            text = draw(st.sampled_from(["C", "C0000", "=", "f", "Z", "%", "_"]))
            pairs.append((name, text))
            where.append(f"substr({column.name}, 1, {len(text)}) = {literal(text)}")
        else:
            value = draw(values_of(column))
            pairs.append((name, written(column, value)))
            where.append(f"{column.name} {SIGNS[operator]} {sql_literal(value)}")
    order = []
    sort = draw(st.lists(st.sampled_from(declared), unique_by=lambda c: c.name, max_size=3))
    descends = [draw(st.booleans()) for _ in sort]
    if sort:
        text = ",".join(f"{'-' * d}{c.name}" for c, d in zip(sort, descends, strict=True))
        pairs.append(("sort", text))
    order = [f"{c.name}{' DESC' * d} NULLS LAST" for c, d in zip(sort, descends, strict=True)]
    if chosen:
        pairs.append(("columns", ",".join(column.name for column in chosen)))
    answered = chosen or declared
    sql = (
        f"SELECT {', '.join(c.name for c in answered)} FROM {table.relation} "
        f"WHERE {' AND '.join(where) or 'TRUE'} "
        f"ORDER BY {', '.join([*order, *(f'{k} NULLS LAST' for k in table.key), 'rowid'])}"
    )
    return table, answered, pairs, sql, draw(st.sampled_from([*FORMATS]))


def comparable(rows: Rows) -> list[list[Any]]:
    """NaN equals itself."""
    return [["NaN" if v != v else v for v in row] for row in rows]


def of_json(column: Column, value: Any) -> Any:
    if value is None:
        return None
    match column.kind:
        case "decimal":
            assert isinstance(value, str)
            return Decimal(value)
        case "date":
            return date.fromisoformat(value)
        case "timestamp":
            assert value.endswith("Z")
            return datetime.fromisoformat(value).replace(tzinfo=None)
        case "double":
            return float(value)
    return value


def of_csv(column: Column, text: str) -> Any:
    if text == "" and column.kind != "text":
        return None
    match column.kind:
        case "integer":
            return int(text)
        case "boolean":
            return text == "true"
        case "text":
            # The apostrophe that keeps a formula from being one.
            return text[1:] if text[:1] == "'" and text[1:2] in ("=", "+", "-", "@", "\t") else text
    return of_json(column, text)


def rows_of(form: str, content: bytes, columns: list[Column]) -> Rows:
    names = [column.name for column in columns]
    if form == "json":
        found = json.loads(content)["rows"]
        assert all([*row] == names for row in found)
        return [tuple(of_json(c, row[c.name]) for c in columns) for row in found]
    if form == "csv":
        head, *lines = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        assert head == names
        return [tuple(of_csv(c, v) for c, v in zip(columns, line, strict=True)) for line in lines]
    if form == "arrow":
        table = pa.ipc.open_stream(content).read_all()
    else:
        table = pq.read_table(io.BytesIO(content))
    assert table.column_names == names
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.slow
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(request=requests(), limit=st.sampled_from([1, 7, 100, 1000, 10000]), moves=st.integers(1, 6))
def test_any_request_gives_the_rows_that_sql_gives(
    reader: TestClient, build_rows: Query, request: Any, limit: int, moves: int
) -> None:
    table, columns, pairs, sql, form = request
    expected = comparable(build_rows(sql))
    place = 0
    cursor: list[tuple[str, str]] = []
    for _ in range(moves):
        url = f"/v1/tables/{table.name}?{urlencode([*pairs, ('limit', str(limit)), *cursor])}"
        answer = reader.get(url, headers={"Accept": FORMATS[form]})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith(FORMATS[form])
        rows = comparable(rows_of(form, answer.content, columns))
        wanted = expected[place : place + limit]
        if form == "csv":  # a null and an empty text are told apart by quotes, which csv drops
            wanted = [
                [
                    "" if v is None and c.kind == "text" else v
                    for v, c in zip(r, columns, strict=True)
                ]
                for r in wanted
            ]
        assert rows == wanted, url
        place += limit
        following = answer.headers.get("x-next-cursor")
        assert (following is not None) == (place < len(expected))
        if form == "json":
            assert answer.json()["next"] == following
        if following is None:
            break
        assert answer.headers["link"].startswith(f"</v1/tables/{table.name}?")
        cursor = [("cursor", following)]


def test_links_lead_through_the_whole_table(reader: TestClient, build_rows: Query) -> None:
    url: str | None = "/v1/tables/customer_sales?limit=250&sort=-margin_amount&lines__lt=25"
    found: list[tuple[str, str]] = []
    while url:
        answer = reader.get(url)
        found += [(row["customer_id"], row["month"]) for row in answer.json()["rows"]]
        url = answer.links["next"]["url"] if "next" in answer.links else None
    assert found == [
        (customer, str(month))
        for customer, month in build_rows(
            "SELECT customer_id, month FROM marts.customer_sales WHERE lines < 25 "
            "ORDER BY margin_amount DESC NULLS LAST, customer_id, month"
        )
    ]


def test_a_formula_is_a_text_in_csv(reader: TestClient) -> None:
    answer = reader.get(
        "/v1/tables/fact_orders?columns=channel,quantity&limit=1500", headers={"Accept": "text/csv"}
    )
    cells = [line[0] for line in csv.reader(io.StringIO(answer.text, newline=""))]
    assert {"'=1+1", "'+1", "'-1", "'@cmd", "'\tx", 'a"b', "a,b", "line\nbreak"} <= set(cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t"))]
    assert "\r\n-0.7143" not in answer.text
    # A number below 0 stays one; a null is an empty cell, an empty text has quotes.
    assert ",-0.7143\r\n" in answer.text
    assert '\r\n"",' in answer.text
    assert "\r\n," in answer.text
    # But not alone in its line: most programs would skip it.
    alone = reader.get("/v1/tables/fact_orders?columns=tax", headers={"Accept": "text/csv"})
    assert '\r\n""\r\n' in alone.text
    assert "\r\n\r\n" not in alone.text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/html, */*;q=0.1", "application/json"),
        ("application/json;q=0.2, text/csv;q=0.9", "text/csv"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("TEXT/CSV", "text/csv"),
    ],
)
def test_accept_chooses_the_format(reader: TestClient, accept: str, expected: str) -> None:
    answer = reader.get("/v1/tables/dim_date?limit=2", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(expected)


def test_an_answer_is_known_by_its_etag(reader: TestClient) -> None:
    url = "/v1/tables/user_analytics?limit=5"
    first = reader.get(url)
    etag = first.headers["etag"]
    for header in (etag, f'"other", W/{etag}'):
        again = reader.get(url, headers={"If-None-Match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    for other, accept in ((f"{url}&sort=segment", "*/*"), (url, "text/csv")):
        answer = reader.get(other, headers={"If-None-Match": etag, "Accept": accept})
        assert answer.status_code == 200
        assert answer.headers["etag"] != etag


def test_a_publish_within_a_scroll_mixes_nothing(home: Settings, client: TestClient) -> None:
    url = "/v1/tables/user_analytics?columns=customer_id,net_amount&limit=100"
    before = [row for page in _pages(client, url) for row in page["rows"]]
    first = client.get(url).json()
    publish_rows(home, seed=8)
    after = [row for page in _pages(client, url) for row in page["rows"]]
    assert before != after
    pages = [first, *_pages(client, f"{url}&cursor={first['next']}")]
    assert {page["build"] for page in pages} == {"000001"}
    assert [row for page in pages for row in page["rows"]] == before
    pinned = client.get(f"{url}&build=000001").json()
    assert pinned["rows"] == first["rows"]


def test_a_build_that_is_gone_says_so(home: Settings, client: TestClient) -> None:
    url = "/v1/tables/user_analytics?limit=100"
    cursor = client.get(url).json()["next"]
    for seed in range(home.published_builds):
        publish_rows(home, seed=10 + seed)
        assert client.get(url).json()["build"] == f"{seed + 2:06d}"
    for gone in (f"{url}&cursor={cursor}", f"{url}&build=000001", f"{url}&build=999999"):
        answer = client.get(gone)
        assert answer.status_code == 410
        assert "Start again" in answer.json()["detail"]
    assert client.app.state.service.builds.open_builds <= 3  # type: ignore[attr-defined]


def test_a_build_of_the_same_number_is_another(home: Settings, client_of: Client) -> None:
    """Where somebody has removed the published folder, numbers begin again."""
    url = "/v1/tables/user_analytics?limit=100"
    first = client_of(home).get(url)
    pointer = home.published_dir / "CURRENT"
    import shutil

    shutil.rmtree(home.published_dir)
    publish_rows(home, seed=11)
    assert pointer.read_text().startswith("000001/")
    client = client_of(home)
    again = client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 200
    assert client.get(f"{url}&cursor={first.json()['next']}").status_code == 410


def test_the_list_has_what_the_build_has(reader: TestClient, build_rows: Query) -> None:
    listed = {table["name"]: table for table in reader.get("/v1/tables").json()["tables"]}
    assert {"user_analytics", "churn_by_contract"} <= listed.keys()
    assert "fact_user_sessions" not in listed  # declared, but nothing supplies it
    for name, table in listed.items():
        assert [column["name"] for column in table["columns"]] == TABLES[name].columns
        assert [(table["rows"],)] == build_rows(f"SELECT count(*) FROM {TABLES[name].relation}")
    answer = reader.get("/v1/tables/fact_user_sessions")
    assert answer.status_code == 404
    assert "nothing supplies it" in answer.json()["detail"]


def test_no_column_is_named_like_a_word_of_the_query() -> None:
    for table in readable_tables().values():
        assert not {*WORDS} & {*table.columns}
        assert not [name for name in table.columns if "__" in name]


def test_times_have_a_zone(reader: TestClient) -> None:
    url = "/v1/tables/dim_customers?columns=registered_at&limit=300"
    at = "2024-01-01T01:05:00+01:00"
    answer = reader.get(f"{url}&{urlencode({'registered_at__gte': at})}")
    found = [row["registered_at"] for row in answer.json()["rows"]]
    assert found
    assert min(map(datetime.fromisoformat, found)) >= datetime(2024, 1, 1, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("table", ["user_analytics", "dim_customers", "dim_products"])
def test_a_row_looked_up_is_the_row_of_the_table(reader: TestClient, table: str) -> None:
    (key,) = TABLES[table].key
    rows = reader.get(f"/v1/tables/{table}?limit=300").json()["rows"]
    assert len(rows) == (200 if table == "dim_products" else 300)
    for row in rows:
        found = reader.get(f"/v1/tables/{table}?{urlencode({key: row[key]})}").json()
        assert found == {"build": "000001", "rows": [row], "next": None}
    nobody = reader.get(f"/v1/tables/{table}?{key}=nobody").json()
    assert nobody == {"build": "000001", "rows": [], "next": None}


def _pages(client: TestClient, url: str) -> Iterator[dict[str, Any]]:
    following: str | None = url
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.text
        yield answer.json()
        following = answer.links["next"]["url"] if "next" in answer.links else None
