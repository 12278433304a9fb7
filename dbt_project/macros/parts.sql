{#
    Building a window in parts. Features of many customers and dates can need more memory than there
    is: joins and groupings grow with customers x dates, and not all of it can be written to disk. A
    model whose meta has `parts` is built in one statement if customers x dates are below
    ANALYTICS_FEATURE_ROWS (from the memory limit), else in several. All statements fill the same
    new table, in the transaction that replaces the window, so readers see all or nothing.

    parts: 'customers' (a share of them for all dates, so each history is read once), or, where a
    row depends on other customers, 'days' or 'months' (at least one at a time). With months, rows
    have few columns instead of all features, so sixteen times as many fit.
#}

{# Condition of the current part, on customer_id or on date_day of date_series(). In the compiled SQL
   it is true. #}
{% macro in_part(of) -%} true /* any part of the {{ of }} */ {%- endmacro %}

{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- set of = (config.get('meta') or {}).get('parts') -%}
    {%- if not of -%}
        {{ dbt.duckdb__create_table_as(temporary, relation, compiled_code, language, **kwargs) }}
    {%- else -%}
        {%- for condition in parts_of_window(of) -%}
            {%- set part = compiled_code | replace(in_part(of), condition) -%}
            {%- if loop.first -%}
                {{ dbt.duckdb__create_table_as(temporary, relation, part, language, **kwargs) }};
            {%- else %}
    insert into {{ relation.include(database=(not temporary), schema=(not temporary)) }}
    {{ part }};
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{# The conditions of the parts. #}
{% macro parts_of_window(of) %}
    {%- set monthly = config.require('meta')['window_column'] == 'month' -%}
    {%- set series = months_of_window() if monthly else days_of_window() -%}
    {%- set dates = run_query(series).columns[0].values() -%}
    {%- set counted = run_query('select count(*) from ' ~ ref('dim_customers')) -%}
    {%- set customers = [counted.columns[0].values()[0], 1] | max -%}
    {%- set rows = env_var('ANALYTICS_FEATURE_ROWS', '1000000') | int -%}
    {%- set conditions = [] -%}
    {%- if of == 'customers' -%}
        {#- The history of the customers is in memory, too, but takes less than half. #}
        {%- set parts = [-(-customers * dates | length // (2 * rows)), 1] | max -%}
        {%- for part in range(parts) -%}
            {%- do conditions.append('hash(customer_id) % ' ~ parts ~ ' = ' ~ part) -%}
        {%- endfor -%}
    {%- else -%}
        {%- set rows = 16 * rows if of == 'months' else rows -%}
        {%- for part in dates | batch([rows // customers, 1] | max) -%}
            {%- do conditions.append(
                "date_day between cast('" ~ part[0] ~ "' as date) and cast('" ~ part[-1]
                ~ "' as date)"
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(conditions) }}
{% endmacro %}
