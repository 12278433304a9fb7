"""Freshness policies by layer, applied to the whole graph at once.

Dagster uses the newest materialization of any partition, so a backfill of old days turns a policy
green. The check `newest_day_loaded` uses the partitions themselves.
"""

from datetime import timedelta

from dagster import AssetSpec, FreshnessPolicy

from analytics_assets.automation.jobs import is_monthly

# Hours after which a layer that is refreshed daily is a warning, and a failure.
WINDOWS: dict[str, tuple[int, int]] = {
    "raw": (26, 30),
    "staging": (26, 30),
    "core": (26, 30),
    "marts": (28, 36),
    "churn": (28, 36),
    "quality": (28, 48),
    "serving": (28, 36),
}


def with_freshness(spec: AssetSpec) -> AssetSpec:
    """The spec with the freshness policy of its layer."""
    if is_monthly(spec):
        policy = FreshnessPolicy.time_window(
            fail_window=timedelta(days=35), warn_window=timedelta(days=33)
        )
    elif spec.group_name in WINDOWS:
        warn, fail = WINDOWS[spec.group_name]
        policy = FreshnessPolicy.time_window(
            fail_window=timedelta(hours=fail), warn_window=timedelta(hours=warn)
        )
    else:
        return spec
    return spec.replace_attributes(freshness_policy=policy)
