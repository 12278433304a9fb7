{#
    What is known of each customer as of one or many dates. Training (churn_features) and the
    daily snapshot (customer_analytics_daily) both call it, so they cannot drift apart.

    as_of_dates: relation with a column as_of. Only events before as_of are read, and of rows that
    have changed since, the version that was known by then. A customer is known by a date when
    registered, or with an order line, before it. The unknown member is left out. No feature is
    made from an attribute of which is not known since when it holds: country, city, and the
    category in the product source, which keeps no history; a category on the order line counts.

    Query of as_of, customer_id and the features, in the order in which the tables hold them.
#}
{% macro customer_features(as_of_dates) %}
    {%- set order_windows = [30, 60, 90, 180] -%}
    {%- set session_windows = [7, 30, 90] -%}
    {%- set breadth_days = 180 -%}
    {%- set order_totals = [
        'active_days', 'sale_orders', 'sale_lines', 'units', 'gross_amount', 'net_amount',
        'return_lines', 'returned_amount', 'squared_gaps',
    ] -%}
    {%- set recent_orders = {'orders': 'sale_orders', 'net_amount': 'net_amount'} -%}
    {%- set recent_sessions = {'sessions': 'sessions'} -%}
    {%- set order_sums = order_totals | list -%}
    {%- for name in recent_orders -%}
        {%- for length in order_windows -%}
            {%- do order_sums.append(name ~ '_' ~ length ~ 'd') -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set session_sums = ['sessions'] -%}
    {%- for length in session_windows -%}
        {%- do session_sums.append('sessions_' ~ length ~ 'd') -%}
    {%- endfor %}

    with order_corrections as (
        {{ to_be_corrected(as_of_dates, ref('order_corrections')) }}
    ),

    corrected_buyers as (
        {{ corrected_customers('order_corrections') }}
    ),

    order_days as (
        select
            *,
            gross_amount + returned_amount as net_amount,
            order_date as event_date,
            case when sale_orders > 0 then order_date end as first_order_date,
            case when sale_orders > 0 then order_date end as last_order_date,
            case when sale_orders > 0 then 1 else 0 end as active_days,
            case when sale_orders > 0 then coalesce(gap * gap, 0) else 0 end as squared_gaps
        from (
            select
                *,
                cast({{ days_between(
                    'lag(order_date) over (partition by customer_id, only_as_of, sale_orders > 0 '
                    ~ 'order by order_date)',
                    'order_date'
                ) }} as bigint) as gap
            from (
                {{ order_days_as_known(as_of_dates, 'order_corrections', 'corrected_buyers') }}
            ) as known_days
        ) as gapped_days
    ),

    order_changes as (
        {{ day_changes(
            as_of_dates, 'order_days', 'first_order_date', 'last_order_date',
            order_totals, recent_orders, order_windows
        ) }}
    ),

    orders as (
        {{ totals_as_of(
            as_of_dates, 'order_changes', 'corrected_buyers',
            ['first_order_date'], ['last_order_date'], order_sums
        ) }}
    ),

    product_sales as (
        {{ product_sales_as_known(
            as_of_dates, 'order_corrections', 'corrected_buyers', breadth_days
        ) }}
    ),

    -- So few days before each date that every date may read them again.
    breadth as (
        select
            dates.as_of,
            sales.customer_id,
            count(distinct nullif(sales.product_id, {{ unknown_member() }})) as products,
            count(distinct sales.product_category) as categories
        from {{ as_of_dates }} as dates
        inner join product_sales as sales
            on
                sales.order_date < dates.as_of
                and sales.order_date >= {{ add_days('dates.as_of', -breadth_days) }}
        left join corrected_buyers as corrected
            on dates.as_of = corrected.as_of and sales.customer_id = corrected.customer_id
        where {{ as_known('sales', 'dates') }}
        group by dates.as_of, sales.customer_id
    ),

    session_corrections as (
        {{ to_be_corrected(as_of_dates, ref('session_corrections')) }}
    ),

    corrected_visitors as (
        {{ corrected_customers('session_corrections') }}
    ),

    session_days as (
        select
            *,
            session_date as event_date,
            session_date as first_session_date,
            session_date as last_session_date
        from (
            {{ session_days_as_known(
                as_of_dates, 'session_corrections', 'corrected_visitors'
            ) }}
        ) as known_days
    ),

    session_changes as (
        {{ day_changes(
            as_of_dates, 'session_days', 'first_session_date', 'last_session_date',
            ['sessions'], recent_sessions, session_windows
        ) }}
    ),

    sessions as (
        {{ totals_as_of(
            as_of_dates, 'session_changes', 'corrected_visitors',
            ['first_session_date'], ['last_session_date'], session_sums
        ) }}
    ),

    registrations as (
        select
            dates.as_of,
            customers.customer_id,
            cast(customers.registered_at as date) as registered_date
        from {{ as_of_dates }} as dates
        inner join {{ ref('dim_customers') }} as customers
            on customers.registered_at < dates.as_of
    ),

    known as (
        select
            as_of,
            customer_id
        from orders
        union
        select
            as_of,
            customer_id
        from registrations
    ),

    {#- Sums of gaps: the first is the time between the first and the last. #}
    measured as (
        select
            *,
            cast({{ days_between('first_order_date', 'last_order_date') }} as double) as gaps,
            active_days - 1 as gap_count
        from orders
    )

    select
        known.as_of,
        known.customer_id,
        {{ days_between('orders.last_order_date', 'known.as_of') }} as days_since_last_order,
        {{ bigint_or_zero('orders.sale_orders') }} as sale_orders,
        {{ bigint_or_zero('orders.sale_lines') }} as sale_lines,
        {{ bigint_or_zero('orders.units') }} as units,
        {{ money_or_zero('orders.gross_amount') }} as gross_amount,
        {{ money_or_zero('orders.net_amount') }} as net_amount,
        {{ money('orders.gross_amount / nullif(orders.sale_orders, 0)') }} as average_order_value,
        {{ bigint_or_zero('orders.return_lines') }} as return_lines,
        {{ money_or_zero('orders.returned_amount') }} as returned_amount,
        cast(orders.return_lines as double)
        / nullif(orders.sale_lines + orders.return_lines, 0) as return_share,
        {{ days_between('orders.first_order_date', 'known.as_of') }} as tenure_days,
        {{ days_between('registrations.registered_date', 'known.as_of') }}
            as days_since_registration,
        orders.gaps / nullif(orders.gap_count, 0) as mean_gap_days,
        case
            when orders.gap_count > 1 then sqrt(
                greatest(
                    orders.squared_gaps * orders.gap_count - orders.gaps * orders.gaps, 0
                ) / (orders.gap_count * (orders.gap_count - 1))
            )
        end as sd_gap_days,
        {{ bigint_or_zero('orders.active_days') }} as active_days
        {%- for length in order_windows %},
        {{ bigint_or_zero('orders.orders_' ~ length ~ 'd') }} as orders_{{ length }}d
        {%- endfor %}
        {%- for length in order_windows %},
        {{ money_or_zero('orders.net_amount_' ~ length ~ 'd') }} as net_amount_{{ length }}d
        {%- endfor %},
        {{ bigint_or_zero('breadth.products') }} as products_{{ breadth_days }}d,
        {{ bigint_or_zero('breadth.categories') }} as categories_{{ breadth_days }}d,
        {{ bigint_or_zero('sessions.sessions') }} as sessions_total
        {%- for length in session_windows %},
        {{ bigint_or_zero('sessions.sessions_' ~ length ~ 'd') }} as sessions_{{ length }}d
        {%- endfor %},
        {{ days_between('sessions.last_session_date', 'known.as_of') }}
            as days_since_last_session,
        coalesce(
            {{ frequency(
                'sessions.sessions',
                days_between('sessions.first_session_date', 'known.as_of')
            ) }},
            0
        ) as session_frequency
    from known
    left join measured as orders
        on known.as_of = orders.as_of and known.customer_id = orders.customer_id
    left join breadth
        on known.as_of = breadth.as_of and known.customer_id = breadth.customer_id
    left join sessions
        on known.as_of = sessions.as_of and known.customer_id = sessions.customer_id
    left join registrations
        on known.as_of = registrations.as_of and known.customer_id = registrations.customer_id
{% endmacro %}

{% macro bigint_or_zero(expression) -%}
    cast(coalesce({{ expression }}, 0) as bigint)
{%- endmacro %}

{% macro money_or_zero(expression) -%}
    {{ money('coalesce(' ~ expression ~ ', 0)') }}
{%- endmacro %}

{# Events for each 30 days; a short history counts as 30, or one event would look like a habit. #}
{% macro frequency(events, days) -%}
    {%- set unit = var('frequency_days') -%}
    cast({{ events }} as double) * {{ unit }} / greatest({{ days }}, {{ unit }})
{%- endmacro %}
