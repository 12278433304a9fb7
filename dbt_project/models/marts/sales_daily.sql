{{ config(tags=['unpartitioned']) }}

with orders as (
    select
        order_date,
        order_id,
        sum(case when line_type = 'sale' then extended_amount end) as order_amount
    from {{ ref('fact_orders') }}
    group by order_date, order_id
),

lines as (
    select
        facts.order_date,
        facts.order_id,
        facts.customer_id,
        coalesce(products.category, {{ unknown_member() }}) as category,
        {{ order_band('orders.order_amount') }} as revenue_band,
        case when facts.line_type = 'sale' then facts.quantity end as units,
        case when facts.line_type = 'sale' then facts.extended_amount end as gross_amount,
        case when facts.line_type = 'return' then facts.extended_amount end as returned_amount,
        facts.line_type,
        {%- for measure in line_measures() %}
        facts.{{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('fact_orders') }} as facts
    inner join orders
        on facts.order_date = orders.order_date and facts.order_id = orders.order_id
    left join {{ ref('dim_products') }} as products on facts.product_id = products.product_id
),

sums as (
    select
        order_date,
        category,
        revenue_band,
        count(distinct order_id) as orders,
        count(*) as lines,
        coalesce(sum(units), 0) as units,
        count(distinct nullif(customer_id, {{ unknown_member() }})) as customers,
        coalesce(sum(gross_amount), 0) as gross_amount,
        coalesce(sum(returned_amount), 0) as returned_amount,
        {{ sums_of_lines() }}
    from lines
    group by order_date, category, revenue_band
)

select
    order_date,
    category,
    revenue_band,
    orders,
    lines,
    {{ money('units') }} as units,
    customers,
    {{ money('gross_amount') }} as gross_amount,
    {{ money('returned_amount') }} as returned_amount,
    {{ money('gross_amount + returned_amount') }} as net_amount,
    {{ further_measures('gross_amount + returned_amount') }}
from sums
