{{ windowed('session_date', 'daily') }}

select
    session_date,
    session_id,
    coalesce(customer_id, {{ unknown_member() }}) as customer_id,
    started_at,
    duration_seconds,
    page_views,
    device,
    channel
from {{ ref('stg_user_sessions') }}
where {{ in_window('session_date') }}
