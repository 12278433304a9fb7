{{ config(tags=['unpartitioned']) }}

{%- set dimensions = sales_dimensions() %}

with lines as (
    select
        facts.order_date,
        {%- for dimension, value in dimensions.items() %}
        coalesce({{ value }}, {{ unknown_member() }}) as {{ dimension }},
        {%- endfor %}
        case when facts.line_type = 'sale' then facts.quantity end as units,
        case when facts.line_type = 'sale' then facts.extended_amount end as gross_amount,
        case when facts.line_type = 'return' then facts.extended_amount end as returned_amount,
        facts.line_type,
        {%- for measure in line_measures() %}
        facts.{{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('fact_orders') }} as facts
    left join {{ ref('dim_products') }} as products on facts.product_id = products.product_id
    left join {{ ref('dim_customers') }} as customers on facts.customer_id = customers.customer_id
),

-- By all dimensions at once, so that the lines are read once.
combinations as (
    select
        order_date,
        {{ dimensions | join(', ') }},
        count(*) as lines,
        sum(units) as units,
        sum(gross_amount) as gross_amount,
        sum(returned_amount) as returned_amount,
        {{ sums_of_lines() }}
    from lines
    group by order_date, {{ dimensions | join(', ') }}
),

sums as (
    {%- for dimension in dimensions %}
    select
        order_date,
        '{{ dimension }}' as dimension,
        {{ dimension }} as dimension_value,
        sum(lines) as lines,
        coalesce(sum(units), 0) as units,
        coalesce(sum(gross_amount), 0) as gross_amount,
        coalesce(sum(returned_amount), 0) as returned_amount,
        {{ sums_of_sums() }}
    from combinations
    group by order_date, {{ dimension }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    order_date,
    dimension,
    dimension_value,
    cast(lines as bigint) as lines,
    {{ money('units') }} as units,
    {{ money('gross_amount') }} as gross_amount,
    {{ money('returned_amount') }} as returned_amount,
    {{ money('gross_amount + returned_amount') }} as net_amount,
    {{ further_measures('gross_amount + returned_amount') }}
from sums
