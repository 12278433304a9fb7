{{ windowed('ticket_date', 'daily') }}

select
    ticket_date,
    ticket_id,
    coalesce(customer_id, {{ unknown_member() }}) as customer_id,
    opened_at,
    resolved_at,
    {{ resolved_date('ticket_date', 'resolved_at') }} as resolved_date,
    {{ seconds_from('opened_at', 'first_response_at') }} as response_seconds,
    {{ seconds_from('opened_at', 'resolved_at') }} as resolution_seconds,
    status,
    channel,
    priority,
    category,
    satisfaction
from {{ ref('stg_support_tickets') }}
where {{ in_window('ticket_date') }}
