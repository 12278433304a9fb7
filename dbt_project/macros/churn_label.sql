{# The label of churn: no sale from as_of on until label_end, known once that has been observed. #}

{% macro has_closed(label_end) -%}
    {{ label_end }} <= {{ observed_through() }}
{%- endmacro %}

{# Query: the customers with a sale in each window; windows has as_of and label_end. #}
{% macro buyers_within(windows) -%}
    select distinct
        windows.as_of,
        windows.label_end,
        days.customer_id
    from {{ windows }} as windows
    inner join {{ ref('customer_days') }} as days
        on days.order_date >= windows.as_of and days.order_date < windows.label_end
    where days.sale_orders > 0 and {{ in_part('customers') }}
{%- endmacro %}
