{{ windowed('order_date', 'daily') }}

{%- set content = [
    'customer_id', 'product_id', 'product_category', 'quantity', 'extended_amount', 'line_type',
] %}

with changed_later as (
    select distinct
        order_date,
        {{ clean_text('order_id') }} as clean_order_id
    from {{ source('raw', 'raw_orders') }}
    where {{ in_window('order_date') }} and updated_at >= {{ add_days('order_date', 1) }}
),

-- All lines of these orders; only their other columns are cleaned.
versions as (
    select orders.*
    from {{ source('raw', 'raw_orders') }} as orders
    inner join changed_later
        on
            orders.order_date = changed_later.order_date
            and {{ clean_text('orders.order_id') }} = changed_later.clean_order_id
    where {{ in_window('orders.order_date') }}
),

cleaned as (
    {{ cleaned_orders('versions') }}
),

lines as (
    select
        {{ line_key_columns() | join(', ') }},
        {%- for column in line_content() %}
        {{ as_identity(column) }} as identity_{{ loop.index }},
        {%- endfor %}
        coalesce(customer_id, {{ unknown_member() }}) as customer_id,
        coalesce(product_id, {{ unknown_member() }}) as product_id,
        coalesce(product_category, '') as product_category,
        quantity,
        {{ extended_amount() }} as extended_amount,
        {{ line_type('status') }} as line_type,
        case when is_refund then 'adjustment' else {{ line_type('null') }} end as placed_line_type,
        updated_at,
        source_file,
        source_row
    from cleaned
),

{%- set key = line_key_columns() -%}
{%- for column in line_content() -%}
    {%- do key.append('identity_' ~ loop.index) -%}
{%- endfor %}

corrections as (
    {{ corrections(
        'lines', key, 'order_id', 'order_date', content, 'orders',
        as_placed={'line_type': 'placed_line_type'}
    ) }}
)

select
    order_date,
    order_id,
    cast(row_number() over (
        partition by order_date, order_id
        order by weight desc, known_from, known_to, {{ content | join(', ') }}
    ) as integer) as correction_number,
    known_from,
    known_to,
    weight,
    customer_id,
    product_id,
    nullif(product_category, '') as product_category,
    quantity,
    extended_amount,
    line_type
from corrections
