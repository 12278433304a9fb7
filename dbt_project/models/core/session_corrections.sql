{{ windowed('session_date', 'daily') }}
{%- set of_events = ref('fact_events') %}

{% if sessions_come_from_events() -%}
with events as (
    select *
    from {{ of_events }}
    where {{ in_window('event_date') }}
),

corrections as (
    {{ corrections_of_event_sessions('events') }}
)
{%- else -%}
with changed_later as (
    select distinct
        session_date,
        {{ clean_text('session_id') }} as clean_session_id
    from {{ source('raw', 'raw_user_sessions') }}
    where {{ in_window('session_date') }} and updated_at >= {{ add_days('session_date', 1) }}
),

versions as (
    select
        sessions.session_date,
        changed_later.clean_session_id as session_id,
        coalesce({{ clean_text('sessions.customer_id') }}, {{ unknown_member() }}) as customer_id,
        sessions.updated_at,
        sessions.source_file,
        sessions.source_row
    from {{ source('raw', 'raw_user_sessions') }} as sessions
    inner join changed_later
        on
            sessions.session_date = changed_later.session_date
            and {{ clean_text('sessions.session_id') }} = changed_later.clean_session_id
    where {{ in_window('sessions.session_date') }}
),

corrections as (
    {{ corrections(
        'versions', ['session_date', 'session_id'], 'session_id', 'session_date',
        ['customer_id'], 'user_sessions'
    ) }}
)
{%- endif %}

select
    session_date,
    session_id,
    known_from,
    known_to,
    weight,
    customer_id
from corrections
