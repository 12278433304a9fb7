{{ config(
    materialized='incremental',
    incremental_strategy='window',
    on_schema_change='fail',
    full_refresh=false,
    meta={'window_column': 'month', 'months_after': 1},
    tags=['monthly']
) }}

-- The month after the window starts from where customers stand at the window's end: it is made
-- again, too, or a month that is made anew alone would not add up with it.
{%- set read -%}
    month >= {{ add_months(window_start(), -1) }} and month < {{ add_months(window_end(), 1) }}
{%- endset %}

-- The ends of the months, and the one before them that the first moves start from.
with as_of_dates as (
    select distinct as_of
    from {{ ref('churn_features') }}
    where {{ read }}
),

buyers as (
    select
        as_of,
        customer_id,
        days_since_last_order,
        sale_orders,
        net_amount
    from {{ ref('churn_features') }}
    where {{ read }}
),

known as (
    {{ known_customers('as_of_dates') }}
),

customers as (
    select
        known.as_of,
        known.customer_id,
        buyers.days_since_last_order,
        coalesce(buyers.sale_orders, 0) as sale_orders,
        buyers.net_amount
    from known
    left join buyers
        on known.as_of = buyers.as_of and known.customer_id = buyers.customer_id
),

scored as (
    {{ rfm_scored('customers') }}
),

segments as (
    select
        as_of,
        customer_id,
        {{ segment() }} as segment
    from scored
),

moves as (
    select
        {{ add_months('coalesce(later.as_of, earlier.next_as_of)', -1) }} as month,
        coalesce(earlier.segment, 'New') as from_segment,
        coalesce(later.segment, 'Gone') as to_segment
    from segments as later
    full join (
        select
            segments.customer_id,
            segments.segment,
            dates.as_of as next_as_of
        from segments
        inner join as_of_dates as dates
            on {{ add_months('segments.as_of', 1) }} = dates.as_of
    ) as earlier
        on later.customer_id = earlier.customer_id and later.as_of = earlier.next_as_of
)

select
    month,
    from_segment,
    to_segment,
    count(*) as customers
from moves
where {{ in_window('month', months_after=1) }}
group by month, from_segment, to_segment
