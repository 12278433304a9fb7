{{ config(tags=['unpartitioned']) }}

{#- What tells lines apart in a source that neither numbers them nor says what does (line_key).
    status is the order's and changes, so it is none of it. -#}
{%- set content = [
    'ordered_at', 'customer_id', 'product_id', 'quantity', 'unit_price', 'amount', 'country',
    'product_name', 'product_category',
] -%}
{%- set content_if_unnumbered = [] -%}
{%- for column in content -%}
    {%- do content_if_unnumbered.append(
        'case when line_number is null and line_key is null then ' ~ column ~ ' end'
    ) -%}
{%- endfor %}

with cleaned as (
    select
        order_date,
        {{ clean_text('order_id') }} as order_id,
        line_number,
        ordered_at,
        {{ clean_text('customer_id') }} as customer_id,
        {{ clean_text('product_id') }} as product_id,
        quantity,
        unit_price,
        amount,
        lower({{ clean_text('status') }}) as status,
        updated_at,
        {{ clean_text('country') }} as country,
        {{ clean_text('product_name') }} as product_name,
        {{ clean_text('product_category') }} as product_category,
        line_key,
        source_file,
        source_row
    from {{ source('raw', 'raw_orders') }}
),

-- order_date stands in every PARTITION BY, so that a filter on it reaches the scan.
ranked as (
    {{ rank_newest(
        'cleaned', ['order_date', 'order_id', 'line_number', 'line_key'] + content_if_unnumbered
    ) }}
),

numbered as (
    select
        *,
        row_number() over (
            partition by order_date, order_id, case when line_number is null then 1 else 0 end
            order by {{ content | join(', ') }}, line_key
        ) as position,
        max(line_number) over (partition by order_date, order_id) as last_line_number
    from ranked
    where newest = 1
)

select
    order_date,
    order_id,
    cast(
        coalesce(line_number, position + coalesce(last_line_number, 0)) as integer
    ) as line_number,
    ordered_at,
    customer_id,
    product_id,
    quantity,
    unit_price,
    amount,
    {{ money('quantity * unit_price') }} as extended_amount,
    status,
    case
        when quantity < 0 then 'return'
        when quantity > 0 and unit_price > 0 and coalesce(status, '') <> 'cancelled' then 'sale'
        else 'adjustment'
    end as line_type,
    updated_at,
    country,
    product_name,
    product_category,
    source_file,
    source_row,
    cast(copies as integer) as copies
from numbered
