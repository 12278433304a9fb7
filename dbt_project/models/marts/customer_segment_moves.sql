{{ windowed('month', 'monthly', {'months_after': 1, 'parts': 'months'}) }}

-- The month after the window is rebuilt, too: it starts from the segments at the window's end.
with months as (
    select date_day as month
    from ({{ months_of_window() }}) as dates
    where {{ in_part('months') }}
),

-- Each month needs the customers at its end, and at the end of the month before.
features as (
    select
        as_of,
        customer_id,
        days_since_last_order,
        sale_orders,
        net_amount
    from {{ ref('churn_features') }}
    where
        month in (select month from months)
        or month in (select {{ add_months('month', -1) }} from months)
),

as_of_dates as (
    select distinct as_of
    from features
),

known as (
    {{ known_customers('as_of_dates') }}
),

customers as (
    select
        known.as_of,
        known.customer_id,
        features.days_since_last_order,
        coalesce(features.sale_orders, 0) as sale_orders,
        features.net_amount
    from known
    left join features
        on known.as_of = features.as_of and known.customer_id = features.customer_id
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
where month in (select months.month from months)
group by month, from_segment, to_segment
