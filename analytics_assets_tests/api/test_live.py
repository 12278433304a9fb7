"""Live numbers over HTTP, from a real Redis."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for

from analytics_assets.api.keys import Keys
from analytics_assets.api.live import LIVE_ANSWER
from analytics_assets.api.service import api_folder
from analytics_assets.settings import Settings

from ..streaming.conftest import RedisServer
from ..streaming.live_rows import write_live
from .conftest import Client

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


def answer(client: Any) -> Any:
    found = client.get("/v1/live")
    assert found.status_code == 200
    assert found.headers["cache-control"] == "no-store"
    validator_for(LIVE_ANSWER)(LIVE_ANSWER).validate(found.json())
    return found.json()


def test_it_says_that_there_is_no_stream(client: Any) -> None:
    found = answer(client)
    assert found["status"] == "none"
    assert "Set it" in found["detail"]
    assert (found["purchases"]["hour"], found["activity"]["windows"]) == (None, [])


def test_numbers_come_with_their_age_and_none_when_redis_is_away(
    home: Settings, client_of: Client, server: RedisServer
) -> None:
    streaming = replace(home, redis_url=server.url)
    assert answer(client_of(streaming))["status"] == "waiting"
    end = write_live(server.url)
    found = answer(client_of(streaming))
    assert found["status"] == "running"
    assert found["purchases"]["hour"]["total"] == "30.7500"
    assert found["purchases"]["hour"]["window_end"] == f"{end:%Y-%m-%dT%H:%M:%SZ}"
    assert found["activity"]["age_seconds"] == pytest.approx(
        found["purchases"]["age_seconds"], abs=2
    )
    assert 0 <= found["purchases"]["age_seconds"] < 15 * 60
    assert [window["events"] for window in found["activity"]["windows"]] == [4, 3]
    server.stop()
    away = client_of(streaming).get("/v1/live")
    assert (away.status_code, away.json()["type"]) == (503, "urn:analytics-assets:live-away")
    assert away.headers["retry-after"] == "10"
    assert server.url not in away.text


def test_it_needs_its_scope_or_that_of_all_tables(home: Settings, client_of: Client) -> None:
    keys = Keys(api_folder(home))
    for scope, status in (("live", 200), ("read:*", 200), ("metrics", 403)):
        token = keys.create(scope, [scope], None, None)
        client = client_of(home, Authorization=f"Bearer {token}")
        assert client.get("/v1/live").status_code == status
