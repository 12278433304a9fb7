{{ windowed('event_date', 'daily') }}

select
    event_date,
    event_id,
    event_type,
    event_time,
    visitor,
    coalesce(customer_id, {{ unknown_member() }}) as customer_id,
    session_id,
    page_url,
    order_total,
    product_category,
    payment_method,
    is_late,
    received_at
from {{ ref('stg_events') }}
where {{ in_window('event_date') }}
