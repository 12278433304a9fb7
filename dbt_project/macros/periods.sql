{# Days, weeks from Monday on, and calendar months: the first day of the one that a date is in, and
   the first day of a later one. #}

{% macro period_start(period, date) -%}
    {%- if period == 'day' -%} {{ date }}
    {%- else -%} cast({{ dbt.date_trunc(period, date) }} as date)
    {%- endif -%}
{%- endmacro %}

{% macro next_period(period, start) -%}
    cast({{ dbt.dateadd(period, 1, start) }} as date)
{%- endmacro %}
