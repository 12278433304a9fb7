{{ config(tags=['unpartitioned']) }}

with sales as (
    select
        customer_id,
        {{ month_start('order_date') }} as month,
        sum(orders) as orders,
        sum(sale_orders) as sale_orders,
        sum(lines) as lines,
        sum(units) as units,
        sum(gross_amount) as gross_amount,
        sum(returned_amount) as returned_amount,
        sum(net_amount) as net_amount,
        {{ sums_of_days() }}
    from {{ ref('customer_days') }}
    group by 1, 2
),

-- Only here missing amounts are imputed, and counted. For most lines the billed amount is the extended
-- amount, which customer_days has summed: only the differences of the others are summed here.
billed as (
    select
        customer_id,
        {{ month_start('order_date') }} as month,
        sum(amount - extended_amount) as difference,
        count(case when amount is null then 1 end) as amounts_imputed
    from {{ ref('fact_orders') }}
    where line_type in ('sale', 'return') and (amount is null or amount <> extended_amount)
    group by 1, 2
)

select
    sales.customer_id,
    sales.month,
    cast(sales.orders as bigint) as orders,
    cast(sales.sale_orders as bigint) as sale_orders,
    cast(sales.lines as bigint) as lines,
    {{ money('sales.units') }} as units,
    {{ money('sales.gross_amount') }} as gross_amount,
    {{ money('sales.returned_amount') }} as returned_amount,
    {{ money('sales.net_amount') }} as net_amount,
    {{ further_measures('sales.net_amount') }},
    {{ money('sales.net_amount + coalesce(billed.difference, 0)') }} as billed_amount,
    coalesce(billed.amounts_imputed, 0) as amounts_imputed
from sales
left join billed on sales.customer_id = billed.customer_id and sales.month = billed.month
