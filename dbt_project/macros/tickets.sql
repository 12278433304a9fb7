{# Columns of support tickets, and what was known of them as of a date. #}

{# The day of tickets that are not resolved, in rows that are compared. #}
{% macro never() -%} date '9999-12-31' {%- endmacro %}

{# Day from whose end on a ticket counts as resolved; null while it is open. #}
{% macro resolved_date(ticket_date, resolved_at) -%}
    case
        when {{ resolved_at }} is not null
            then greatest({{ shops_day(resolved_at) }}, {{ ticket_date }})
    end
{%- endmacro %}

{# Seconds between two times; null where they are in the other order. #}
{% macro seconds_from(first, last) -%}
    case
        when {{ last }} >= {{ first }}
            then cast({{ dbt.datediff(first, last, 'second') }} as bigint)
    end
{%- endmacro %}

{#
    Query of only_as_of, customer_id, event_date, last_ticket_date, tickets, resolved, timed, seconds:
    an event when a ticket was opened, and one when it was resolved. only_as_of is as for orders.
#}
{% macro ticket_events_as_known(as_of_dates, corrections, corrected) %}
    {%- set columns = 'customer_id, ticket_date, resolved_date, resolution_seconds' %}
    with known_tickets as (
        select
            cast(null as date) as only_as_of,
            {{ columns }},
            1 as weight
        from {{ ref('fact_support_tickets') }}
        where
            customer_id <> {{ unknown_member() }}
            and {{ in_part('customers') }}
            and ticket_date < (select max(as_of) from {{ as_of_dates }})
        union all
        select
            corrected.as_of as only_as_of,
            tickets.customer_id,
            tickets.ticket_date,
            tickets.resolved_date,
            tickets.resolution_seconds,
            1 as weight
        from {{ corrected }} as corrected
        inner join {{ ref('fact_support_tickets') }} as tickets
            on
                corrected.customer_id = tickets.customer_id
                and tickets.ticket_date < corrected.as_of
        union all
        select
            as_of as only_as_of,
            customer_id,
            ticket_date,
            nullif(resolved_date, {{ never() }}) as resolved_date,
            nullif(resolution_seconds, -1) as resolution_seconds,
            weight
        from {{ corrections }}
    ),

    {#- A row and the one that subtracts it give nothing, so that the last day is not that of a
        ticket that was not yet known. #}
    counted as (
        select
            only_as_of,
            {{ columns }},
            sum(weight) as tickets
        from known_tickets
        group by only_as_of, {{ columns }}
        having sum(weight) > 0
    )

    select
        only_as_of,
        customer_id,
        ticket_date as event_date,
        ticket_date as last_ticket_date,
        tickets,
        0 as resolved,
        0 as timed,
        0 as seconds
    from counted
    union all
    select
        only_as_of,
        customer_id,
        resolved_date as event_date,
        cast(null as date) as last_ticket_date,
        0 as tickets,
        tickets as resolved,
        case when resolution_seconds is null then 0 else tickets end as timed,
        coalesce(resolution_seconds * tickets, 0) as seconds
    from counted
    where resolved_date < (select max(as_of) from {{ as_of_dates }})
{% endmacro %}
