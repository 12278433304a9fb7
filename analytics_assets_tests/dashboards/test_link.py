"""The asset of the published copy links to the dashboards, where their address is set."""

from pathlib import Path

import pytest
from dagster import AssetKey, MetadataValue, materialize

from analytics_assets.assets.published import serving_assets
from analytics_assets.settings import SettingsError
from analytics_assets.warehouse.connection import Warehouse

from ..api.conftest import publish_rows
from ..conftest import make_settings


@pytest.mark.parametrize("address", ["https://dashboards.example/", None])
def test_a_published_build_links_to_the_dashboards(tmp_path: Path, address: str | None) -> None:
    settings = make_settings(tmp_path, **({"ANALYTICS_DASHBOARDS_URL": address} if address else {}))
    publish_rows(settings, customers=5)
    warehouse = Warehouse(settings.warehouse_path)
    with warehouse.transaction() as session:
        session.execute("DELETE FROM quality.data_quality_metrics")
    result = materialize(serving_assets(settings, []), resources={"warehouse": warehouse})
    (made,) = result.asset_materializations_for_node("published_warehouse")
    assert made.asset_key == AssetKey("published_warehouse")
    expected = MetadataValue.url("https://dashboards.example") if address else None
    assert made.metadata.get("dashboards") == expected


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ANALYTICS_DASHBOARDS_URL"):
        make_settings(tmp_path, ANALYTICS_DASHBOARDS_URL="dashboards.example")
