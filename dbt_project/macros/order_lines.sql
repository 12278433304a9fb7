{# What raw_orders is read as: shared by the lines as they stand now (stg_orders) and as they were
   known before (order_corrections). #}

{# What tells lines apart in a source that neither numbers them nor says what does (line_key).
   status is the order's and changes, so it is none of it. #}
{% macro line_content() -%}
    {{ return([
        'ordered_at', 'customer_id', 'product_id', 'quantity', 'unit_price', 'amount', 'country',
        'product_name', 'product_category', 'discount', 'tax', 'shipping', 'cost',
    ]) }}
{%- endmacro %}

{# A refund is another line than the one that it gives back, whatever else tells lines apart.
   order_date comes first: where it stands in every PARTITION BY, a filter on it reaches the scan. #}
{% macro line_identity() -%}
    {%- set key = ['order_date', 'order_id', 'line_number', 'line_key', 'is_refund'] -%}
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

{# What is refunded of a cancelled order was never counted. #}
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
