{{ config(tags=['unpartitioned']) }}

with orders as (
    select
        order_date,
        order_id,
        coalesce(sum(case when line_type = 'sale' then extended_amount end), 0) as order_amount
    from {{ ref('fact_orders') }}
    group by order_date, order_id
),

lines as (
    select
        facts.order_date,
        facts.order_id,
        facts.customer_id,
        coalesce(products.category, {{ unknown_member() }}) as category,
        case
            when orders.order_amount < {{ var('revenue_band_medium') }} then 'low'
            when orders.order_amount < {{ var('revenue_band_high') }} then 'medium'
            else 'high'
        end as revenue_band,
        case when facts.line_type = 'sale' then facts.quantity end as units,
        case when facts.line_type = 'sale' then facts.extended_amount end as gross_amount,
        case
            when facts.line_type in ('sale', 'return') then facts.extended_amount
        end as net_amount
    from {{ ref('fact_orders') }} as facts
    inner join orders
        on facts.order_date = orders.order_date and facts.order_id = orders.order_id
    left join {{ ref('dim_products') }} as products on facts.product_id = products.product_id
)

select
    order_date,
    category,
    revenue_band,
    count(distinct order_id) as orders,
    count(*) as lines,
    cast(coalesce(sum(units), 0) as bigint) as units,
    count(distinct nullif(customer_id, {{ unknown_member() }})) as customers,
    {{ money('coalesce(sum(gross_amount), 0)') }} as gross_amount,
    {{ money('coalesce(sum(net_amount), 0)') }} as net_amount
from lines
group by order_date, category, revenue_band
