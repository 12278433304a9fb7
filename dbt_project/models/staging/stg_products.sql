{{ config(tags=['unpartitioned']) }}

with cleaned as (
    select
        {{ clean_text('product_id') }} as product_id,
        {{ clean_text('product_name') }} as product_name,
        {{ clean_text('category') }} as category,
        list_price,
        unit_cost,
        updated_at,
        source_file,
        source_row
    from {{ source('raw', 'raw_products') }}
),

ranked as (
    {{ rank_newest('cleaned', ['product_id']) }}
)

select
    product_id,
    product_name,
    category,
    list_price,
    unit_cost,
    updated_at,
    source_file,
    source_row,
    cast(copies as integer) as copies
from ranked
where newest = 1
