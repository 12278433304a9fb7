"""Wrong and malicious requests: each is refused with a clear status, and nothing is given away."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from analytics_assets.api.app import create_app
from analytics_assets.api.keys import Keys
from analytics_assets.api.service import api_folder
from analytics_assets.settings import Settings

SALES, CUSTOMERS = "/v1/tables/customer_sales", "/v1/tables/user_analytics"
LONG = "a" * 1001
# What an answer to a refused request may not contain: SQL, paths, libraries, values.
LEAKS = ("SELECT", "FROM ", "duckdb", "Binder", "Traceback", 'File "', "/home", "rowid", "C000001")

# Of a caller with all scopes.
REFUSED: list[tuple[str, int]] = [
    # injections, as values, names, operators and lists
    (f"{SALES}?customer_id__prefix=", 400),
    (f"{SALES}?lines=1 OR 1=1", 400),
    (f"{SALES}?lines=1;DROP TABLE marts.customer_sales", 400),
    (f"{SALES}?net_amount=1 UNION SELECT 1", 400),
    (f"{SALES}?month='2024-01-01'--", 400),
    (f"{SALES}?1=1", 400),
    (f'{SALES}?lines"=1', 400),
    (f"{SALES}?lines) OR (1=1", 400),
    (f"{SALES}?customer_id__like=%25", 400),
    (f"{SALES}?lines__=1", 400),
    (f"{SALES}?lines__gt__lt=1", 400),
    (f"{SALES}?columns=*", 400),
    (f"{SALES}?columns=count(*)", 400),
    (f"{SALES}?columns=lines,", 400),
    (f"{SALES}?columns=", 400),
    (f"{SALES}?columns=lines,lines", 400),
    (f"{SALES}?columns=rowid", 400),
    (f"{SALES}?columns=(SELECT 1)", 400),
    (f"{SALES}?sort=lines desc", 400),
    (f"{SALES}?sort=random()", 400),
    (f"{SALES}?sort=--lines", 400),
    (f"{SALES}?sort=lines,-lines", 400),
    (f"{SALES}?sort=1", 400),
    (f"{SALES}?sort=", 400),
    # types and sizes
    (f"{SALES}?lines=1.5", 400),
    (f"{SALES}?lines=9223372036854775808", 400),
    (f"{SALES}?lines=١٢", 400),
    (f"{SALES}?lines=0x10", 400),
    (f"{SALES}?net_amount=1e5", 400),
    (f"{SALES}?net_amount=1.23456", 400),
    (f"{SALES}?net_amount=999999999999999", 400),
    (f"{SALES}?net_amount=NaN", 400),
    (f"{SALES}?net_amount=1,5", 400),
    (f"{SALES}?month=2024-13-01", 400),
    (f"{SALES}?month=2024-02-30", 400),
    (f"{SALES}?month=today", 400),
    (f"{SALES}?month__is_null=maybe", 400),
    (f"{SALES}?customer_id={LONG}", 400),
    (f"{SALES}?customer_id=a%00b", 400),
    (f"{SALES}?customer_id=%ff%fe", 400),
    (f"{SALES}?lines__in={','.join(['1'] * 501)}", 400),
    (f'{SALES}?customer_id__in="a', 400),
    (f"{SALES}?customer_id__in=a%0Ab", 400),
    (f"{SALES}?{'&'.join(['lines=1'] * 201)}", 400),
    (f"{SALES}?{'&'.join(['lines=1'] * 251)}", 400),
    (f"{SALES}?customer_id={'a' * 17000}", 414),
    (f"{SALES}?limit=0", 400),
    (f"{SALES}?limit=-1", 400),
    (f"{SALES}?limit=10001", 400),
    (f"{SALES}?limit=1e3", 400),
    (f"{SALES}?limit=5&limit=6", 400),
    (f"{CUSTOMERS}?segment=champion", 400),
    (f"{CUSTOMERS}?r_score=6", 400),
    (f"{CUSTOMERS}?return_share=inf", 400),
    (f"{CUSTOMERS}?return_share=1_000", 400),
    # columns and tables that are none
    (f"{CUSTOMERS}?email=a", 400),
    (f"{CUSTOMERS}?nothing__gt=1", 400),
    ("/v1/tables/raw_customers", 404),
    ("/v1/tables/stg_orders", 404),
    ("/v1/tables/churn_outcomes", 404),
    ("/v1/tables/duckdb_tables", 404),
    ("/v1/tables/marts.user_analytics", 404),
    ("/v1/tables/user_analytics;--", 404),
    ("/v1/tables/USER_ANALYTICS", 404),
    ("/v1/tables/fact_user_sessions", 404),
    # tricks with paths
    ("/v1/tables/../../etc/passwd", 404),
    ("/v1/tables/..%2f..%2fkeys.json", 404),
    ("/v1/tables/%2e%2e", 404),
    ("/v1/tables/user_analytics%00", 404),
    ("//v1/tables", 404),
    ("/v1/tables/", 404),
    ("/published/CURRENT", 404),
    ("/docs", 404),
    ("/v1/live/", 404),
    ("/v1/live?customer=C1", 400),
    # builds and cursors
    (f"{SALES}?build=../000001", 400),
    (f"{SALES}?build=1", 400),
    (f"{SALES}?build=000099", 410),
    (f"{SALES}?cursor=", 400),
    (f"{SALES}?cursor=abc", 400),
    (f"{SALES}?cursor=ä", 400),
    (f"{SALES}?cursor={base64.urlsafe_b64encode(b'0' * 16 + b'000001 x y 5').decode()}", 400),
    # questions
    ("/v1/customers/nobody", 404),
    ("/v1/customers/' OR 1=1 --", 404),
    (f"/v1/customers/{LONG}", 404),
    ("/v1/customers/a%00b", 404),
    ("/v1/customers/C000001?fields=all", 400),
    ("/v1/customers", 404),
    ("/v1/cohorts?month=1", 400),
    ("/v1/summary?debug=1", 400),
    ("/v1/quality?since=yesterday", 400),
    ("/v1/quality?asset=sqlite_master", 400),
    ("/v1/quality?since=2024-01-01&since=2024-01-02", 400),
    ("/metrics?name[]=x", 400),
]


@pytest.fixture(scope="module")
def guarded(published: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An API with keys, and a function that makes one."""
    import shutil

    from ..conftest import make_settings

    settings = make_settings(tmp_path_factory.mktemp("guarded"))
    shutil.copytree(published.published_dir, settings.published_dir)
    keys = Keys(api_folder(settings))
    keys.create("first", ["read:*"])
    with TestClient(create_app(settings), "http://localhost", raise_server_exceptions=False) as c:

        def ask(url: str, *scopes: str, method: str = "GET", **options: Any) -> Any:
            headers = {**options.pop("headers", {})}
            if scopes:
                headers["Authorization"] = f"Bearer {keys.create('test', [*scopes], rate=0)}"
            return c.request(method, url, headers=headers, **options)

        yield ask


