{#
    What is known of each customer as of one or many dates. Training (churn_features) and the
    daily snapshot (customer_analytics_daily) both call it, so they cannot drift apart.

    as_of_dates: relation with a column as_of. Only events before as_of are read. A customer is
    known by a date when registered, or with an order line, before it. The unknown member is left
    out. Attributes such as country are no features: since when they hold is not known.

    Query of as_of, customer_id and the features, in the order in which the tables hold them.
#}
{% macro customer_features(as_of_dates) %}
    {%- set order_windows = [30, 90, 180] -%}
    {%- set session_windows = [7, 30] -%}

    with order_days as (
        select
            *,
            order_date as event_date,
            case when sale_orders > 0 then order_date end as first_order_date,
            case when sale_orders > 0 then order_date end as last_order_date,
            case when sale_orders > 0 then 1 else 0 end as active_days
        from {{ ref('customer_days') }}
        where customer_id <> {{ unknown_member() }}
    ),

    session_days as (
        select
            customer_id,
            session_date as event_date,
            session_date as first_session_date,
            session_date as last_session_date,
            count(*) as sessions
        from {{ ref('fact_user_sessions') }}
        where customer_id <> {{ unknown_member() }}
        group by customer_id, session_date
    ),

    orders as (
        {{ totals_as_of(
            as_of_dates,
            'order_days',
            first='first_order_date',
            last='last_order_date',
            totals=[
                'active_days', 'sale_orders', 'sale_lines', 'units', 'gross_amount', 'net_amount',
                'return_lines', 'returned_amount',
            ],
            recent={'orders': 'sale_orders', 'net_amount': 'net_amount'},
            lengths=order_windows
        ) }}
    ),

    sessions as (
        {{ totals_as_of(
            as_of_dates,
            'session_days',
            first='first_session_date',
            last='last_session_date',
            totals=['sessions'],
            recent={'sessions': 'sessions'},
            lengths=session_windows
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
        cast({{ days_between('orders.first_order_date', 'orders.last_order_date') }} as double)
        / nullif(orders.active_days - 1, 0) as mean_gap_days,
        {{ bigint_or_zero('orders.active_days') }} as active_days
        {%- for length in order_windows %},
        {{ bigint_or_zero('orders.orders_' ~ length ~ 'd') }} as orders_{{ length }}d
        {%- endfor %}
        {%- for length in order_windows %},
        {{ money_or_zero('orders.net_amount_' ~ length ~ 'd') }} as net_amount_{{ length }}d
        {%- endfor %},
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
    left join orders
        on known.as_of = orders.as_of and known.customer_id = orders.customer_id
    left join sessions
        on known.as_of = sessions.as_of and known.customer_id = sessions.customer_id
    left join registrations
        on known.as_of = registrations.as_of and known.customer_id = registrations.customer_id
{% endmacro %}

{#
    Totals of each customer's events before each as_of, and of the last so many days before it.

    Joining every date to every earlier event would cost dates x events. Instead each event is a
    change, seen from the day after it, and another when it falls out of a last-so-many-days.
    Changes between two dates are one step; running totals of the steps are states, each valid
    until the next, and every date finds one: many dates cost little more than one.

    events: relation with customer_id, event_date and the columns named below.
    first, last: date columns, of which the earliest and the latest.
    totals: number columns to add up.
    recent: columns to add up over each of the lengths, by the prefix of their new name.
#}
{% macro totals_as_of(as_of_dates, events, first, last, totals, recent, lengths) %}
    {%- set summed = totals | list -%}
    {%- for name in recent -%}
        {%- for length in lengths -%}
            {%- do summed.append(name ~ '_' ~ length ~ 'd') -%}
        {%- endfor -%}
    {%- endfor %}
    with bounds as (
        select
            min(as_of) as first_as_of,
            max(as_of) as last_as_of
        from {{ as_of_dates }}
    ),

    changes as (
        select
            customer_id,
            {{ add_days('event_date', 1) }} as seen_from,
            {{ first }},
            {{ last }}
            {%- for column in totals %},
            {{ column }}
            {%- endfor %}
            {%- for name, column in recent.items() %}
            {%- for length in lengths %},
            case
                when event_date >= {{ add_days('first_as_of', -length) }} then {{ column }} else 0
            end as {{ name }}_{{ length }}d
            {%- endfor %}
            {%- endfor %}
        from {{ events }}
        cross join bounds
        where event_date < last_as_of
        {%- for leaving in lengths %}
        union all
        select
            customer_id,
            {{ add_days('event_date', leaving + 1) }} as seen_from,
            null as {{ first }},
            null as {{ last }}
            {%- for column in totals %},
            0 as {{ column }}
            {%- endfor %}
            {%- for name, column in recent.items() %}
            {%- for length in lengths %},
            {{ '-' ~ column if length == leaving else 0 }} as {{ name }}_{{ length }}d
            {%- endfor %}
            {%- endfor %}
        from {{ events }}
        cross join bounds
        where
            event_date >= {{ add_days('first_as_of', -leaving) }}
            and event_date < {{ add_days('last_as_of', -leaving) }}
        {%- endfor %}
    ),

    seen as (
        select
            changes.seen_from,
            min(dates.as_of) as valid_from
        from (select distinct seen_from from changes) as changes
        inner join {{ as_of_dates }} as dates on dates.as_of >= changes.seen_from
        group by changes.seen_from
    ),

    steps as (
        select
            changes.customer_id,
            seen.valid_from,
            min(changes.{{ first }}) as {{ first }},
            max(changes.{{ last }}) as {{ last }}
            {%- for column in summed %},
            sum(changes.{{ column }}) as {{ column }}
            {%- endfor %}
        from changes
        inner join seen on changes.seen_from = seen.seen_from
        group by changes.customer_id, seen.valid_from
    ),

    {%- set so_far -%}
        over (partition by customer_id order by valid_from rows unbounded preceding)
    {%- endset %}

    states as (
        select
            customer_id,
            valid_from,
            lead(valid_from) over (partition by customer_id order by valid_from) as valid_to,
            min({{ first }}) {{ so_far }} as {{ first }},
            max({{ last }}) {{ so_far }} as {{ last }}
            {%- for column in summed %},
            sum({{ column }}) {{ so_far }} as {{ column }}
            {%- endfor %}
        from steps
    )

    select
        dates.as_of,
        states.*
    from {{ as_of_dates }} as dates
    cross join bounds
    inner join states
        on
            dates.as_of >= states.valid_from
            and dates.as_of < coalesce(states.valid_to, {{ add_days('bounds.last_as_of', 1) }})
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
