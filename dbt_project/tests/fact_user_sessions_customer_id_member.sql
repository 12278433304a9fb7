{{ config(meta={
    'dagster': {'ref': {'name': 'fact_user_sessions'}},
    'description': "Every customer_id of core.fact_user_sessions is a member of core.dim_customers.",
    'remedy': "dim_customers has to be built before fact_user_sessions: build both for the days of the listed rows, or hold the rows until the member arrives.",
}) }}

{{ rows_without_member(ref('fact_user_sessions'), 'session_date', ['session_id'], 'customer_id', ref('dim_customers')) }}
