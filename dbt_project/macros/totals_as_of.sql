{#
    Totals of each customer's events as of many dates.

    Joining every date to every earlier event would cost dates x events. Instead an event is a
    change, seen from some date on, and another when it falls out of a last-so-many-days. Changes
    between two dates are one step; running totals of the steps are states, each valid until the
    next, and every date finds one: many dates cost little more than one.

    The columns customer_id and only_as_of say whose events they are. only_as_of is null for events
    as they stand now, and a date where a customer's events were known otherwise as of that date
    (`corrected`): these count for that date only, and the others for all dates but those.
#}

{#
    Query of the changes that days make.

    days: relation with customer_id, only_as_of, event_date and the columns named below.
    first, last: date columns, of which the earliest and the latest are wanted.
    totals: number columns to add up.
    recent: columns to add up over each of the lengths in days, by the prefix of their new name.
#}
{% macro day_changes(as_of_dates, days, first, last, totals, recent, lengths) %}
    with bounds as (
        select
            min(as_of) as first_as_of,
            max(as_of) as last_as_of
        from {{ as_of_dates }}
    )

    select
        customer_id,
        only_as_of,
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
    from {{ days }}
    cross join bounds
    where event_date < last_as_of
    {%- for leaving in lengths %}
    union all
    select
        customer_id,
        only_as_of,
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
    from {{ days }}
    cross join bounds
    where
        event_date >= {{ add_days('first_as_of', -leaving) }}
        and event_date < {{ add_days('last_as_of', -leaving) }}
    {%- endfor %}
{% endmacro %}

{#
    Query of as_of, customer_id and the totals of everyone with a change before as_of.

    changes: relation with customer_id, only_as_of, seen_from and the columns named below.
    corrected: relation of the as_of and customer_id whose events were known otherwise.
    earliest, latest: columns of which the minimum and the maximum are taken.
    summed: columns to add up.
#}
{% macro totals_as_of(as_of_dates, changes, corrected, earliest, latest, summed) %}
    with seen as (
        select
            changes.seen_from,
            min(dates.as_of) as valid_from
        from (select distinct seen_from from {{ changes }}) as changes
        inner join {{ as_of_dates }} as dates on dates.as_of >= changes.seen_from
        group by changes.seen_from
    ),

    steps as (
        select
            changes.customer_id,
            changes.only_as_of,
            seen.valid_from
            {%- for column in earliest %},
            min(changes.{{ column }}) as {{ column }}
            {%- endfor %}
            {%- for column in latest %},
            max(changes.{{ column }}) as {{ column }}
            {%- endfor %}
            {%- for column in summed %},
            sum(changes.{{ column }}) as {{ column }}
            {%- endfor %}
        from {{ changes }} as changes
        inner join seen on changes.seen_from = seen.seen_from
        group by changes.customer_id, changes.only_as_of, seen.valid_from
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
