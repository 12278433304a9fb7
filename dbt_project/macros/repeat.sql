{# What the marts of repeat purchases share. #}

{# The numbers of days within which a customer comes back. #}
{% macro repeat_days() -%}
    {{ return([30, 60, 90, 180, 365]) }}
{%- endmacro %}

{# Query of customer_id, order_date, sale_orders, orders_so_far, next_date and observed_days: every day
   with a sale of a known customer, the day of the next one, and the days after it that have been
   observed to their end. #}
{% macro sale_days() -%}
    select
        customer_id,
        order_date,
        sale_orders,
        sum(sale_orders) over (
            partition by customer_id order by order_date rows unbounded preceding
        ) as orders_so_far,
        lead(order_date) over (partition by customer_id order by order_date) as next_date,
        {{ days_between('order_date', observed_through()) }} - 1 as observed_days
    from {{ ref('customer_days') }}
    where sale_orders > 0 and customer_id <> {{ unknown_member() }}
{%- endmacro %}

{# The ends of Wilson's interval of a share with 95%: null without a row. E. B. Wilson (1927): Probable
   Inference, the Law of Succession, and Statistical Inference, JASA 22, 209-212. #}
{% macro wilson(hits, rows, sign) -%}
    {%- set z = 1.959963984540054 -%}
    {%- set share = '(cast(' ~ hits ~ ' as double) / nullif(' ~ rows ~ ', 0))' -%}
    {#- At the ends, rounding would leave the range of a share. -#}
    greatest(0.0, least(1.0, (
        {{ share }} + {{ z * z / 2 }} / {{ rows }} {{ sign }} {{ z }} * sqrt(
            {{ share }} * (1 - {{ share }}) / {{ rows }}
            + {{ z * z / 4 }} / (cast({{ rows }} as double) * {{ rows }})
        )
    ) / (1 + {{ z * z }} / {{ rows }})))
{%- endmacro %}
