{{ config(tags=['unpartitioned']) }}

with days as (
    {{ sale_days() }}
),

-- The first day with a sale of each customer.
firsts as (
    select
        customer_id,
        order_date,
        next_date,
        observed_days >= 90 as is_observed,
        observed_days >= 90 and {{ days_between('order_date', 'next_date') }} <= 90 as is_back
    from days
    where orders_so_far = sale_orders
),

all_customers as (
    select
        cast(count(case when is_back then 1 end) as double)
        / nullif(count(case when is_observed then 1 end), 0) as all_repeat_rate_90d
    from firsts
),

-- A product counts once for a customer, on however many lines.
bought as (
    select
        facts.customer_id,
        facts.product_id,
        sum(facts.extended_amount) as gross_amount
    from {{ ref('fact_orders') }} as facts
    inner join firsts
        on facts.customer_id = firsts.customer_id and facts.order_date = firsts.order_date
    where facts.line_type = 'sale'
    group by facts.customer_id, facts.product_id
),

sums as (
    select
        bought.product_id,
        count(*) as customers,
        sum(bought.gross_amount) as gross_amount,
        count(firsts.next_date) as repeated,
        count(case when firsts.is_observed then 1 end) as observed_90d,
        count(case when firsts.is_back then 1 end) as repeated_90d
    from bought
    inner join firsts on bought.customer_id = firsts.customer_id
    group by bought.product_id
)

select
    sums.product_id,
    products.product_name,
    sums.customers,
    {{ money('sums.gross_amount') }} as gross_amount,
    sums.repeated,
    sums.observed_90d,
    sums.repeated_90d,
    cast(sums.repeated_90d as double) / nullif(sums.observed_90d, 0) as repeat_rate_90d,
    case when sums.observed_90d > 0 then {{ wilson('sums.repeated_90d', 'sums.observed_90d', '-') }} end
        as repeat_rate_90d_low,
    case when sums.observed_90d > 0 then {{ wilson('sums.repeated_90d', 'sums.observed_90d', '+') }} end
        as repeat_rate_90d_high,
    all_customers.all_repeat_rate_90d
from sums
cross join all_customers
left join {{ ref('dim_products') }} as products on sums.product_id = products.product_id
