{{ windowed('order_date', 'daily') }}

-- By order first, so that orders are counted without DISTINCT.
with orders as (
    select
        order_date,
        customer_id,
        order_id,
        count(*) as lines,
        count(case when line_type = 'sale' then 1 end) as sale_lines,
        count(case when line_type = 'return' then 1 end) as return_lines,
        count(case when line_type = 'adjustment' then 1 end) as adjustment_lines,
        sum(case when line_type = 'sale' then quantity end) as units,
        sum(case when line_type = 'sale' then extended_amount end) as gross_amount,
        sum(case when line_type = 'return' then extended_amount end) as returned_amount,
        {{ sums_of_lines() }}
    from {{ ref('fact_orders') }}
    where {{ in_window('order_date') }}
    group by order_date, customer_id, order_id
),

days as (
    select
        order_date,
        customer_id,
        count(*) as orders,
        count(case when sale_lines > 0 then 1 end) as sale_orders,
        sum(lines) as lines,
        sum(sale_lines) as sale_lines,
        sum(return_lines) as return_lines,
        sum(adjustment_lines) as adjustment_lines,
        coalesce(sum(units), 0) as units,
        coalesce(sum(gross_amount), 0) as gross_amount,
        coalesce(sum(returned_amount), 0) as returned_amount,
        {{ sums_of_sums() }}
    from orders
    group by order_date, customer_id
)

select
    order_date,
    customer_id,
    orders,
    sale_orders,
    cast(lines as bigint) as lines,
    cast(sale_lines as bigint) as sale_lines,
    cast(return_lines as bigint) as return_lines,
    cast(adjustment_lines as bigint) as adjustment_lines,
    {{ money('units') }} as units,
    {{ money('gross_amount') }} as gross_amount,
    {{ money('returned_amount') }} as returned_amount,
    {{ money('gross_amount + returned_amount') }} as net_amount,
    {{ further_measures('gross_amount + returned_amount') }}
from days
