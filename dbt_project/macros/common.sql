{# Replaces every missing customer or product, so that no join loses a row. #}
{% macro unknown_member() -%} '(unknown)' {%- endmacro %}

{# Exclusive end of the loaded order days; used instead of today's date. #}
{% macro observed_through() -%}
    (select {{ add_days('max(window_date)', 1) }}
    from {{ source('raw', 'source_loads') }} where source = 'orders')
{%- endmacro %}

{# Days without a sale after which a customer has churned; read like the window. #}
{% macro churn_horizon_days() -%}
    {%- if execute -%}
        {%- set days = env_var('ANALYTICS_CHURN_HORIZON_DAYS', '90') -%}
        {%- if days | int < 1 -%}
            {% do exceptions.raise_compiler_error(
                "ANALYTICS_CHURN_HORIZON_DAYS is '" ~ days
                ~ "': set it to a whole number of days, at least 1."
            ) %}
        {%- endif -%}
        {{ days | int }}
    {%- endif -%}
{%- endmacro %}

{% macro money(expression) -%} cast({{ expression }} as decimal(18, 4)) {%- endmacro %}

{% macro add_days(date, days) -%}
    cast({{ dbt.dateadd('day', days, date) }} as date)
{%- endmacro %}

{% macro add_months(date, months) -%}
    cast({{ dbt.dateadd('month', months, date) }} as date)
{%- endmacro %}

{% macro month_start(date) -%}
    cast({{ dbt.date_trunc('month', date) }} as date)
{%- endmacro %}

{# The difference of two is the number of months between them, also across years. #}
{% macro month_number(date) -%}
    cast(extract(year from {{ date }}) * 12 + extract(month from {{ date }}) as integer)
{%- endmacro %}

{% macro days_between(first, last) -%}
    cast({{ dbt.datediff(first, last, 'day') }} as integer)
{%- endmacro %}

{# The shop's day of a time in UTC. #}
{% macro shops_day(time) -%}
    {%- set zone = env_var('ANALYTICS_SHOPS_ZONE', 'UTC') if execute else 'UTC' -%}
    {%- if zone == 'UTC' -%}
        cast({{ time }} as date)
    {%- else -%}
        cast({{ time }} at time zone 'UTC' at time zone '{{ zone }}' as date)
    {%- endif -%}
{%- endmacro %}

{# Query of one column date_day: every first_date + n parts before end_date. #}
{% macro date_series(first_date, end_date, part) -%}
    {{ return(adapter.dispatch('date_series')(first_date, end_date, part)) }}
{%- endmacro %}

{% macro duckdb__date_series(first_date, end_date, part) -%}
    select cast(unnest(range(
        cast({{ first_date }} as timestamp),
        cast({{ end_date }} as timestamp),
        interval 1 {{ part }}
    )) as date) as date_day
{%- endmacro %}

{# Composed Unicode, without zero-width characters, trimmed; null when nothing is left. Spellings that
   look the same become equal. #}
{% macro clean_text(column) -%}
    {{ return(adapter.dispatch('clean_text')(column)) }}
{%- endmacro %}

{% macro duckdb__clean_text(column) -%}
    {# zero-width space, non-joiner and joiner, word joiner, byte order mark #}
    {%- set zero_width = '\\x{200B}-\\x{200D}\\x{2060}\\x{FEFF}' -%}
    {%- set blank = '\\s\\x{0B}\\x{A0}' ~ zero_width -%}
    {# Nearly all values are ASCII without blanks at the ends, and clean: this test takes a fifth of
       the time. For the others, trim() and translate() would take three times as long. #}
    case
        when
            strlen({{ column }}) = length({{ column }})
            and {{ column }} > '!'
            and reverse({{ column }}) > '!'
            then {{ column }}
        else nullif(regexp_replace(
            nfc_normalize({{ column }}),
            '^[{{ blank }}]+|[{{ blank }}]+$|[{{ zero_width }}]+', '', 'g'
        ), '')
    end
{%- endmacro %}
