"""All sources: one declaration for each, in a module of its own.

A new source is a module here and its entry in `SOURCES`, with its tables (`schemas`) and its models
(the dbt project).
"""

from analytics_assets.schemas.base import LEADING
from analytics_assets.sources.declared.base import ATTRIBUTES, Contract, Source
from analytics_assets.sources.declared.customers import CUSTOMERS
from analytics_assets.sources.declared.events import EVENTS
from analytics_assets.sources.declared.orders import ORDERS
from analytics_assets.sources.declared.products import PRODUCTS
from analytics_assets.sources.declared.subscriptions import SUBSCRIPTIONS
from analytics_assets.sources.declared.support_tickets import SUPPORT_TICKETS
from analytics_assets.sources.declared.user_sessions import USER_SESSIONS

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        *(ORDERS, USER_SESSIONS, EVENTS, SUPPORT_TICKETS),
        *(CUSTOMERS, PRODUCTS, SUBSCRIPTIONS),
    )
}

__all__ = ["ATTRIBUTES", "LEADING", "SOURCES", "Contract", "Source"]
