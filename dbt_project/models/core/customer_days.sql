{{ config(
    materialized='incremental',
    incremental_strategy='window',
    on_schema_change='fail',
    full_refresh=false,
    meta={'window_column': 'order_date'},
    tags=['daily']
) }}

with days as (
    select
        order_date,
        customer_id,
        count(distinct order_id) as orders,
        count(distinct case when line_type = 'sale' then order_id end) as sale_orders,
        count(*) as lines,
        count(case when line_type = 'sale' then 1 end) as sale_lines,
        count(case when line_type = 'return' then 1 end) as return_lines,
        count(case when line_type = 'adjustment' then 1 end) as adjustment_lines,
        coalesce(sum(case when line_type = 'sale' then quantity end), 0) as units,
        coalesce(sum(case when line_type = 'sale' then extended_amount end), 0) as gross_amount,
        coalesce(sum(case when line_type = 'return' then extended_amount end), 0)
            as returned_amount
    from {{ ref('fact_orders') }}
    where {{ in_window('order_date') }}
    group by order_date, customer_id
)

select
    order_date,
    customer_id,
    orders,
    sale_orders,
    lines,
    sale_lines,
    return_lines,
    adjustment_lines,
    cast(units as bigint) as units,
    {{ money('gross_amount') }} as gross_amount,
    {{ money('returned_amount') }} as returned_amount,
    {{ money('gross_amount + returned_amount') }} as net_amount
from days