def assert_refused(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert len(problem["detail"]) > 20  # it says what to do
    assert not [leak for leak in LEAKS if leak in answer.text]
    assert "etag" not in answer.headers


@pytest.mark.parametrize(("url", "status"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_wrong_request_is_refused(guarded: Any, url: str, status: int) -> None:
    assert_refused(guarded(url, "read:*", "personal", "metrics"), status)


def test_there_are_at_least_sixty() -> None:
    assert len({url for url, _ in REFUSED}) == len(REFUSED) >= 60


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_tables_are_only_read(guarded: Any, method: str) -> None:
    answer = guarded(SALES, "read:*", method=method)
    assert_refused(answer, 405)
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer aa_00000000_" + "x" * 43},
        {"Authorization": "Bearer aa_" + "x" * 9000},
        {"Authorization": "Bearer ../../keys.json"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0."},
        {"Authorization": "Basic YWRtaW46YWRtaW4="},
        {"X-API-Key": "aa_00000000_" + "x" * 43},
        {"Authorization": "Bearer \xff\xfe"},
    ],
    ids=str,
)
@pytest.mark.parametrize("url", [SALES, "/v1/tables", "/metrics", "/openapi.json", "/nowhere"])
def test_without_a_key_nothing_is_answered(guarded: Any, url: str, headers: dict[str, str]) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = guarded(url, headers=encoded)
    assert_refused(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


SNAPSHOT = "read:user_analytics"


@pytest.mark.parametrize(
    ("url", "scopes"),
    [
        (SALES, (SNAPSHOT, "personal")),
        (CUSTOMERS, ("personal",)),
        (CUSTOMERS, ("predict",)),
        # A column that is not in the scopes can neither be seen, nor filtered or sorted by.
        (f"{CUSTOMERS}?columns=net_amount", ("read:user_analytics.segment",)),
        (f"{CUSTOMERS}?net_amount__gt=5", ("read:user_analytics.segment",)),
        (f"{CUSTOMERS}?sort=net_amount", ("read:user_analytics.segment",)),
        # Nor can a personal one.
        (f"{CUSTOMERS}?columns=customer_id", (SNAPSHOT,)),
        (f"{CUSTOMERS}?customer_id=C000001", (SNAPSHOT,)),
        (f"{CUSTOMERS}?customer_id__prefix=C", ("read:*",)),
        (f"{CUSTOMERS}?sort=-customer_id", ("read:*",)),
        ("/v1/tables/dim_customers?city=X", ("read:*",)),
        ("/v1/customers/C000001", ("read:*",)),
        ("/v1/customers/C000001", ("read:customer_sales", "personal")),
        ("/v1/customers/C000001", ("read:user_analytics.segment", "personal")),
        ("/v1/cohorts", (SNAPSHOT,)),
        ("/v1/cohorts", ("read:customer_cohort_analysis.retention_rate",)),
        ("/v1/summary", ("read:dim_date",)),
        ("/v1/churn/by-contract", (SNAPSHOT,)),
        ("/v1/quality", (SNAPSHOT,)),
        ("/metrics", ("read:*", "personal", "predict")),
        ("/v1/live", ("personal", "predict", "metrics", SNAPSHOT)),
    ],
)
def test_what_the_scopes_do_not_allow_is_refused(
    guarded: Any, url: str, scopes: tuple[str, ...]
) -> None:
    answer = guarded(url, *scopes)
    assert_refused(answer, 403)
    assert "scope" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"records": []}', 422),
        (b'{"records": [1]}', 422),
        (b'{"records": [{}], "more": 1}', 422),
        (b'{"records": [' + b"{}," * 1000 + b"{}]}", 422),
        (b"[" * 100_000, 400),
        (b" " * 1_000_001, 413),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_record_is_refused(guarded: Any, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/json"}
    answer = guarded("/v1/predictions", "predict", method="POST", content=body, headers=headers)
    assert_refused(answer, status)


def test_predictions_need_their_scope_and_json(guarded: Any) -> None:
    options: dict[str, Any] = {"method": "POST", "content": b'{"records": [{}]}'}
    assert_refused(guarded("/v1/predictions", "read:*", **options), 403)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = guarded(
            "/v1/predictions", "predict", headers={"Content-Type": media_type}, **options
        )
        assert_refused(answer, 415)
    assert_refused(guarded("/v1/predictions", "predict"), 405)


def test_a_type_that_is_none_of_ours(guarded: Any) -> None:
    for accept in ("text/html", "image/*", "application/json;q=0", "x", ";;", "*/*;q=0"):
        assert_refused(guarded(SALES, "read:*", headers={"Accept": accept}), 406)


def test_a_cursor_goes_with_its_query_and_nothing_else(guarded: Any) -> None:
    url = f"{SALES}?limit=10&lines__gt=5&columns=lines,net_amount"
    cursor = guarded(url, "read:*").json()["next"]
    assert guarded(f"{url}&cursor={cursor}", "read:*").status_code == 200
    assert guarded(f"{url}&cursor={cursor}".replace("limit=10", "limit=99"), "read:*").is_success
    for other in (
        url.replace("gt=5", "gt=6"),
        url.replace("lines,net", "orders,net"),
        f"{url}&sort=-lines",
        url.replace("customer_sales", "customer_days"),
    ):
        assert_refused(guarded(f"{other}&cursor={cursor}", "read:*"), 400)
    assert_refused(guarded(f"{url}&cursor={cursor}&build=000002", "read:*"), 400)
    # Not of another caller's columns, either.
    assert_refused(guarded(f"{url}&cursor={cursor}", "read:customer_sales.lines"), 403)
    for place in range(0, len(cursor), 7):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        assert_refused(guarded(f"{url}&cursor={changed}", "read:*"), 400)


def test_a_cursor_has_no_value_of_the_data(guarded: Any) -> None:
    url = f"{CUSTOMERS}?limit=10&sort=-net_amount"
    cursor = guarded(url, "read:*", "personal").json()["next"]
    text = base64.urlsafe_b64decode(cursor + "==")[16:].decode()
    build, _, _, place = text.split(" ")
    assert build == "000001"
    assert place.isdigit()


def test_narrow_scopes_see_their_columns_alone(guarded: Any) -> None:
    scopes = ("read:user_analytics.segment", "read:user_analytics.net_amount")
    answer = guarded(f"{CUSTOMERS}?limit=3", *scopes).json()
    assert [[*row] for row in answer["rows"]] == [["net_amount", "segment"]] * 3
    (listed,) = guarded("/v1/tables", *scopes).json()["tables"]
    assert [column["name"] for column in listed["columns"]] == ["net_amount", "segment"]
    impersonal = guarded(f"{CUSTOMERS}?limit=1", "read:*").json()["rows"][0]
    assert "customer_id" not in impersonal
    assert "segment" in impersonal
    # Parts of an answer that are not in the scopes are left out.
    found = guarded("/v1/customers/C000001", SNAPSHOT, "personal").json()
    assert {*found} == {"build", "customer_id", "snapshot"}
    assert {*guarded("/v1/summary", SNAPSHOT).json()} == {"build", "customers"}
    two = guarded("/v1/quality", "read:data_quality_scores").json()
    assert "checks" not in two


def test_an_answer_that_is_kept_is_not_given_to_other_scopes(guarded: Any) -> None:
    whole = guarded("/v1/summary", "read:*")
    etag = whole.headers["etag"]
    other = guarded("/v1/summary", SNAPSHOT, headers={"If-None-Match": etag})
    assert other.status_code == 200
    assert {*other.json()} == {"build", "customers"}
    assert guarded("/v1/summary", "read:*", headers={"If-None-Match": etag}).status_code == 304


def test_a_name_of_another_site_is_not_answered_without_keys(client: TestClient) -> None:
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"):
        assert client.get("/v1/tables", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", ""):
        assert_refused(client.get("/v1/tables", headers={"Host": host}), 421)


def test_an_error_nobody_foresaw_gives_nothing_away(
    client: TestClient, home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics_assets.api.questions._summary", lambda *_: 1 / 0, raising=True)
    answer = client.get("/v1/summary")
    assert answer.status_code == 500
    assert "division" not in answer.text
    (log,) = Path(api_folder(home) / "audit").iterdir()
    assert json.loads(log.read_text().splitlines()[-1])["status"] == 500
