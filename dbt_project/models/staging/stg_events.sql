{{ config(tags=['unpartitioned']) }}

with cleaned as (
    select
        event_date,
        {{ clean_text('event_id') }} as event_id,
        {{ clean_text('event_type') }} as event_type,
        event_time,
        coalesce(customer_id, session_id) as visitor,
        {{ clean_text('customer_id') }} as customer_id,
        {{ clean_text('session_id') }} as session_id,
        page_url,
        user_agent,
        properties,
        order_total,
        {{ clean_text('product_category') }} as product_category,
        {{ clean_text('payment_method') }} as payment_method,
        coalesce(is_late, false) as is_late,
        received_at,
        source_file,
        source_row
    from {{ source('raw', 'raw_events') }}
),

-- event_date is in PARTITION BY, so that a filter on it reaches the scan.
ranked as (
    select
        *,
        row_number() over (
            partition by event_date, event_id
            order by received_at nulls last, source_file, source_row
        ) as copy,
        count(*) over (partition by event_date, event_id) as copies
    from cleaned
)

select
    event_date,
    event_id,
    event_type,
    event_time,
    visitor,
    customer_id,
    session_id,
    page_url,
    user_agent,
    properties,
    order_total,
    product_category,
    payment_method,
    is_late,
    received_at,
    source_file,
    source_row,
    cast(copies as integer) as copies
from ranked
where copy = 1
