{{ config(tags=['unpartitioned']) }}

{%- set dimensions = cohort_dimensions() %}
{%- set order_columns = 'partition by facts.customer_id, facts.order_id' %}

with first_days as (
    select
        customer_id,
        min(order_date) as order_date
    from {{ ref('customer_days') }}
    where sale_orders > 0 and customer_id <> {{ unknown_member() }}
    group by customer_id
),

-- The sale lines of a customer's first day; of several orders on it, the first counts.
lines as (
    select
        facts.customer_id,
        facts.order_id,
        facts.order_date,
        facts.line_number,
        facts.product_id,
        facts.extended_amount,
        min(facts.ordered_at) over ({{ order_columns }}) as ordered_at,
        max(facts.channel) over ({{ order_columns }}) as channel,
        max(facts.coupon) over ({{ order_columns }}) as coupon,
        sum(facts.discount) over ({{ order_columns }}) as order_discount,
        sum(facts.extended_amount) over ({{ order_columns }}) as order_amount
    from {{ ref('fact_orders') }} as facts
    inner join first_days
        on facts.customer_id = first_days.customer_id and facts.order_date = first_days.order_date
    where facts.line_type = 'sale'
),

-- Of an order with several products, the line with the largest amount, then the first one.
ranked as (
    select
        *,
        row_number() over (
            partition by customer_id
            order by ordered_at, order_id, extended_amount desc, line_number
        ) as position
    from lines
),

customers as (
    select
        firsts.customer_id,
        {{ month_start('firsts.order_date') }} as cohort_month
        {%- for name, value in dimensions.items() %},
        {{ value }} as {{ name }}
        {%- endfor %}
    from ranked as firsts
    left join {{ ref('dim_products') }} as products on firsts.product_id = products.product_id
    left join {{ ref('dim_customers') }} as customers on firsts.customer_id = customers.customer_id
    where firsts.position = 1
),

months as (
    select
        customers.*,
        {{ month_number('sales.month') }} - {{ month_number('customers.cohort_month') }}
            as month_number,
        sales.sale_orders,
        sales.gross_amount,
        sales.returned_amount,
        sales.net_amount,
        sales.margin_amount
    from {{ ref('customer_sales') }} as sales
    inner join customers on sales.customer_id = customers.customer_id
    where sales.month >= customers.cohort_month
),

sizes as (
    {%- for name in dimensions %}
    select
        '{{ name }}' as dimension,
        {{ name }} as value,
        cohort_month,
        count(*) as customers
    from customers
    group by {{ name }}, cohort_month
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

activity as (
    {%- for name in dimensions %}
    select
        '{{ name }}' as dimension,
        {{ name }} as value,
        cohort_month,
        month_number,
        count(case when sale_orders > 0 then 1 end) as active,
        sum(net_amount) as net,
        sum(gross_amount) as gross,
        sum(returned_amount) as returned,
        sum(margin_amount) as margin,
        count(*) - count(margin_amount) as without_margin
    from months
    group by {{ name }}, cohort_month, month_number
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

-- A dimension such as coupon may have as many values as there are customers.
names as (
    select
        dimension,
        value,
        case
            when
                row_number() over (
                    partition by dimension order by sum(customers) desc, value
                ) <= {{ var('cohort_dimension_values') }}
                then value
            else '(other)'
        end as name
    from sizes
    group by dimension, value
),

named_sizes as (
    select
        names.dimension,
        names.name as value,
        sizes.cohort_month,
        cast(sum(sizes.customers) as bigint) as customers_in_cohort
    from sizes
    inner join names on sizes.dimension = names.dimension and sizes.value = names.value
    group by names.dimension, names.name, sizes.cohort_month
),

named_activity as (
    select
        names.dimension,
        names.name as value,
        activity.cohort_month,
        activity.month_number,
        sum(activity.active) as active,
        sum(activity.net) as net,
        sum(activity.gross) as gross,
        sum(activity.returned) as returned,
        sum(activity.margin) as margin,
        sum(activity.without_margin) as without_margin
    from activity
    inner join names on activity.dimension = names.dimension and activity.value = names.value
    group by names.dimension, names.name, activity.cohort_month, activity.month_number
),

-- Months are those of customer_cohort_analysis: it says which have been observed.
observed_cells as (
    select
        sizes.dimension,
        sizes.value,
        sizes.cohort_month,
        sizes.customers_in_cohort,
        cohorts.month_number,
        cohorts.is_complete,
        cohorts.customers_active is not null as is_observed,
        activity.active,
        activity.net,
        activity.gross,
        activity.returned,
        activity.margin,
        activity.without_margin
    from named_sizes as sizes
    inner join {{ ref('customer_cohort_analysis') }} as cohorts
        on sizes.cohort_month = cohorts.cohort_month
    left join named_activity as activity
        on
            sizes.dimension = activity.dimension
            and sizes.value = activity.value
            and sizes.cohort_month = activity.cohort_month
            and cohorts.month_number = activity.month_number
)

select *
from (
    {{ cohort_measures('observed_cells', ['dimension', 'value']) }}
) as measures
