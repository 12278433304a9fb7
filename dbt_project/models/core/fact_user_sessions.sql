{{ config(
    materialized='incremental',
    incremental_strategy='window',
    on_schema_change='fail',
    full_refresh=false,
    meta={'window_column': 'session_date'},
    tags=['daily']
) }}

-- The dimension comes first, or a new customer's sessions would point at nothing:
-- depends_on: {{ ref('dim_customers') }}

select
    session_date,
    session_id,
    coalesce(customer_id, {{ unknown_member() }}) as customer_id,
    started_at,
    duration_seconds,
    page_views,
    device,
    channel
from {{ ref('stg_user_sessions') }}
where {{ in_window('session_date') }}
