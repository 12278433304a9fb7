{{ config(tags=['unpartitioned']) }}

{%- set content = line_content() -%}
{%- set content_without_key = [] -%}
{%- for column in content -%}
    {%- do content_without_key.append('case when line_key is null then ' ~ column ~ ' end') -%}
{%- endfor -%}
{%- set others = content + [
    'order_date', 'order_id', 'amount_is_total', 'currency', 'channel', 'coupon', 'is_test',
    'is_refund', 'status', 'updated_at', 'source_file', 'source_row', 'copies',
] -%}

{%- set cleaned = cleaned_orders(source('raw', 'raw_orders')) -%}

-- Only lines without a number go through the steps that assign one. order_date is in every PARTITION
-- BY, so that a filter on it reaches the scans.
with numbered as (
    {{ rank_newest(
        '(' ~ cleaned ~ ' where line_number is not null) as lines',
        ['order_date', 'order_id', 'line_number', 'line_key']
    ) }}
),

unnumbered as (
    {{ rank_newest(
        '(' ~ cleaned ~ ' where line_number is null) as lines',
        ['order_date', 'order_id', 'line_key', 'is_refund'] + content_without_key
    ) }}
),

positions as (
    select
        *,
        row_number() over (
            partition by order_date, order_id
            order by is_refund, {{ content | join(', ') }}, line_key
        ) as position
    from unnumbered
    where newest = 1
),

-- For orders with lines of both kinds.
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
    discount,
    tax,
    shipping,
    cost,
    currency,
    channel,
    coupon,
    is_test,
    is_refund,
    {{ extended_amount() }} as extended_amount,
    status,
    {{ line_type('status') }} as line_type,
    updated_at,
    country,
    product_name,
    product_category,
    source_file,
    source_row,
    cast(copies as integer) as copies
from lines
