{#
    A window in parts. Features of many customers as of many dates take more memory than there is:
    what joins and groupings hold grows with customers x dates, and not all of it can be written to
    disk. A model whose meta has `parts` ('day' or 'month') is made in one statement as long as
    customers x dates stay below ANALYTICS_FEATURE_ROWS (from the memory limit), and of more in
    several, each of as many dates as that allows and one at the least. All fill the same new table,
    within the transaction that replaces the window: readers see none of it before all of it.
#}

{# Condition on date_day of date_series(): of the part being made, and true in the compiled SQL. #}
{% macro in_part() -%} true /* of any part */ {%- endmacro %}

{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- set unit = (config.get('meta') or {}).get('parts') -%}
    {%- if not unit -%}
        {{ dbt.duckdb__create_table_as(temporary, relation, compiled_code, language, **kwargs) }}
    {%- else -%}
        {%- for dates in parts_of_window(unit) -%}
            {%- set dated -%}
                date_day between cast('{{ dates[0] }}' as date) and cast('{{ dates[-1] }}' as date)
            {%- endset -%}
            {%- set part = compiled_code | replace(in_part(), dated) -%}
            {%- if loop.first -%}
                {{ dbt.duckdb__create_table_as(temporary, relation, part, language, **kwargs) }};
            {%- else %}
    insert into {{ relation.include(database=(not temporary), schema=(not temporary)) }}
    {{ part }};
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{# Lists of the window's dates. #}
{% macro parts_of_window(unit) %}
    {%- set first_date = month_start(window_start()) if unit == 'month' else window_start() -%}
    {%- set dates = run_query(date_series(first_date, window_end(), unit)).columns[0].values() -%}
    {%- set counted = run_query('select count(*) from ' ~ ref('dim_customers')) -%}
    {%- set customers = [counted.columns[0].values()[0], 1] | max -%}
    {%- set rows = env_var('ANALYTICS_FEATURE_ROWS', '1000000') | int -%}
    {{ return(dates | batch([rows // customers, 1] | max) | list) }}
{% endmacro %}
