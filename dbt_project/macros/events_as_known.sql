{# Customers' events as known on each of some dates: the current rows (customer_days, facts) without
   later changes (order_corrections, session_corrections). The unknown member is left out. #}

{# Query: the corrections that are valid as of each date. #}
{% macro to_be_corrected(as_of_dates, corrections) %}
    select
        dates.as_of,
        corrections.*
    from {{ as_of_dates }} as dates
    inner join {{ corrections }} as corrections
        on dates.as_of >= corrections.known_from and dates.as_of < corrections.known_to
    where corrections.customer_id <> {{ unknown_member() }} and {{ in_part('customers') }}
{%- endmacro %}

{# Query: the customers with corrections, and the dates. #}
{% macro corrected_customers(corrections) %}
    select distinct
        as_of,
        customer_id
    from {{ corrections }}
{%- endmacro %}

{# Condition: the events that count for a date, after a left join of its corrected customers. #}
{% macro as_known(events, dates) -%}
    case
        when corrected.customer_id is null then {{ events }}.only_as_of is null
        else {{ events }}.only_as_of = {{ dates }}.as_of
    end
{%- endmacro %}

{#
    Query of only_as_of, customer_id, order_date and measures of the orders. only_as_of is null for
    current days; for customers who are corrected as of a date it is that date.

    as_of_dates: relation with a column as_of.
    corrections: result of to_be_corrected.
    corrected: result of corrected_customers.
#}
{% macro order_days_as_known(as_of_dates, corrections, corrected) %}
    {%- set measures = [
        'lines', 'sale_orders', 'sale_lines', 'return_lines', 'units', 'gross_amount',
        'returned_amount',
    ] -%}
    {%- set sale_order = "case when line_type = 'sale' and weight = {} then order_id end" -%}
    {%- set of_sales = "sum(case when line_type = 'sale' then {} else 0 end)" -%}
    {%- set of_returns = "sum(case when line_type = 'return' then {} else 0 end)" -%}
    select
        cast(null as date) as only_as_of,
        customer_id,
        order_date
        {%- for measure in measures %},
        {{ measure }}
        {%- endfor %}
    from {{ ref('customer_days') }}
    where
        customer_id <> {{ unknown_member() }}
        and {{ in_part('customers') }}
        and order_date < (select max(as_of) from {{ as_of_dates }})
    union all
    select
        as_of as only_as_of,
        customer_id,
        order_date
        {%- for measure in measures %},
        sum({{ measure }}) as {{ measure }}
        {%- endfor %}
    from (
        select
            corrected.as_of,
            days.customer_id,
            days.order_date
            {%- for measure in measures %},
            days.{{ measure }}
            {%- endfor %}
        from {{ corrected }} as corrected
        inner join {{ ref('customer_days') }} as days
            on corrected.customer_id = days.customer_id and days.order_date < corrected.as_of
        union all
        select
            as_of,
            customer_id,
            order_date,
            sum(weight) as lines,
            count(distinct {{ sale_order.format(1) }})
            - count(distinct {{ sale_order.format(-1) }}) as sale_orders,
            {{ of_sales.format('weight') }} as sale_lines,
            {{ of_returns.format('weight') }} as return_lines,
            {{ of_sales.format('weight * quantity') }} as units,
            {{ of_sales.format('weight * extended_amount') }} as gross_amount,
            {{ of_returns.format('weight * extended_amount') }} as returned_amount
        from {{ corrections }}
        group by as_of, customer_id, order_date
    ) as days
    group by as_of, customer_id, order_date
    having sum(lines) > 0
{% endmacro %}

{# The same for sessions: only_as_of, customer_id, session_date, sessions. #}
{% macro session_days_as_known(as_of_dates, corrections, corrected) %}
    select
        cast(null as date) as only_as_of,
        customer_id,
        session_date,
        count(*) as sessions
    from {{ ref('fact_user_sessions') }}
    where
        customer_id <> {{ unknown_member() }}
        and {{ in_part('customers') }}
        and session_date < (select max(as_of) from {{ as_of_dates }})
    group by customer_id, session_date
    union all
    select
        as_of as only_as_of,
        customer_id,
        session_date,
        sum(weight) as sessions
    from (
        select
            corrected.as_of,
            visits.customer_id,
            visits.session_date,
            1 as weight
        from {{ corrected }} as corrected
        inner join {{ ref('fact_user_sessions') }} as visits
            on
                corrected.customer_id = visits.customer_id
                and visits.session_date < corrected.as_of
        union all
        select
            as_of,
            customer_id,
            session_date,
            weight
        from {{ corrections }}
    ) as visits
    group by as_of, customer_id, session_date
    having sum(weight) > 0
{% endmacro %}

{# The sales of each product in the `length` days before the dates: only_as_of, customer_id,
   product_id, product_category, order_date. #}
{% macro product_sales_as_known(as_of_dates, corrections, corrected, length) %}
    {%- set columns = ['customer_id', 'product_id', 'product_category', 'order_date'] -%}
    select
        cast(null as date) as only_as_of
        {%- for column in columns %},
        {{ column }}
        {%- endfor %}
    from {{ ref('fact_orders') }}
    where
        line_type = 'sale'
        and customer_id <> {{ unknown_member() }}
        and {{ in_part('customers') }}
        and order_date >= (select {{ add_days('min(as_of)', -length) }} from {{ as_of_dates }})
        and order_date < (select max(as_of) from {{ as_of_dates }})
    union all
    select
        as_of as only_as_of
        {%- for column in columns %},
        {{ column }}
        {%- endfor %}
    from (
        select
            corrected.as_of
            {%- for column in columns %},
            lines.{{ column }}
            {%- endfor %},
            1 as weight
        from {{ corrected }} as corrected
        inner join {{ ref('fact_orders') }} as lines
            on
                corrected.customer_id = lines.customer_id
                and lines.order_date < corrected.as_of
                and lines.order_date >= {{ add_days('corrected.as_of', -length) }}
        where
            lines.line_type = 'sale'
            and lines.order_date >= (
                select {{ add_days('min(as_of)', -length) }} from {{ as_of_dates }}
            )
        union all
        select
            as_of
            {%- for column in columns %},
            {{ column }}
            {%- endfor %},
            weight
        from {{ corrections }}
        where line_type = 'sale' and order_date >= {{ add_days('as_of', -length) }}
    ) as sales
    group by as_of, {{ columns | join(', ') }}
    having sum(weight) > 0
{% endmacro %}

{# Query: as_of and customer_id of all customers known by each date: registered or with an order. #}
{% macro known_customers(as_of_dates) %}
    with corrections as (
        {{ to_be_corrected(as_of_dates, ref('order_corrections')) }}
    ),

    corrected as (
        {{ corrected_customers('corrections') }}
    ),

    days as (
        select
            only_as_of,
            customer_id,
            order_date as known_day
        from ({{ order_days_as_known(as_of_dates, 'corrections', 'corrected') }}) as known_days
        union all
        select
            cast(null as date) as only_as_of,
            customer_id,
            cast(registered_at as date) as known_day
        from {{ ref('dim_customers') }}
        where registered_at is not null
        union all
        select
            corrected.as_of as only_as_of,
            customers.customer_id,
            cast(customers.registered_at as date) as known_day
        from corrected
        inner join {{ ref('dim_customers') }} as customers
            on corrected.customer_id = customers.customer_id
        where customers.registered_at is not null
    ),

    first_days as (
        select
            only_as_of,
            customer_id,
            min(known_day) as first_day
        from days
        group by only_as_of, customer_id
    )

    select
        dates.as_of,
        first_days.customer_id
    from {{ as_of_dates }} as dates
    inner join first_days on dates.as_of > first_days.first_day
    left join corrected
        on dates.as_of = corrected.as_of and first_days.customer_id = corrected.customer_id
    where {{ as_known('first_days', 'dates') }}
{% endmacro %}
