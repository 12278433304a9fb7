"""The features of the newest build in Redis, where an address is set.

Belongs here: the asset around `serving.feature_store`.
"""

from dagster import AssetsDefinition, AssetSpec, MaterializeResult, multi_asset

from analytics_assets.assets.common import OWNERS, RETRY, code_version
from analytics_assets.serving.feature_store import FeatureStore
from analytics_assets.serving.features import newest_features
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL
from analytics_assets.warehouse.publish import current_build

FEATURE_LOOKUP = "feature_lookup"


def feature_assets(settings: Settings) -> list[AssetsDefinition]:
    """feature_lookup, downstream of the published copy; none where no Redis is set."""
    url = settings.features_redis_url
    if url is None:
        return []

    @multi_asset(
        name=FEATURE_LOOKUP,
        specs=[
            AssetSpec(
                FEATURE_LOOKUP,
                group_name="serving",
                description=(
                    "The newest features of every customer in Redis, by customer, with as_of and "
                    "expiry: the values of user_analytics in the published build. Readers get all "
                    "of one build."
                ),
                owners=OWNERS,
                kinds={"python", "redis"},
                tags={"layer": "serving"},
                deps=["published_warehouse"],
                code_version=code_version("serving/features.py", "serving/feature_store.py"),
            )
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def feature_lookup() -> MaterializeResult:
        build = current_build(settings.published_dir)
        store = FeatureStore(url)
        try:
            customers = store.publish(
                build.parent.name, newest_features(build, settings.feature_days)
            )
        finally:
            store.close()
        return MaterializeResult(
            asset_key=FEATURE_LOOKUP,
            metadata={"build": build.parent.name, "customers": customers},
        )

    return [feature_lookup]
