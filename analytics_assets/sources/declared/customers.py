"""Customers with their attributes: rows of the dimension."""

from analytics_assets.sources.declared.base import Contract, Source

CUSTOMERS = Source(
    Contract("customers", ("customer_id",)),
    rows="customers",
    stand_ins=("stg_customers",),
    dimension="dim_customers",
    member="customer",
    sample="customers.csv",
)
