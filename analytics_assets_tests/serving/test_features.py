"""Features by customer: those of the table, from the build, over HTTP and from a real Redis."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from dagster import AssetKey, materialize
from fastapi.testclient import TestClient
from jsonschema.validators import validator_for

from analytics_assets.api.app import create_app
from analytics_assets.api.features import FEATURES_ANSWER
from analytics_assets.api.keys import Keys
from analytics_assets.api.service import api_folder
from analytics_assets.assets.features import FEATURE_LOOKUP, feature_assets
from analytics_assets.automation.jobs import SCORE_DAY
from analytics_assets.automation.outdated import outdated
from analytics_assets.serving.feature_store import FeatureStore, FeatureStoreError
from analytics_assets.serving.features import (
    FEATURES,
    FeatureError,
    get_historical_features,
    newest_features,
)
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import current_build, open_build, publish

from ..conftest import Project
from ..streaming.conftest import RedisServer

pytestmark = pytest.mark.slow
SHOWN = ", ".join(FEATURES)


def rows(settings: Settings, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    with open_build(current_build(settings.published_dir)) as session:
        return session.records(sql, parameters)


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the API writes it: decimals as texts."""
    return json.loads(json.dumps(row, default=str))


# From a whole sample


def test_history_is_churn_features(built_project: Project) -> None:
    """All of its rows, and none of them sees a later one."""
    settings = built_project.settings
    expected = rows(
        settings,
        f"SELECT customer_id, as_of, as_of AS features_as_of, {SHOWN} FROM churn.churn_features "
        "ORDER BY as_of, customer_id",
    )
    assert len({row["as_of"] for row in expected}) > 2
    asked = [row["customer_id"] for row in expected], [row["as_of"] for row in expected]
    found = get_historical_features(settings.published_dir, *asked)
    assert found.to_pylist() == expected


def test_between_months_a_date_sees_the_newest_snapshot_before_it(built_project: Project) -> None:
    settings = built_project.settings
    customers = [
        row["customer_id"]
        for row in rows(settings, "SELECT customer_id FROM marts.user_analytics ORDER BY 1")
    ]
    (last,) = rows(settings, "SELECT max(as_of) AS day FROM marts.customer_analytics_daily")
    (first,) = rows(settings, "SELECT min(as_of) AS day FROM churn.churn_features")
    for as_of in (last["day"], last["day"] + timedelta(40), first["day"] + timedelta(3)):
        found = get_historical_features(settings.published_dir, customers, as_of).to_pylist()
        assert [row["customer_id"] for row in found] == customers
        expected = {
            row["customer_id"]: row
            for row in rows(
                settings,
                f"""SELECT DISTINCT ON (customer_id) customer_id, as_of, {SHOWN} FROM (
                SELECT 1 AS place, customer_id, as_of, {SHOWN} FROM churn.churn_features UNION ALL
                SELECT 2, customer_id, as_of, {SHOWN} FROM marts.customer_analytics_daily)
                WHERE as_of <= ? ORDER BY customer_id, as_of DESC, place""",
                as_of,
            )
        }
        known = [row for row in found if row["features_as_of"] is not None]
        assert {row["customer_id"] for row in known} == expected.keys()
        for row in known:
            wanted = expected[row["customer_id"]]
            assert row["features_as_of"] == wanted["as_of"] <= as_of
            assert {name: row[name] for name in FEATURES} == {n: wanted[n] for n in FEATURES}


def test_what_cannot_be_asked_is_said(built_project: Project) -> None:
    folder = built_project.settings.published_dir
    with pytest.raises(FeatureError, match="give one date for all"):
        get_historical_features(folder, ["C1", "C2"], [date(2024, 1, 1)])
    with pytest.raises(FeatureError, match="Name at least one"):
        get_historical_features(folder, [], date(2024, 1, 1))
    (nobody,) = get_historical_features(folder, ["nobody"], date(2030, 1, 1)).to_pylist()
    assert {value for name, value in nobody.items() if name not in ("customer_id", "as_of")} == {
        None
    }


def test_the_api_gives_the_newest_and_those_of_a_date(built_project: Project) -> None:
    settings = built_project.settings
    validator = validator_for(FEATURES_ANSWER)(FEATURES_ANSWER)
    newest, months = (
        rows(settings, f"SELECT customer_id, as_of, {SHOWN} FROM {table} ORDER BY ALL LIMIT 50")
        for table in ("marts.user_analytics", "churn.churn_features")
    )
    with TestClient(create_app(settings), "http://localhost") as client:
        for row in newest:
            answer = client.get(f"/v1/features/{row['customer_id']}")
            found = answer.json()
            validator.validate(found)
            assert found["features"] == as_json({name: row[name] for name in FEATURES})
            assert found["as_of"] == str(row["as_of"])
            assert found["expires_at"] == f"{row['as_of'] + timedelta(3)}T00:00:00Z"
            assert found["is_expired"] is True  # the sample is of 2024
            headers = {"If-None-Match": answer.headers["etag"]}
            assert client.get(answer.request.url.path, headers=headers).status_code == 304
        for row in months:
            path = f"/v1/features/{row['customer_id']}?as_of="
            for days, expired in ((0, False), (2, False), (3, True)):
                found = client.get(f"{path}{row['as_of'] + timedelta(days)}").json()
                if found["as_of"] == str(row["as_of"]):  # no snapshot of a day after
                    assert found["features"] == as_json({name: row[name] for name in FEATURES})
                    assert found["is_expired"] is expired
                else:
                    assert days > 0
        for path, status in {
            "/v1/features/nobody": 404,
            "/v1/features/a%00b": 404,
            "/v1/features/C000017?as_of=2001-01-01": 404,
            "/v1/features/C000017?as_of=today": 400,
            "/v1/features/C000017?columns=x": 400,
        }.items():
            assert client.get(path).status_code == status, path


