{# Rules for reading raw_orders, shared by stg_orders (current lines) and order_corrections (earlier
   versions). #}

{# Columns that distinguish lines without a number or line_key. status is not one: it belongs to the
   order, and changes. #}
{% macro line_content() -%}
    {{ return([
        'ordered_at', 'customer_id', 'product_id', 'quantity', 'unit_price', 'amount', 'country',
        'product_name', 'product_category', 'discount', 'tax', 'shipping', 'cost',
    ]) }}
{%- endmacro %}

{# The identity of a line: a refund is always another line than the one that it refunds, and lines
   without a number or line_key are distinguished by their content. order_date is in it because a
   filter on it reaches the scan only if every PARTITION BY has it. #}
{% macro line_key_columns() -%}
    {{ return(['order_date', 'order_id', 'line_number', 'line_key', 'is_refund']) }}
{%- endmacro %}

{# SQL of a content column as part of the identity; null where the columns above identify a line. #}
{% macro as_identity(column) -%}
    case when line_number is null and line_key is null then {{ column }} end
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
        amount_is_total,
        discount,
        tax,
        shipping,
        cost,
        upper({{ clean_text('currency') }}) as currency,
        {{ clean_text('channel') }} as channel,
        {{ clean_text('coupon') }} as coupon,
        is_test,
        is_refund,
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

{% macro extended_amount() -%}
    {{ money(
        'case when amount_is_total then amount else quantity * unit_price - coalesce(discount, 0) end'
    ) }}
{%- endmacro %}

{# Refunds of a cancelled order are adjustments: its sale was never counted. #}
{% macro line_type(status) -%}
    case
        when is_test then 'adjustment'
        when is_refund
            then case when {{ status }} = 'cancelled' then 'adjustment' else 'return' end
        when quantity < 0 then 'return'
        when
            quantity > 0
            and {{ extended_amount() }} > 0
            and coalesce({{ status }}, '') <> 'cancelled'
            then 'sale'
        else 'adjustment'
    end
{%- endmacro %}
