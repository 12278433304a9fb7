{{ config(tags=['unpartitioned']) }}

with cleaned as (
    select
        session_date,
        {{ clean_text('session_id') }} as session_id,
        {{ clean_text('customer_id') }} as customer_id,
        started_at,
        ended_at,
        page_views,
        lower({{ clean_text('device') }}) as device,
        lower({{ clean_text('channel') }}) as channel,
        updated_at,
        source_file,
        source_row
    from {{ source('raw', 'raw_user_sessions') }}
),

-- session_date is in PARTITION BY, so that a filter on it reaches the scan.
ranked as (
    {{ rank_newest('cleaned', ['session_date', 'session_id']) }}
)

select
    session_date,
    session_id,
    customer_id,
    started_at,
    ended_at,
    case
        when ended_at >= started_at
            then cast({{ dbt.datediff('started_at', 'ended_at', 'second') }} as bigint)
    end as duration_seconds,
    page_views,
    device,
    channel,
    updated_at,
    source_file,
    source_row,
    cast(copies as integer) as copies
from ranked
where newest = 1
