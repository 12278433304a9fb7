{{ config(tags=['unpartitioned']) }}

with lines as (
    select
        facts.order_date,
        facts.order_id,
        coalesce(products.category, {{ unknown_member() }}) as category,
        facts.customer_id,
        count(*) as lines,
        sum(case when facts.line_type = 'sale' then facts.quantity end) as units,
        sum(case when facts.line_type = 'sale' then facts.extended_amount end) as gross_amount,
        sum(
            case when facts.line_type in ('sale', 'return') then facts.extended_amount end
        ) as net_amount
    from {{ ref('fact_orders') }} as facts
    left join {{ ref('dim_products') }} as products on facts.product_id = products.product_id
    group by 1, 2, 3, 4
),

orders as (
    select
        *,
        coalesce(sum(gross_amount) over (partition by order_date, order_id), 0) as order_amount
    from lines
),

banded as (
    select
        *,
        case
            when order_amount < {{ var('revenue_band_medium') }} then 'low'
            when order_amount < {{ var('revenue_band_high') }} then 'medium'
            else 'high'
        end as revenue_band
    from orders
)

select
    order_date,
    category,
    revenue_band,
    count(distinct order_id) as orders,
    cast(sum(lines) as bigint) as lines,
    cast(coalesce(sum(units), 0) as bigint) as units,
    count(distinct nullif(customer_id, {{ unknown_member() }})) as customers,
    {{ money('coalesce(sum(gross_amount), 0)') }} as gross_amount,
    {{ money('coalesce(sum(net_amount), 0)') }} as net_amount
from banded
group by order_date, category, revenue_band
