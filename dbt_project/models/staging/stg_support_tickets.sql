{{ config(tags=['unpartitioned']) }}

with cleaned as (
    select
        ticket_date,
        {{ clean_text('ticket_id') }} as ticket_id,
        {{ clean_text('customer_id') }} as customer_id,
        opened_at,
        first_response_at,
        resolved_at,
        lower({{ clean_text('status') }}) as status,
        lower({{ clean_text('channel') }}) as channel,
        lower({{ clean_text('priority') }}) as priority,
        {{ clean_text('category') }} as category,
        satisfaction,
        updated_at,
        source_file,
        source_row
    from {{ source('raw', 'raw_support_tickets') }}
),

-- ticket_date is in PARTITION BY, so that a filter on it reaches the scan.
ranked as (
    {{ rank_newest('cleaned', ['ticket_date', 'ticket_id']) }}
)

select
    ticket_date,
    ticket_id,
    customer_id,
    opened_at,
    first_response_at,
    resolved_at,
    status,
    channel,
    priority,
    category,
    satisfaction,
    updated_at,
    source_file,
    source_row,
    cast(copies as integer) as copies
from ranked
where newest = 1
