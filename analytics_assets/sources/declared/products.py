"""Products, with their prices and costs: rows of the dimension."""

from analytics_assets.sources.declared.base import Contract, Source

PRODUCTS = Source(
    Contract("products", ("product_id",)),
    rows="products",
    stand_ins=("stg_products",),
    dimension="dim_products",
    member="product",
    sample="products.csv",
)
