"""Keys, tokens, limits, the audit log, metrics and health."""

import asyncio
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from jwt.algorithms import RSAAlgorithm

from analytics_assets.api.keys import KeyFileError, Keys
from analytics_assets.api.limits import Queries, RateLimit
from analytics_assets.api.problems import ProblemError
from analytics_assets.api.service import api_folder
from analytics_assets.api.tokens import Tokens
from analytics_assets.cli import main
from analytics_assets.settings import Settings
from analytics_assets.warehouse.builds import Builds

from ..automation.servers import answer_json, served
from ..conftest import make_settings
from .conftest import Client, publish_rows

URL = "/v1/tables/user_analytics?limit=2"
ISSUER, AUDIENCE = "https://id.example.com", "analytics"
Token = Callable[..., str]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def audit_of(settings: Settings) -> list[dict[str, Any]]:
    (file,) = (api_folder(settings) / "audit").iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


# Keys


def test_a_key_is_made_listed_and_withdrawn_while_the_api_runs(
    home: Settings, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(home.home))

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, ["api-keys", *words])
        assert result.exit_code == 0, result.output
        return result.output.strip()

    assert client.get(URL).status_code == 200
    assert "no keys" in run("list")
    token = run("create", "dashboards", "--scope", "read:user_analytics", "--rate", "100")
    # From the first key on nobody is let in without one, on the loopback either.
    assert client.get(URL).status_code == 401
    assert client.get(URL, headers=bearer(token)).status_code == 200
    key_id = token.split("_")[1]
    assert run("list") == (
        f"{key_id}  dashboards: read:user_analytics, 100 requests a minute; works"
    )
    file = api_folder(home) / "keys.json"
    assert token.split("_", 2)[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "withdrawn" in run("withdraw", key_id)
    assert client.get(URL, headers=bearer(token)).status_code == 401
    assert "withdrawn 2" in run("list")
    # Without any key that works, still nobody is let in.
    assert client.get(URL).status_code == 401


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "a", "--scope", "all"], "'all' is no scope. Use read:*"),
        (["create", "a", "--scope", "read:raw_customers"], "is no scope"),
        (["create", "a", "--scope", "read:dim_date.nothing"], "is no scope"),
        (["create", "a"], "Missing option '--scope'"),
        (["withdraw", "nothing"], "There is no key nothing. Look it up"),
    ],
)
def test_a_wrong_command_says_what_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["api-keys", *words])
    assert result.exit_code != 0
    assert message in result.output
    assert not (tmp_path / "api" / "keys.json").exists()


def test_a_key_expires(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    token = keys.create("a", ["read:*"], days=1)
    assert keys.caller(token)
    (key,) = keys.all()
    assert key.works(datetime.now(UTC) + timedelta(hours=23))
    assert not key.works(datetime.now(UTC) + timedelta(hours=25))
    stored = json.loads((tmp_path / "keys.json").read_text())
    stored[0]["expires_at"] = "2020-01-01T00:00:00+00:00"
    (tmp_path / "keys.json").write_text(json.dumps(stored))
    assert keys.caller(token) is None


def test_keys_made_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=Keys(tmp_path).create, args=(str(n), ["read:*"])) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in Keys(tmp_path).all()} == {str(n) for n in range(20)}


def test_a_damaged_file_of_keys_lets_nobody_in(home: Settings, client: TestClient) -> None:
    keys = Keys(api_folder(home))
    token = keys.create("a", ["read:*"])
    (api_folder(home) / "keys.json").write_text("[{")
    answer = client.get(URL, headers=bearer(token))
    assert answer.status_code == 503
    assert client.get(URL).status_code == 401
    with pytest.raises(KeyFileError, match="Restore it"):
        keys.all()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_it_does_not_listen_elsewhere_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("ANALYTICS_HOME", str(tmp_path))
    result = CliRunner().invoke(main, ["api", "--host", host, "--port", "0"])
    assert result.exit_code == 1
    assert "api-keys create" in result.output


def test_elsewhere_it_answers_nobody_without_a_key(home: Settings, client_of: Client) -> None:
    assert client_of(home, loopback=False).get(URL).status_code == 401


