{{ windowed('session_date', 'daily') }}

with events as (
    select *
    from {{ ref('fact_events') }}
    where {{ in_window('event_date') }}
)

select *
from ({{ sessions_of_events('events') }}) as of_events
