"""Freshness: policies while data keep coming, and the check that looks at the days themselves."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from dagster import AssetSpec, Definitions

from analytics_assets.assets.common import CADENCE, MONTHLY
from analytics_assets.automation.freshness import with_freshness
from analytics_assets.checks import freshness
from analytics_assets.checks.registry import evaluate
from analytics_assets.definitions import build_definitions
from analytics_assets.partitions import Calendar, daily_partitions
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets_tests.conftest import make_settings, share_manifest

SOURCES = """
calendar: {{start: 2024-02-01{end}}}
orders: {{path: "orders/{{date}}.csv"}}
"""


def definitions(tmp_path: Path, manifest: Path, end: str) -> Definitions:
    file = tmp_path / "sources.yaml"
    file.write_text(SOURCES.format(end=end))
    settings = make_settings(tmp_path / "home", ANALYTICS_SOURCES=str(file))
    return build_definitions(share_manifest(manifest, settings))


def policies(composed: Definitions) -> dict[str, object]:
    graph = composed.resolve_asset_graph()
    return {key.path[-1]: graph.get(key).freshness_policy for key in graph.get_all_asset_keys()}


def test_while_data_keep_coming_every_made_asset_has_a_policy(
    tmp_path: Path, manifest: Path
) -> None:
    found = policies(definitions(tmp_path, manifest, ""))
    without = {name for name, policy in found.items() if policy is None}
    assert without == {"orders_source", "table_profiles"}  # pages are drawn when wanted


def test_data_that_ended_cannot_become_stale(tmp_path: Path, manifest: Path) -> None:
    found = policies(definitions(tmp_path, manifest, ", end: 2024-03-01"))
    assert set(found.values()) == {None}


def test_daily_layers_warn_after_a_day_and_monthly_ones_after_a_month() -> None:
    def windows(name: str, group: str, **tags: str) -> tuple[timedelta, timedelta]:
        policy = with_freshness(AssetSpec(name, group_name=group, tags=tags)).freshness_policy
        assert policy is not None
        return policy.warn_window.to_timedelta(), policy.fail_window.to_timedelta()  # type: ignore[attr-defined]

    for name, group in [("raw_orders", "raw"), ("churn_predictions", "churn")]:
        warn, fail = windows(name, group)
        assert timedelta(hours=24) < warn < fail < timedelta(hours=48)
    for name, tags in [("churn_features", {}), ("churn_model", {CADENCE: MONTHLY})]:
        warn, fail = windows(name, "churn", **tags)
        assert timedelta(days=31) < warn < fail < timedelta(days=40)


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    warehouse = Warehouse(settings.warehouse_path)
    warehouse.prepare()
    return warehouse


def newest_day_loaded(warehouse: Warehouse, *loaded: str) -> tuple[bool, str]:
    calendar = Calendar(date(2024, 2, 1), date(2024, 3, 1))
    sources = SourcesConfig(calendar, {"orders": SourceConfig("orders", "x/{date}.csv")})
    with warehouse.transaction() as session:
        for day in loaded:
            session.execute(
                "INSERT INTO raw.source_loads VALUES ('orders', $1, 'v', 0, 0, 0, 0, 0, $2, $2)",
                [day, datetime(2030, 1, 1, tzinfo=UTC)],
            )
    both = freshness.checks(sources, daily_partitions(calendar))
    checks = [check for check in both if check.name == "newest_day_loaded"]
    with warehouse.read() as session:
        (finding,) = evaluate(session, checks, lambda check: None)
    return finding.passed, finding.description


def test_trap_an_old_day_loaded_just_now_does_not_make_the_newest_fresh(
    warehouse: Warehouse,
) -> None:
    passed, words = newest_day_loaded(warehouse, "2024-02-03")
    assert not passed
    assert "2024-02-03" in words
    assert "2024-02-29" in words


def test_with_the_newest_day_the_check_passes_whatever_is_missing_before(
    warehouse: Warehouse,
) -> None:
    assert newest_day_loaded(warehouse, "2024-02-29", "2024-02-03")[0]


def test_nothing_loaded_is_not_fresh(warehouse: Warehouse) -> None:
    assert not newest_day_loaded(warehouse)[0]