# OIDC


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def jwks_of(private: rsa.RSAPrivateKey, kid: str = "one") -> dict[str, Any]:
    public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {"keys": [{**public, "kid": kid, "use": "sig", "alg": "RS256"}]}


@pytest.fixture
def token_of(private: rsa.RSAPrivateKey) -> Token:
    def token(kid: str = "one", key: Any = private, algorithm: str = "RS256", **claims: Any) -> str:
        now = datetime.now(UTC)
        values = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ada",
            "exp": now + timedelta(minutes=5),
            "scope": "openid read:user_analytics",
            **claims,
        }
        values = {name: value for name, value in values.items() if value is not None}
        return jwt.encode(values, key, algorithm, headers={"kid": kid})

    return token


@pytest.fixture
def oidc(home: Settings, private: rsa.RSAPrivateKey, client_of: Client) -> TestClient:
    file = home.home / "jwks.json"
    file.write_text(json.dumps(jwks_of(private)))
    settings = make_settings(
        home.home,
        ANALYTICS_API_OIDC_ISSUER=ISSUER,
        ANALYTICS_API_OIDC_AUDIENCE=AUDIENCE,
        ANALYTICS_API_OIDC_JWKS=str(file),
    )
    return client_of(settings)


def test_a_token_of_the_issuer_is_accepted_with_its_scopes(
    oidc: TestClient, token_of: Token, home: Settings
) -> None:
    answer = oidc.get(URL, headers=bearer(token_of()))
    assert answer.status_code == 200
    assert "customer_id" not in answer.json()["rows"][0]
    assert oidc.get("/v1/tables/dim_date", headers=bearer(token_of())).status_code == 403
    for claims in ({"scope": None, "scp": ["read:*", "personal"]}, {"scope": "read:* personal"}):
        row = oidc.get(URL, headers=bearer(token_of(**claims))).json()["rows"][0]
        assert "customer_id" in row
    assert audit_of(home)[0]["caller"] == "oidc:ada"


def test_a_token_that_is_not_right_is_refused(
    oidc: TestClient, token_of: Token, private: rsa.RSAPrivateKey
) -> None:
    now = datetime.now(UTC)
    other = rsa.generate_private_key(65537, 2048)
    public = jwks_of(private)["keys"][0]["n"]
    for token in (
        token_of(iss="https://evil.example"),
        token_of(aud="another"),
        token_of(exp=now - timedelta(minutes=2)),
        token_of(nbf=now + timedelta(minutes=2)),
        token_of(exp=None),
        token_of(sub=None),
        token_of(key=other),
        token_of(kid="two"),
        # Signed with the public key as if it were a shared secret.
        token_of(key=public, algorithm="HS256"),
        token_of(key=None, algorithm="none"),
        token_of()[:-5] + "AAAAA",
    ):
        assert oidc.get(URL, headers=bearer(token)).status_code == 401
    assert oidc.get(URL).status_code == 401
    assert oidc.get(URL, headers=bearer(token_of(scope="everything"))).status_code == 403


