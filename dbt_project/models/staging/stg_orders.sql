{{ config(tags=['unpartitioned']) }}

{#- What tells lines apart in a source that neither numbers them nor says what does (line_key).
    status is the order's and changes, so it is none of it. -#}
{%- set content = [
    'ordered_at', 'customer_id', 'product_id', 'quantity', 'unit_price', 'amount', 'country',
    'product_name', 'product_category',
] -%}
{%- set content_without_key = [] -%}
{%- for column in content -%}
    {%- do content_without_key.append('case when line_key is null then ' ~ column ~ ' end') -%}
{%- endfor -%}
{%- set others = content + [
    'order_date', 'order_id', 'status', 'updated_at', 'source_file', 'source_row', 'copies',
] -%}

{%- set cleaned %}
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
{%- endset -%}

-- Lines that bear a number pass by all that finds one. order_date stands in every PARTITION BY, so
-- that a filter on it reaches the scans.
with numbered as (
    {{ rank_newest(
        '(' ~ cleaned ~ ' where line_number is not null) as lines',
        ['order_date', 'order_id', 'line_number', 'line_key']
    ) }}
),

unnumbered as (
    {{ rank_newest(
        '(' ~ cleaned ~ ' where line_number is null) as lines',
        ['order_date', 'order_id', 'line_key'] + content_without_key
    ) }}
),

positions as (
    select
        *,
        row_number() over (
            partition by order_date, order_id order by {{ content | join(', ') }}, line_key
        ) as position
    from unnumbered
    where newest = 1
),

-- Of orders that have lines of both kinds.
last_numbers as (
    select
        order_date,
        order_id,
        max(line_number) as last_line_number
    from ({{ cleaned }} where line_number is not null) as lines
    where
        order_id in (
            select order_id from ({{ cleaned }} where line_number is null) as others
        )
    group by order_date, order_id
),

lines as (
    select
        {{ others | join(', ') }},
        line_number
    from numbered
    where newest = 1
    union all
    select
        positions.{{ others | join(', positions.') }},
        positions.position + coalesce(last_numbers.last_line_number, 0) as line_number
    from positions
    left join last_numbers
        on
            positions.order_date = last_numbers.order_date
            and positions.order_id = last_numbers.order_id
)

select
    order_date,
    order_id,
    cast(line_number as integer) as line_number,
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
from lines
