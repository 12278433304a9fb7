"""What changed about customers, sent to the destinations that are set.

Belongs here: the asset around `serving.activation`.
"""

from dagster import AssetsDefinition, AssetSpec, MaterializeResult, multi_asset

from analytics_assets.assets.common import OWNERS, RETRY, code_version
from analytics_assets.serving.activation import (
    ActivationError,
    Ledger,
    deliver,
    excluded_customers,
)
from analytics_assets.serving.destinations import destinations
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL
from analytics_assets.warehouse.publish import current_build

ACTIVATION = "activation"


def activation_assets(settings: Settings) -> list[AssetsDefinition]:
    """activation, downstream of the published copy; none without a destination."""
    if not destinations(settings):
        return []

    @multi_asset(
        name=ACTIVATION,
        specs=[
            AssetSpec(
                ACTIVATION,
                group_name="serving",
                description=(
                    "Segments and predictions that changed since a destination last took them, "
                    "sent to a webhook, a folder of CSV files or a table in PostgreSQL. A ledger "
                    "says what each has taken."
                ),
                owners=OWNERS,
                kinds={"python"},
                tags={"layer": "serving"},
                deps=["published_warehouse"],
                code_version=code_version("serving/activation.py", "serving/destinations.py"),
            )
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def activation() -> MaterializeResult:
        build = current_build(settings.published_dir)
        excluded = excluded_customers(settings.activation_excluded)
        metadata = {}
        failures: list[str] = []  # the other destinations get theirs
        ledger = Ledger(settings.home / "activation" / "ledger.sqlite")
        try:
            for destination in destinations(settings):
                try:
                    sent = deliver(build, destination, ledger, excluded)
                except ActivationError as error:
                    failures.append(str(error))
                    continue
                metadata[destination.name] = (
                    f"{sent.sent:,} customers sent, {sent.unchanged:,} unchanged, "
                    f"{sent.forgotten:,} forgotten"
                )
        finally:
            ledger.close()
        if failures:
            raise ActivationError("\n".join(failures))
        return MaterializeResult(
            asset_key=ACTIVATION, metadata={"build": build.parent.name, **metadata}
        )

    return [activation]