# From a build of the tests of the API


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(server: RedisServer) -> Iterator[FeatureStore]:
    redis.Redis.from_url(server.url).flushall()
    store = FeatureStore(server.url)
    yield store
    store.close()


def test_columns_that_are_not_in_the_scopes_are_left_out(home: Settings, client_of: Any) -> None:
    keys = Keys(api_folder(home))

    def ask(*scopes: str) -> Any:
        token = keys.create("model", [*scopes], None, None)
        return client_of(home, Authorization=f"Bearer {token}").get("/v1/features/C000017")

    assert ask("read:*").status_code == 403
    assert ask("read:user_analytics.sale_orders", "personal").status_code == 403
    columns = [f"read:user_analytics.{name}" for name in ("customer_id", "as_of", "sale_orders")]
    assert [*ask("personal", *columns).json()["features"]] == ["sale_orders"]
    assert [*ask("personal", "read:user_analytics").json()["features"]] == [*FEATURES]


def test_redis_has_the_values_of_the_table(
    home: Settings, server: RedisServer, store: FeatureStore
) -> None:
    home = replace(home, features_redis_url=server.url)
    result = materialize(feature_assets(home))
    (made,) = result.asset_materializations_for_node(FEATURE_LOOKUP)
    table = rows(home, f"SELECT customer_id, as_of, {SHOWN} FROM marts.user_analytics ORDER BY 1")
    assert made.metadata["customers"].value == len(table) == 300
    found = store.read([row["customer_id"] for row in table])
    for row, features in zip(table, found, strict=True):
        assert features
        assert features["as_of"] == str(row["as_of"])
        assert features["build"] == "000001"
        assert as_json(features["features"]) == as_json({name: row[name] for name in FEATURES}), (
            row["customer_id"]
        )
    assert store.read(["nobody"]) == [None]


def test_features_expire_and_stay_there(home: Settings, store: FeatureStore) -> None:
    store.publish("000001", newest_features(current_build(home.published_dir), valid_days=2))
    (found,) = store.read(["C000017"])
    assert found
    until = datetime.fromisoformat(found["expires_at"])
    assert until == datetime.fromisoformat(found["as_of"]).replace(tzinfo=UTC) + timedelta(2)
    for now, expired in ((until - timedelta(seconds=1), False), (until, True)):
        (again,) = store.read(["C000017"], now)
        assert again
        assert again["is_expired"] is expired


def test_a_newer_build_replaces_the_whole_of_the_older_one(
    home: Settings, server: RedisServer, store: FeatureStore
) -> None:
    client = redis.Redis.from_url(server.url)
    first = current_build(home.published_dir)
    store.publish("000001", newest_features(first, 3))
    reader = FeatureStore(server.url)
    assert reader.read(["C000001"])[0]
    warehouse = Warehouse(home.warehouse_path)
    with warehouse.transaction() as session:
        session.execute("DELETE FROM marts.user_analytics WHERE customer_id = 'C000001'")
    second = publish(warehouse, home.published_dir, 3).path
    store.publish(second.parent.name, newest_features(second, 3))
    # A reader that knew the older build learns of the newer one.
    gone, found = reader.read(["C000001", "C000002"])
    assert gone is None
    assert found
    assert found["build"] == "000002"
    keys = [key.decode() for key in client.scan_iter("analytics:features:*")]
    assert len(keys) == 299
    assert all(key.startswith("analytics:features:000002:") for key in keys)
    reader.close()


def test_half_a_build_is_not_read(home: Settings, store: FeatureStore) -> None:
    build = current_build(home.published_dir)
    store.publish("000001", newest_features(build, 3))

    def half() -> Iterator[tuple[str, Any]]:
        for number, row in enumerate(newest_features(build, 3)):
            if number == 150:
                raise KeyboardInterrupt
            yield row

    with pytest.raises(KeyboardInterrupt):
        store.publish("000002", half())
    assert {row["build"] for row in store.read(["C000001", "C000299"]) if row} == {"000001"}


def test_a_store_that_is_away_or_empty_says_so(home: Settings, tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    server.start()
    store = FeatureStore(server.url)
    try:
        with pytest.raises(FeatureStoreError, match="materialize feature_lookup"):
            store.read(["C000001"])
    finally:
        server.stop()
    with pytest.raises(FeatureStoreError, match="See whether it is up"):
        store.read(["C000001"])
    with pytest.raises(FeatureStoreError, match="did not take"):
        store.publish("000001", newest_features(current_build(home.published_dir), 3))
    store.close()


# In the graph


def test_the_asset_is_there_where_redis_is_set_and_follows_the_published_copy(
    copied_project: Project, server: RedisServer, store: FeatureStore
) -> None:
    project = replace(
        copied_project, settings=replace(copied_project.settings, features_redis_url=server.url)
    )
    composed = project.definitions()
    job = composed.resolve_job_def(SCORE_DAY)
    assert AssetKey(FEATURE_LOOKUP) in job.asset_layer.executable_asset_keys

    def is_due() -> bool:
        warehouse = project.warehouse
        return outdated(composed, project.instance, project.sources, warehouse) != []

    assert is_due()  # it was never built
    assert materialize(feature_assets(project.settings), instance=project.instance).success
    assert not is_due()
