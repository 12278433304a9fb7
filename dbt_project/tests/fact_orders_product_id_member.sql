{{ config(meta={
    'dagster': {'ref': {'name': 'fact_orders'}},
    'description': "Every product_id of core.fact_orders is a member of core.dim_products.",
    'remedy': "dim_products has to be built before fact_orders: build both for the days of the listed rows, or hold the rows until the member arrives.",
}) }}

{{ rows_without_member(ref('fact_orders'), 'order_date', ['order_id', 'line_number'], 'product_id', ref('dim_products')) }}
