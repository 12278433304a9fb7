{# What raw_orders is read as: shared by the lines as they stand now (stg_orders) and as they were
   known before (order_corrections). #}

{# What tells lines apart in a source that neither numbers them nor says what does (line_key).
   status is the order's and changes, so it is none of it. #}
{% macro line_content() -%}
    {{ return([
        'ordered_at', 'customer_id', 'product_id', 'quantity', 'unit_price', 'amount', 'country',
        'product_name', 'product_category',
    ]) }}
{%- endmacro %}

{# order_date comes first: where it stands in every PARTITION BY, a filter on it reaches the scan. #}
{% macro line_identity() -%}
    {%- set key = ['order_date', 'order_id', 'line_number', 'line_key'] -%}
    {%- for column in line_content() -%}
        {%- do key.append(
            'case when line_number is null and line_key is null then ' ~ column ~ ' end'
        ) -%}
    {%- endfor -%}
    {{ return(key) }}
{%- endmacro %}

{% macro cleaned_orders(relation) %}
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
    from {{ relation }}
{%- endmacro %}

{% macro line_type(status) -%}
    case
        when quantity < 0 then 'return'
        when quantity > 0 and unit_price > 0 and coalesce({{ status }}, '') <> 'cancelled'
            then 'sale'
        else 'adjustment'
    end
{%- endmacro %}
