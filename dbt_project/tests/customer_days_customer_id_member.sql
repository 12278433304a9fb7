{{ config(meta={
    'dagster': {'ref': {'name': 'customer_days'}},
    'description': "Every customer_id of core.customer_days is a member of core.dim_customers.",
    'remedy': "dim_customers has to be built before customer_days: build both for the days of the listed rows, or hold the rows until the member arrives.",
}) }}

{{ rows_without_member(ref('customer_days'), 'order_date', [], 'customer_id', ref('dim_customers')) }}
