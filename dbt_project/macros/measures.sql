{# Measures of order lines beyond gross, returned and net, shared by all models that add them up.
   Costs are added up as far as known; a margin needs the cost of every sale line. #}

{% macro line_measures() -%}
    {{ return(['discount', 'tax', 'shipping', 'cost']) }}
{%- endmacro %}

{# Columns of a model that groups lines, and of one that groups its result again. #}
{% macro sums_of_lines() -%}
    {%- for measure in line_measures() -%}
        sum(case when line_type <> 'adjustment' then {{ measure }} end) as {{ measure }}_amount,
        {% endfor -%}
    count(case when line_type = 'sale' and cost is null then 1 end) as lines_without_cost
{%- endmacro %}

{% macro sums_of_sums() -%}
    {%- for measure in line_measures() -%}
        sum({{ measure }}_amount) as {{ measure }}_amount,
        {% endfor -%}
    sum(lines_without_cost) as lines_without_cost
{%- endmacro %}

{# Columns of a model that groups customer_days: its margin is null if a cost is unknown. #}
{% macro sums_of_days() -%}
    {%- for measure in line_measures() -%}
        sum({{ measure }}_amount) as {{ measure }}_amount,
        {% endfor -%}
    count(*) - count(margin_amount) as lines_without_cost
{%- endmacro %}

{# The columns of a table, from the sums above. #}
{% macro further_measures(net) -%}
    {%- for measure in line_measures() -%}
        {{ money('coalesce(' ~ measure ~ '_amount, 0)') }} as {{ measure }}_amount,
        {% endfor -%}
    case
        when lines_without_cost = 0
            then {{ money(net ~ ' - coalesce(cost_amount, 0)') }}
    end as margin_amount
{%- endmacro %}

{# The size of an order by its sale lines; none without one. #}
{% macro order_band(amount) -%}
    case
        when {{ amount }} is null then 'none'
        when {{ amount }} < {{ var('revenue_band_medium') }} then 'low'
        when {{ amount }} < {{ var('revenue_band_high') }} then 'medium'
        else 'high'
    end
{%- endmacro %}
