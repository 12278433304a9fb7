"""Systems whose exports are recognised; a new one is a declaration, added to `SYSTEMS`."""

from collections.abc import Collection

from analytics_assets.sources.systems.base import System
from analytics_assets.sources.systems.datasets import OLIST, ONLINE_RETAIL, SUPERSTORE
from analytics_assets.sources.systems.marketplaces import AMAZON, AMAZON_ALL_ORDERS, EBAY, ETSY
from analytics_assets.sources.systems.payments import PAYPAL, STRIPE
from analytics_assets.sources.systems.shops import (
    SHOPIFY,
    SQUARE,
    WOOCOMMERCE,
    WOOCOMMERCE_ADVANCED,
)

SYSTEMS = (
    *(SHOPIFY, WOOCOMMERCE, WOOCOMMERCE_ADVANCED, SQUARE, ETSY, EBAY, AMAZON, AMAZON_ALL_ORDERS),
    *(STRIPE, PAYPAL, OLIST, SUPERSTORE, ONLINE_RETAIL),
)


def system_of(names: Collection[str]) -> System | None:
    """The system whose export has these columns; None of an unknown one."""
    return next((system for system in SYSTEMS if system.fits(names)), None)


__all__ = ["SYSTEMS", "System", "system_of"]
