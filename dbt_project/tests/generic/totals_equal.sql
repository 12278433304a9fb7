{#
    Columns add up to the same over this model and over the one it is made from.

    totals: for each column of this model, what it adds up in the other.
    window_column: both are limited to the window (when there is one) by this column.
#}
{% test totals_equal(model, compare_to, totals, window_column=none) %}

{%- set window -%}
    {%- if window_column and execute and env_var('ANALYTICS_WINDOW_START', '') -%}
        where {{ in_window(window_column) }}
    {%- endif -%}
{%- endset %}

with totals as (
    select
        {%- for column in totals %}
        coalesce(sum({{ column }}), 0) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ model }} {{ window }}
),

expected as (
    select
        {%- for column, expression in totals.items() %}
        coalesce(sum({{ expression }}), 0) as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ compare_to }} {{ window }}
)

select
    {%- for column in totals %}
    totals.{{ column }},
    expected.{{ column }} as {{ column }}_expected{{ ',' if not loop.last }}
    {%- endfor %}
from totals
cross join expected
where
    {%- for column in totals %}
    {{ 'or ' if not loop.first }}totals.{{ column }} <> expected.{{ column }}
    {%- endfor %}

{% endtest %}
