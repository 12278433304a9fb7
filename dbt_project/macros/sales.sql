{# What the marts that explain sales share. #}

{# The dimensions of sales_by_dimension, each with where a line's value comes from. #}
{% macro sales_dimensions() -%}
    {{ return({
        'category': 'products.category',
        'country': 'customers.country',
        'channel': 'facts.channel',
    }) }}
{%- endmacro %}

{# Query of member_type, month, member_id, quantity, gross_amount and returned_amount: the sales of each
   product and of each customer, the unknown members included. The quantity is the units of a product,
   and the orders with a sale of a customer. #}
{% macro member_months() -%}
    select
        'product' as member_type,
        {{ month_start('order_date') }} as month,
        product_id as member_id,
        {{ money("coalesce(sum(case when line_type = 'sale' then quantity end), 0)") }} as quantity,
        {{ money("coalesce(sum(case when line_type = 'sale' then extended_amount end), 0)") }}
            as gross_amount,
        {{ money("coalesce(sum(case when line_type = 'return' then extended_amount end), 0)") }}
            as returned_amount
    from {{ ref('fact_orders') }}
    group by 2, 3
    union all
    select
        'customer' as member_type,
        month,
        customer_id as member_id,
        {{ money('sale_orders') }} as quantity,
        gross_amount,
        returned_amount
    from {{ ref('customer_sales') }}
{%- endmacro %}

{# Whether a month has been observed from its first day to its last. #}
{% macro is_whole_month(month) -%}
    {{ month }} >= (
        select min(window_date) from {{ source('raw', 'source_loads') }} where source = 'orders'
    ) and {{ add_months(month, 1) }} <= {{ observed_through() }}
{%- endmacro %}
