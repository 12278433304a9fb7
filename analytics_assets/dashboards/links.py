"""Links from one page to another, with their state.

Belongs here: how pages link to the page of a customer. Does not belong here: what that page shows
(`customer`).
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from analytics_assets.dashboards.labels import Column
from analytics_assets.dashboards.parts import Records, table

CUSTOMER_PATH = "customer"
CUSTOMER = Column("customer_id", "Customer", "text", "ID of the customer")
KEPT = ("period", "country", "segment")


def customer_links(ids: Sequence[str]) -> None:
    """Links to the pages of some customers."""
    with st.container(horizontal=True, gap="small"):
        for customer_id in ids:
            st.page_link(
                _page(),
                label=f"Open {customer_id}",
                query_params=_address_of(customer_id),
                width="content",
            )


def table_of_customers(
    records: Records, columns: Sequence[Column], name: str, height: int | None = None
) -> None:
    """Rows of customers; whoever is chosen is shown on their page."""
    st.caption("Choose a row to open the customer's page.")
    row = table(records, columns, name, height, choose=True)
    if row is not None:
        st.switch_page(_page(), query_params=_address_of(records[row]["customer_id"]))


def _page() -> Any:
    return st.session_state["pages"][CUSTOMER_PATH]


def _address_of(customer_id: str) -> dict[str, str]:
    """The parameters of the page, and the shared filters as the address has them now."""
    kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
    return {**kept, "customer": customer_id}
