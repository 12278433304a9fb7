{# Sessions of events, by the rules of the stream: an event exactly 30 minutes after the last one is of
   the same session, as Spark has it. #}

{% macro session_gap_minutes() -%} 30 {%- endmacro %}

{# Whether the sources of a run have one; false while the project is parsed. #}
{% macro is_configured(source) -%}
    {{ return(execute and source in env_var('ANALYTICS_CONFIGURED_SOURCES', '').split(',')) }}
{%- endmacro %}

{# Whether sessions come from events: where there are events, and no table of sessions. #}
{% macro sessions_come_from_events() -%}
    {{ return(is_configured('events') and not is_configured('user_sessions')) }}
{%- endmacro %}

{# A time as microseconds since 1970. #}
{% macro epoch_micros(time) -%}
    {{ return(adapter.dispatch('epoch_micros')(time)) }}
{%- endmacro %}

{% macro duckdb__epoch_micros(time) -%} epoch_us({{ time }}) {%- endmacro %}

{#
    Query of sessions: a visitor's events of a day without a pause of 30 minutes.

    events: relation with the columns of fact_events.
    apart: further columns; the events of each of their values have sessions of their own.
#}
{% macro sessions_of_events(events, apart=[]) %}
    {%- set whose = (apart + ['event_date', 'visitor']) | join(', ') -%}
    {%- set in_order = 'partition by ' ~ whose ~ ' order by event_time, event_id' -%}
    with paused as (
        select
            *,
            lag(event_time) over ({{ in_order }}) as previous_time
        from {{ events }}
        where visitor is not null
    ),

    numbered as (
        select
            *,
            sum(
                case
                    when previous_time is null then 1
                    when event_time > {{
                        dbt.dateadd('minute', session_gap_minutes(), 'previous_time')
                    }} then 1
                    else 0
                end
            ) over ({{ in_order }} rows unbounded preceding) as session_number
        from paused
    ),

    sessions as (
        select
            {{ whose }},
            session_number,
            max(nullif(customer_id, {{ unknown_member() }})) as customer_id,
            min(event_time) as started_at,
            max(event_time) as last_event_at,
            count(*) as events,
            count(distinct page_url) as pages,
            count(case when event_type = 'purchase' then 1 end) as purchases,
            {{ dbt.listagg('event_type', "','", 'order by event_time, event_id') }} as event_types,
            count(case when is_late then 1 end) as late_events
        from numbered
        group by {{ whose }}, session_number
    ),

    measured as (
        select
            *,
            cast({{ dbt.datediff('started_at', 'last_event_at', 'second') }} as bigint)
                as duration_seconds
        from sessions
    )

    select
        {%- for column in apart %}
        {{ column }},
        {%- endfor %}
        event_date as session_date,
        visitor || '-' || cast({{ epoch_micros('started_at') }} as {{ dbt.type_string() }})
            as session_id,
        visitor,
        coalesce(customer_id, {{ unknown_member() }}) as customer_id,
        started_at,
        last_event_at,
        events,
        pages,
        duration_seconds,
        purchases,
        event_types,
        cast(
            least(pages, 10) * 4
            + floor(least(duration_seconds, 1800) / 60)
            + least(events, 20)
            + case when purchases > 0 then 10 else 0 end
        as bigint) as engagement,
        case
            when {{ shops_day(dbt.dateadd('minute', session_gap_minutes(), 'last_event_at')) }}
                > event_date
                then 'day'
            else 'gap'
        end as ended_by,
        late_events
    from measured
{%- endmacro %}

{#
    Query of the corrections of sessions of events: session_date, session_id, known_from, known_to,
    weight and customer_id, as the macro `corrections` has them.

    Events that came after their day change its sessions. Before the day on which they came, the
    sessions were those of the events that had come. Only visitors whose number of sessions was
    another are listed.

    events: relation with the columns of fact_events, of a window.
#}
{% macro corrections_of_event_sessions(events) %}
    with dated as (
        select
            *,
            case
                when {{ shops_day('received_at') }} > event_date then {{ shops_day('received_at') }}
                else event_date
            end as known_day
        from {{ events }}
    ),

    changed as (
        select
            event_date,
            visitor
        from dated
        where visitor is not null
        group by event_date, visitor
        having max(known_day) > event_date
    ),

    days as (
        select
            event_date,
            visitor,
            event_date as as_known
        from changed
        union
        select
            dated.event_date,
            dated.visitor,
            dated.known_day as as_known
        from dated
        inner join changed
            on dated.event_date = changed.event_date and dated.visitor = changed.visitor
    ),

    states as (
        select
            *,
            lead(as_known) over (partition by event_date, visitor order by as_known) as next_known
        from days
    ),

    known_events as (
        select
            states.as_known,
            dated.*
        from states
        inner join dated
            on
                states.event_date = dated.event_date
                and states.visitor = dated.visitor
                and dated.known_day <= states.as_known
    ),

    sessions as (
        {{ sessions_of_events('known_events', ['as_known']) }}
    ),

    counted as (
        select
            states.event_date,
            states.visitor,
            states.as_known,
            states.next_known,
            count(sessions.session_id) as number_of_sessions
        from states
        left join sessions
            on
                states.event_date = sessions.session_date
                and states.visitor = sessions.visitor
                and states.as_known = sessions.as_known
        group by states.event_date, states.visitor, states.as_known, states.next_known
    ),

    corrected as (
        select
            event_date,
            visitor,
            max(as_known) as settled
        from counted
        group by event_date, visitor
        having min(number_of_sessions) < max(number_of_sessions)
    )

    select
        sessions.session_date,
        sessions.session_id,
        {{ add_days('counted.as_known', 1) }} as known_from,
        {{ add_days('counted.next_known', 1) }} as known_to,
        1 as weight,
        sessions.customer_id
    from sessions
    inner join counted
        on
            sessions.session_date = counted.event_date
            and sessions.visitor = counted.visitor
            and sessions.as_known = counted.as_known
    inner join corrected
        on sessions.session_date = corrected.event_date and sessions.visitor = corrected.visitor
    where counted.next_known is not null
    union all
    select
        sessions.session_date,
        sessions.session_id,
        {{ add_days('sessions.session_date', 1) }} as known_from,
        {{ add_days('corrected.settled', 1) }} as known_to,
        -1 as weight,
        sessions.customer_id
    from sessions
    inner join corrected
        on
            sessions.session_date = corrected.event_date
            and sessions.visitor = corrected.visitor
            and sessions.as_known = corrected.settled
{%- endmacro %}
