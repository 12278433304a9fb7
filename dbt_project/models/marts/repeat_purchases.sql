{{ config(tags=['unpartitioned']) }}

{%- set first_day = "date '2000-01-01'" %}

with days as (
    {{ sale_days() }}
),

-- 1, 2, ... up to the most orders of a customer on one day.
numbers as (
    select {{ days_between(first_day, 'date_day') }} + 1 as number
    from (
        {{ date_series(
            first_day,
            add_days(first_day, '(select cast(max(sale_orders) as integer) from days)'),
            'day'
        ) }}
    ) as dates
),

-- The last order of a day is followed by that of a later day, the others by one of the same day.
orders as (
    select
        orders_so_far as order_number,
        observed_days,
        {{ days_between('order_date', 'next_date') }} as days_to_next
    from days
    union all
    select
        days.orders_so_far - days.sale_orders + numbers.number as order_number,
        days.observed_days,
        0 as days_to_next
    from days
    inner join numbers on numbers.number < days.sale_orders
    where days.sale_orders > 1
),

sums as (
    select
        order_number,
        count(*) as customers,
        count(days_to_next) as repeated,
        avg(cast(days_to_next as double)) as days_to_next_mean,
        percentile_cont(0.25) within group (order by days_to_next) as days_to_next_p25,
        percentile_cont(0.5) within group (order by days_to_next) as days_to_next_median,
        percentile_cont(0.75) within group (order by days_to_next) as days_to_next_p75,
        {%- for days in repeat_days() %}
        count(case when observed_days >= {{ days }} then 1 end) as observed_{{ days }}d,
        count(case when observed_days >= {{ days }} and days_to_next <= {{ days }} then 1 end)
            as repeated_{{ days }}d{{ ',' if not loop.last }}
        {%- endfor %}
    from orders
    group by order_number
)

select
    cast(order_number as integer) as order_number,
    customers,
    repeated,
    cast(repeated as double) / customers as repeat_rate,
    days_to_next_mean,
    cast(days_to_next_p25 as double) as days_to_next_p25,
    cast(days_to_next_median as double) as days_to_next_median,
    cast(days_to_next_p75 as double) as days_to_next_p75,
    {%- for days in repeat_days() %}
    observed_{{ days }}d,
    repeated_{{ days }}d,
    cast(repeated_{{ days }}d as double) / nullif(observed_{{ days }}d, 0)
        as repeat_rate_{{ days }}d{{ ',' if not loop.last }}
    {%- endfor %}
from sums
