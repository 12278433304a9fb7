{{ windowed('session_date', 'daily') }}
{%- set of_events = ref('event_sessions') -%}
{%- set given = ref('stg_user_sessions') %}

{% if sessions_come_from_events() -%}
select
    session_date,
    session_id,
    customer_id,
    started_at,
    duration_seconds,
    cast(pages as integer) as page_views,
    cast(null as {{ dbt.type_string() }}) as device,
    cast(null as {{ dbt.type_string() }}) as channel
from {{ of_events }}
{%- else -%}
select
    session_date,
    session_id,
    coalesce(customer_id, {{ unknown_member() }}) as customer_id,
    started_at,
    duration_seconds,
    page_views,
    device,
    channel
from {{ given }}
{%- endif %}
where {{ in_window('session_date') }}
