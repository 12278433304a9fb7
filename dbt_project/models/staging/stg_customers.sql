{{ config(tags=['unpartitioned']) }}

with cleaned as (
    select
        {{ clean_text('customer_id') }} as customer_id,
        {{ clean_text('email') }} as email,
        {{ clean_text('first_name') }} as first_name,
        {{ clean_text('last_name') }} as last_name,
        registered_at,
        {{ clean_text('country') }} as country,
        {{ clean_text('city') }} as city,
        updated_at,
        source_file,
        source_row
    from {{ source('raw', 'raw_customers') }}
),

ranked as (
    {{ rank_newest('cleaned', ['customer_id']) }}
)

select
    customer_id,
    email,
    first_name,
    last_name,
    registered_at,
    country,
    city,
    updated_at,
    source_file,
    source_row,
    cast(copies as integer) as copies
from ranked
where newest = 1