def test_keys_of_the_issuer_are_read_again_when_they_change(
    token_of: Token, private: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    import http.server

    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    kid, asked = ["one"], []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if kid[0]:
                answer_json(self, jwks_of(private, kid[0]))
            else:
                self.send_error(500)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, served(server):
        tokens = Tokens(ISSUER, AUDIENCE, f"http://127.0.0.1:{server.server_port}/jwks")
        kid[0] = ""
        with pytest.raises(ProblemError, match="cannot be read"):
            tokens.caller(token_of())
        kid[0] = "one"
        with pytest.raises(ProblemError):  # it is not asked again at once
            tokens.caller(token_of())
        assert len(asked) == 1
        clock[0] += 11
        assert tokens.caller(token_of())
        assert [tokens.caller(token_of("two")) for _ in range(5)] == [None] * 5
        assert len(asked) == 2
        kid[0] = "two"
        clock[0] += 11
        assert tokens.caller(token_of("two"))
        # An issuer that does not answer for a while stops nobody whose key is known.
        kid[0] = ""
        clock[0] += 400
        assert tokens.caller(token_of("two"))
        assert len(asked) == 4


# Limits


def test_requests_a_minute_are_limited_by_key(home: Settings, client: TestClient) -> None:
    keys = Keys(api_folder(home))
    slow, fast = (bearer(keys.create("a", ["read:*"], rate=rate)) for rate in (3, 0))
    statuses = [client.get(URL, headers=slow).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    answer = client.get(URL, headers=slow)
    assert 1 <= int(answer.headers["retry-after"]) <= 20
    assert {client.get(URL, headers=fast).status_code for _ in range(10)} == {200}


def test_a_limit_refills_with_time() -> None:
    clock = [0.0]
    limit = RateLimit(60, lambda: clock[0])
    for _ in range(60):
        limit.take("a")
    with pytest.raises(ProblemError) as refused:
        limit.take("a")
    assert refused.value.headers == {"Retry-After": "1"}
    limit.take("b")
    clock[0] += 1.5
    limit.take("a")
    with pytest.raises(ProblemError):
        limit.take("a")
    clock[0] += 1e6
    for _ in range(60):
        limit.take("a")
    with pytest.raises(ProblemError):
        limit.take("a")


def test_attempts_without_a_key_are_limited_too(home: Settings, client_of: Client) -> None:
    Keys(api_folder(home)).create("a", ["read:*"])
    client = client_of(make_settings(home.home, ANALYTICS_API_RATE="5"))
    statuses = [client.get(URL, headers=bearer("aa_x")).status_code for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


def test_a_slow_query_is_cancelled_and_the_next_one_answers(home: Settings) -> None:
    cancelled = []
    builds = Builds(home.published_dir, "200MB", 1)
    queries = Queries(1, 0.3, lambda: cancelled.append(1))

    def slow(deadline: Any) -> Any:
        with builds.use() as build, build.session() as session:
            deadline.watch(session)
            try:
                return session.value(
                    "SELECT sum(hash(a.range, b.range)) FROM range(1000000) a, range(1000000) b"
                )
            finally:
                deadline.forget()

    async def ask() -> None:
        began = time.monotonic()
        with pytest.raises(ProblemError, match=r"cancelled after 0\.3 s\. Ask for fewer"):
            await queries.run(slow)
        assert time.monotonic() - began < 3
        assert await queries.run(lambda _: 5) == 5
        # What waits for a thread until its time is over is not begun.
        results = await asyncio.gather(
            queries.run(slow), queries.run(lambda _: 6), return_exceptions=True
        )
        assert [getattr(result, "status", None) for result in results] == [503, 503]

    asyncio.run(ask())
    assert len(cancelled) == 3
    queries.close()
    builds.close()


def test_a_time_limit_is_an_answer(
    home: Settings, client_of: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_: Any, deadline: Any, __: Any) -> None:
        time.sleep(0.3)
        deadline.check()

    client = client_of(make_settings(home.home, ANALYTICS_API_QUERY_SECONDS="0.05"))
    with monkeypatch.context() as patched:
        patched.setattr("analytics_assets.api.tables.within", slow)
        answer = client.get(URL)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "Ask for fewer rows" in answer.json()["detail"]
    assert "analytics_api_cancelled_queries_total 1.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    "accept", ["application/json", "text/csv", "application/vnd.apache.arrow.stream"]
)
def test_an_answer_that_is_too_large_is_refused(
    home: Settings, client_of: Client, accept: str
) -> None:
    settings = make_settings(home.home, ANALYTICS_API_ANSWER_MB="1")
    publish_rows(settings, customers=6000)
    client = client_of(settings)
    url = "/v1/tables/customer_analytics_daily?limit=9000"
    answer = client.get(url, headers={"Accept": accept})
    assert answer.status_code == 400
    assert "fewer rows" in answer.json()["detail"]
    assert client.get(f"{url}&columns=segment", headers={"Accept": accept}).status_code == 200


# The audit log, metrics, health, CORS


def test_every_access_is_recorded_without_values_of_people(
    home: Settings, client: TestClient
) -> None:
    token = Keys(api_folder(home)).create("a", ["read:*", "personal"])
    headers = bearer(token)
    client.get("/v1/tables/user_analytics?customer_id=C000007&net_amount__gt=1", headers=headers)
    client.get("/v1/customers/C000008", headers=headers)
    client.get("/v1/tables/dim_customers?city__prefix=Zanzibar&country=DE", headers=headers)
    client.get("/v1/tables/user_analytics?customer_id=C000009")
    client.get("/v1/customers/C000010/secret?token=abc", headers=headers)
    client.get("/health")
    lines = audit_of(home)
    assert [line["status"] for line in lines] == [200, 200, 200, 401, 400]
    first = lines[0]
    assert first["caller"] == f"key:{token.split('_')[1]}"
    assert first["route"] == "/v1/tables/{name}"
    assert first["table"] == "user_analytics"
    assert first["filters"] == ["customer_id eq", "net_amount gt 1"]
    assert first["build"] == "000001"
    assert {"at", "client", "request", "milliseconds", "rows", "method"} <= first.keys()
    assert lines[2]["filters"] == ["city prefix", "country eq"]
    (file,) = (api_folder(home) / "audit").iterdir()
    text = file.read_text()
    assert not [word for word in ("C00000", "C00001", "Zanzibar", "abc", token) if word in text]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_cannot_be_recorded_is_not_answered(
    home: Settings, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        answer = client.get(URL)
    assert answer.status_code == 503
    assert "rows" not in answer.text
    assert client.get(URL).status_code == 200


def test_metrics_are_those_of_the_api(client: TestClient) -> None:
    client.get(URL)
    client.get("/v1/tables/nothing")
    client.get("/v1/customers/C000001")
    text = client.get("/metrics").text
    for line in (
        'analytics_api_requests_total{route="/v1/tables/{name}",status="200"} 1.0',
        'analytics_api_requests_total{route="/v1/tables/{name}",status="404"} 1.0',
        'analytics_api_requests_total{route="/v1/customers/{customer_id:path}",status="200"} 1.0',
        "analytics_api_rows_total 3.0",
        "analytics_api_build 1.0",
        "analytics_api_open_builds 1.0",
        "analytics_api_cancelled_queries_total 0.0",
    ):
        assert line in text.splitlines(), line
    assert "C000001" not in text


def test_it_is_ready_when_there_is_a_build(
    tmp_path: Path, home: Settings, client: TestClient, client_of: Client
) -> None:
    answer = client.get("/ready").json()
    assert answer["status"] == "ready"
    assert answer["build"] == "000001"
    assert answer["age_seconds"] >= 0
    empty = client_of(make_settings(tmp_path / "empty"))
    assert empty.get("/health").json() == {"status": "ok"}
    for url in ("/ready", "/v1/tables", URL, "/v1/summary"):
        refused = empty.get(url)
        assert refused.status_code == 503
        assert "published_warehouse" in refused.json()["detail"]
    assert "analytics_api_build " not in empty.get("/metrics").text
    # Once there is one, it answers.
    publish_rows(make_settings(tmp_path / "empty"), customers=5)
    assert empty.get("/ready").json()["build"] == "000001"
    # They need no key: whoever watches has none.
    Keys(api_folder(home)).create("a", ["read:*"])
    assert client.get("/health").status_code == client.get("/ready").status_code == 200


def test_pages_of_other_sites_may_ask_if_they_are_named(home: Settings, client_of: Client) -> None:
    site = "https://shop.example.com"
    client = client_of(make_settings(home.home, ANALYTICS_API_CORS=site))
    preflight = {"Access-Control-Request-Method": "GET", "Origin": site}
    preflight["Access-Control-Request-Headers"] = "authorization"
    assert client.options(URL, headers=preflight).headers["access-control-allow-origin"] == site
    answer = client.get(URL, headers={"Origin": site})
    assert answer.headers["access-control-allow-origin"] == site
    assert "X-Next-Cursor" in answer.headers["access-control-expose-headers"]
    other = client.get(URL, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    without = client_of(home).get(URL, headers={"Origin": site})
    assert "access-control-allow-origin" not in without.headers
