{#
    Totals of each customer's events as of many dates.

    Joining every date to every earlier event would cost dates x events. Instead, the events between
    two dates are added up to one step. Running totals of the steps are states, each valid until the
    next, and each date is joined to one state: many dates cost little more than one. Only totals of
    recent days read their days again for each date.

    Each event has the columns customer_id and only_as_of. only_as_of is null for current events. It
    is a date if the customer's events were different as known on that date (`corrected`): such
    events count for that date only, and the current ones for all other dates.
#}

{#
    Query of as_of, customer_id and the totals of all customers with an event before as_of.

    events: relation with customer_id, only_as_of, event_date and the columns named below.
    corrected: relation of the as_of and customer_id whose events were different as known then.
    earliest, latest: columns to take the minimum and the maximum of.
    summed: columns to add up.
#}
{% macro totals_as_of(as_of_dates, events, corrected, earliest, latest, summed) %}
    with first_dates as (
        select
            days.event_date,
            min(dates.as_of) as valid_from
        from (select distinct event_date from {{ events }}) as days
        inner join {{ as_of_dates }} as dates on dates.as_of > days.event_date
        group by days.event_date
    ),

    steps as (
        select
            events.customer_id,
            events.only_as_of,
            first_dates.valid_from
            {%- for column in earliest %},
            min(events.{{ column }}) as {{ column }}
            {%- endfor %}
            {%- for column in latest %},
            max(events.{{ column }}) as {{ column }}
            {%- endfor %}
            {%- for column in summed %},
            sum(events.{{ column }}) as {{ column }}
            {%- endfor %}
        from {{ events }} as events
        inner join first_dates on events.event_date = first_dates.event_date
        group by events.customer_id, events.only_as_of, first_dates.valid_from
    ),

    {%- set whose = 'partition by customer_id, only_as_of order by valid_from' -%}
    {%- set so_far = 'over (' ~ whose ~ ' rows unbounded preceding)' %}

    states as (
        select
            customer_id,
            only_as_of,
            valid_from,
            lead(valid_from) over ({{ whose }}) as valid_to
            {%- for column in earliest %},
            min({{ column }}) {{ so_far }} as {{ column }}
            {%- endfor %}
            {%- for column in latest %},
            max({{ column }}) {{ so_far }} as {{ column }}
            {%- endfor %}
            {%- for column in summed %},
            sum({{ column }}) {{ so_far }} as {{ column }}
            {%- endfor %}
        from steps
    )

    select
        dates.as_of,
        states.*
    from {{ as_of_dates }} as dates
    inner join states
        on
            dates.as_of >= states.valid_from
            and (dates.as_of < states.valid_to or states.valid_to is null)
    left join {{ corrected }} as corrected
        on dates.as_of = corrected.as_of and states.customer_id = corrected.customer_id
    where {{ as_known('states', 'dates') }}
{% endmacro %}

{#
    Query of as_of, customer_id and totals of the last days before as_of.

    events: relation with customer_id, only_as_of, event_date and the columns named below.
    corrected: relation of the as_of and customer_id whose events were different as known then.
    columns: columns to add up, by the prefix of their new name.
    lengths: numbers of days, ascending.
#}
{% macro recent_as_of(as_of_dates, events, corrected, columns, lengths) %}
    with ages as (
        select
            days.event_date,
            dates.as_of,
            {{ days_between('days.event_date', 'dates.as_of') }} as age
        from (select distinct event_date from {{ events }}) as days
        inner join {{ as_of_dates }} as dates
            on
                dates.as_of > days.event_date
                and days.event_date >= {{ add_days('dates.as_of', -lengths[-1]) }}
    ),

    totals as (
        select
            ages.as_of,
            events.customer_id,
            events.only_as_of
            {%- for name, column in columns.items() %}
            {%- for length in lengths %},
            sum(case when ages.age <= {{ length }} then events.{{ column }} else 0 end)
                as {{ name }}_{{ length }}d
            {%- endfor %}
            {%- endfor %}
        from {{ events }} as events
        inner join ages on events.event_date = ages.event_date
        group by ages.as_of, events.customer_id, events.only_as_of
    )

    {{ totals_as_known('totals', corrected) }}
{% endmacro %}

{# Query of the totals that count, of those by as_of, customer_id and only_as_of. #}
{% macro totals_as_known(totals, corrected) %}
    select totals.*
    from {{ totals }} as totals
    left join {{ corrected }} as corrected
        on totals.as_of = corrected.as_of and totals.customer_id = corrected.customer_id
    where {{ as_known('totals', 'totals') }}
{%- endmacro %}
