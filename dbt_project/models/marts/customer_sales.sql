{{ config(tags=['unpartitioned']) }}

with sales as (
    select
        customer_id,
        {{ month_start('order_date') }} as month,
        sum(orders) as orders,
        sum(lines) as lines,
        sum(units) as units,
        sum(gross_amount) as gross_amount,
        sum(net_amount) as net_amount
    from {{ ref('customer_days') }}
    group by 1, 2
),

-- Only here is a missing amount made up for, and counted.
billed as (
    select
        customer_id,
        {{ month_start('order_date') }} as month,
        sum(coalesce(amount, extended_amount)) as billed_amount,
        count(case when amount is null then 1 end) as amounts_imputed
    from {{ ref('fact_orders') }}
    where line_type in ('sale', 'return')
    group by 1, 2
)

select
    sales.customer_id,
    sales.month,
    cast(sales.orders as bigint) as orders,
    cast(sales.lines as bigint) as lines,
    cast(sales.units as bigint) as units,
    {{ money('sales.gross_amount') }} as gross_amount,
    {{ money('sales.net_amount') }} as net_amount,
    {{ money('coalesce(billed.billed_amount, 0)') }} as billed_amount,
    coalesce(billed.amounts_imputed, 0) as amounts_imputed
from sales
left join billed on sales.customer_id = billed.customer_id and sales.month = billed.month
