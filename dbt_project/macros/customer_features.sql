{#
    Features of each customer as of one or many dates. Training (churn_features) and the daily
    snapshot (customer_analytics_daily) both call it, so their features are the same.

    as_of_dates: relation with a column as_of. Only events before as_of are read, and for rows that
    have changed since, the version known by then. A customer is known if registered or with an
    order line before as_of. The unknown member is left out. Attributes without a history are no
    features: country, city, the category in the product source, and what a ticket says of itself
    besides its times; a category on the order line is one.

    Query of as_of, customer_id and the features, in the column order of the tables.
#}
{% macro customer_features(as_of_dates) %}
    {%- set order_windows = [30, 60, 90, 180] -%}
    {%- set session_windows = [7, 30, 90] -%}
    {%- set ticket_windows = [30, 90] -%}
    {%- set breadth_days = 180 -%}
    {%- set breadth_columns = {'products': 'product_id', 'categories': 'product_category'} -%}
    {%- set order_totals = [
        'active_days', 'sale_orders', 'sale_lines', 'units', 'gross_amount', 'net_amount',
        'return_lines', 'returned_amount', 'first_net_amount', 'squared_gaps',
    ] -%}
    {%- set recent_orders = {'orders': 'sale_orders', 'net_amount': 'net_amount'} %}

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
            case when sale_orders > 0 then coalesce(gap * gap, 0) else 0 end as squared_gaps,
            -- The gap is null only on the first day with a sale.
            case
                when sale_orders > 0 and gap is null then gross_amount + returned_amount else 0
            end as first_net_amount
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

    orders as (
        {{ totals_as_of(
            as_of_dates, 'order_days', 'corrected_buyers',
            ['first_order_date'], ['last_order_date'], order_totals
        ) }}
    ),

    recent_orders as (
        {{ recent_as_of(
            as_of_dates, 'order_days', 'corrected_buyers', recent_orders, order_windows
        ) }}
    ),

    product_sales as (
        {{ product_sales_as_known(
            as_of_dates, 'order_corrections', 'corrected_buyers', breadth_days
        ) }}
    ),

    {#- A product counts for so many days, or until it is bought again: never twice. #}
    {%- set until = add_days('order_date', breadth_days) %}
    {%- for name, column in breadth_columns.items() %}
    counted_{{ name }} as (
        select
            customer_id,
            only_as_of,
            order_date,
            least({{ until }}, lead(order_date, 1, {{ until }}) over (
                partition by customer_id, only_as_of, {{ column }} order by order_date
            )) as counted_until
        from product_sales
        where {{ column }} <> {{ unknown_member() }}
    ),
    {%- endfor %}

    breadth_events as (
        {%- for name in breadth_columns %}
        {%- set last = loop.last %}
        {%- for event_date, weight in {'order_date': 1, 'counted_until': -1}.items() %}
        select
            customer_id,
            only_as_of,
            {{ event_date }} as event_date
            {%- for other in breadth_columns %},
            {{ weight if other == name else 0 }} as {{ other }}
            {%- endfor %}
        from counted_{{ name }}
        {%- if not (last and loop.last) %}
        union all
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
    ),

    breadth as (
        {{ totals_as_of(
            as_of_dates, 'breadth_events', 'corrected_buyers', [], [], breadth_columns
        ) }}
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

    sessions as (
        {{ totals_as_of(
            as_of_dates, 'session_days', 'corrected_visitors',
            ['first_session_date'], ['last_session_date'], ['sessions']
        ) }}
    ),

    recent_sessions as (
        {{ recent_as_of(
            as_of_dates, 'session_days', 'corrected_visitors', {'sessions': 'sessions'},
            session_windows
        ) }}
    ),

    ticket_corrections as (
        {{ to_be_corrected(as_of_dates, ref('ticket_corrections')) }}
    ),

    corrected_askers as (
        {{ corrected_customers('ticket_corrections') }}
    ),

    ticket_events as (
        {{ ticket_events_as_known(as_of_dates, 'ticket_corrections', 'corrected_askers') }}
    ),

    tickets as (
        {{ totals_as_of(
            as_of_dates, 'ticket_events', 'corrected_askers',
            [], ['last_ticket_date'], ['tickets', 'resolved', 'timed', 'seconds']
        ) }}
    ),

    recent_tickets as (
        {{ recent_as_of(
            as_of_dates, 'ticket_events', 'corrected_askers', {'tickets': 'tickets'},
            ticket_windows
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
        where {{ in_part('customers') }}
    ),

    {#- Customers who have ordered or are registered. The sum of gaps is the time from the first to
        the last order day. #}
    known as (
        select
            coalesce(orders.as_of, registrations.as_of) as as_of,
            coalesce(orders.customer_id, registrations.customer_id) as customer_id,
            registrations.registered_date,
            orders.first_order_date,
            orders.last_order_date
            {%- for column in order_totals %},
            orders.{{ column }}
            {%- endfor %},
            cast({{ days_between('orders.first_order_date', 'orders.last_order_date') }} as double)
                as gaps,
            orders.active_days - 1 as gap_count
        from orders
        full join registrations
            on
                orders.as_of = registrations.as_of
                and orders.customer_id = registrations.customer_id
    )

    select
        known.as_of,
        known.customer_id,
        {{ days_between('known.last_order_date', 'known.as_of') }} as days_since_last_order,
        {{ bigint_or_zero('known.sale_orders') }} as sale_orders,
        {{ bigint_or_zero('known.sale_lines') }} as sale_lines,
        {{ money_or_zero('known.units') }} as units,
        {{ money_or_zero('known.gross_amount') }} as gross_amount,
        {{ money_or_zero('known.net_amount') }} as net_amount,
        {{ money('known.gross_amount / nullif(known.sale_orders, 0)') }} as average_order_value,
        {{ bigint_or_zero('known.return_lines') }} as return_lines,
        {{ money_or_zero('known.returned_amount') }} as returned_amount,
        cast(known.return_lines as double)
        / nullif(known.sale_lines + known.return_lines, 0) as return_share,
        {{ days_between('known.first_order_date', 'known.as_of') }} as tenure_days,
        {{ days_between('known.registered_date', 'known.as_of') }}
            as days_since_registration,
        known.gaps / nullif(known.gap_count, 0) as mean_gap_days,
        case
            when known.gap_count > 1 then sqrt(
                greatest(
                    known.squared_gaps * known.gap_count - known.gaps * known.gaps, 0
                ) / (known.gap_count * (known.gap_count - 1))
            )
        end as sd_gap_days,
        {{ bigint_or_zero('known.active_days') }} as active_days,
        {{ money_or_zero('greatest(known.net_amount - known.first_net_amount, 0)') }}
            as repeat_net_amount
        {%- for length in order_windows %},
        {{ bigint_or_zero('recent_orders.orders_' ~ length ~ 'd') }} as orders_{{ length }}d
        {%- endfor %}
        {%- for length in order_windows %},
        {{ money_or_zero('recent_orders.net_amount_' ~ length ~ 'd') }} as net_amount_{{ length }}d
        {%- endfor %},
        {{ bigint_or_zero('breadth.products') }} as products_{{ breadth_days }}d,
        {{ bigint_or_zero('breadth.categories') }} as categories_{{ breadth_days }}d,
        {{ bigint_or_zero('sessions.sessions') }} as sessions_total
        {%- for length in session_windows %},
        {{ bigint_or_zero('recent_sessions.sessions_' ~ length ~ 'd') }} as sessions_{{ length }}d
        {%- endfor %},
        {{ days_between('sessions.last_session_date', 'known.as_of') }}
            as days_since_last_session,
        coalesce(
            {{ frequency(
                'sessions.sessions',
                days_between('sessions.first_session_date', 'known.as_of')
            ) }},
            0
        ) as session_frequency,
        {{ bigint_or_zero('tickets.tickets') }} as tickets_total
        {%- for length in ticket_windows %},
        {{ bigint_or_zero('recent_tickets.tickets_' ~ length ~ 'd') }} as tickets_{{ length }}d
        {%- endfor %},
        {{ bigint_or_zero('tickets.tickets - tickets.resolved') }} as open_tickets,
        {{ days_between('tickets.last_ticket_date', 'known.as_of') }} as days_since_last_ticket,
        cast(tickets.seconds as double) / 3600 / nullif(tickets.timed, 0) as mean_hours_to_resolve
    from known
    left join recent_orders
        on known.as_of = recent_orders.as_of and known.customer_id = recent_orders.customer_id
    left join breadth
        on known.as_of = breadth.as_of and known.customer_id = breadth.customer_id
    left join sessions
        on known.as_of = sessions.as_of and known.customer_id = sessions.customer_id
    left join recent_sessions
        on
            known.as_of = recent_sessions.as_of
            and known.customer_id = recent_sessions.customer_id
    left join tickets
        on known.as_of = tickets.as_of and known.customer_id = tickets.customer_id
    left join recent_tickets
        on known.as_of = recent_tickets.as_of and known.customer_id = recent_tickets.customer_id
{% endmacro %}

{% macro bigint_or_zero(expression) -%}
    cast(coalesce({{ expression }}, 0) as bigint)
{%- endmacro %}

{% macro money_or_zero(expression) -%}
    {{ money('coalesce(' ~ expression ~ ', 0)') }}
{%- endmacro %}

{# Events per 30 days; a shorter history counts as 30 days, or one event would look frequent. #}
{% macro frequency(events, days) -%}
    {%- set unit = var('frequency_days') -%}
    cast({{ events }} as double) * {{ unit }} / greatest({{ days }}, {{ unit }})
{%- endmacro %}
