{#
    A run replaces one half-open window: [ANALYTICS_WINDOW_START, ANALYTICS_WINDOW_END).
    It comes from the environment and is read only when SQL is executed: with --vars, or an env_var
    at parse time, dbt would parse the whole project again for every new window.
#}

{# Config of a model that replaces the rows of a window. #}
{% macro windowed(window_column, cadence, meta={}) -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='window',
        on_schema_change='fail',
        full_refresh=false,
        meta=dict(meta, window_column=window_column),
        tags=[cadence]
    ) }}
{%- endmacro %}

{% macro window_start() -%}
    {{ window_bound('ANALYTICS_WINDOW_START') }}
{%- endmacro %}

{% macro window_end() -%}
    {{ window_bound('ANALYTICS_WINDOW_END') }}
{%- endmacro %}

{% macro window_bound(variable) -%}
    {%- if execute -%}
        {%- set bound = env_var(variable, '') -%}
        {%- if not bound -%}
            {% do exceptions.raise_compiler_error(
                variable ~ " is not set. A model partitioned by day or month replaces the window"
                ~ " [ANALYTICS_WINDOW_START, ANALYTICS_WINDOW_END): set both to ISO dates."
            ) %}
        {%- endif -%}
        {# Only an ISO date passes, so SQL cannot be injected. #}
        {%- set bound = modules.datetime.date.fromisoformat(bound).isoformat() -%}
        cast('{{ bound }}' as date)
    {%- endif -%}
{%- endmacro %}

{# `months_after`: months after the window that the condition includes; from the model's meta. #}
{% macro in_window(column, months_after=0) -%}
    {%- if execute and window_start() >= window_end() -%}
        {% do exceptions.raise_compiler_error(
            "ANALYTICS_WINDOW_END has to lie after ANALYTICS_WINDOW_START: "
            ~ window_start() ~ " to " ~ window_end() ~ " is empty."
        ) %}
    {%- endif -%}
    {%- set end = add_months(window_end(), months_after) if months_after else window_end() -%}
    {{ column }} >= {{ window_start() }} and {{ column }} < {{ end }}
{%- endmacro %}

{# Queries of the window's dates, as date_day; the months include `months_after` of the model's
   meta. #}
{% macro days_of_window() -%}
    {{ return(date_series(window_start(), window_end(), 'day')) }}
{%- endmacro %}

{% macro months_of_window() -%}
    {%- set months_after = (config.get('meta') or {}).get('months_after', 0) -%}
    {%- set end = add_months(window_end(), months_after) if months_after else window_end() -%}
    {{ return(date_series(month_start(window_start()), end, 'month')) }}
{%- endmacro %}

{# Incremental strategy `window`: deletes and inserts, so that a day that is empty now loses its rows.
   dbt runs both statements in one transaction. #}
{% macro get_incremental_window_sql(arg_dict) %}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set new_rows = arg_dict['temp_relation'] -%}
    {%- set meta = config.require('meta') -%}
    {%- set column = meta['window_column'] -%}
    {%- set replaced = in_window(column, meta.get('months_after', 0)) -%}
    {%- set columns = get_quoted_csv(arg_dict['dest_columns'] | map(attribute='name')) -%}
    {%- set outside -%}
        select count(*) from {{ new_rows }} where ({{ replaced }}) is not true
    {%- endset -%}
    {%- set rows_outside = run_query(outside).columns[0].values()[0] -%}
    {%- if rows_outside > 0 -%}
        {% do exceptions.raise_compiler_error(
            rows_outside ~ " rows of " ~ target ~ " lie outside the window "
            ~ window_start() ~ " to " ~ window_end() ~ " of " ~ column
        ) %}
    {%- endif -%}

    delete from {{ target }} where {{ replaced }};

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ new_rows }}
{% endmacro %}

{# Tests of windowed models read only the window. Without a window, in a run of unpartitioned models
   or by hand, they read the whole table. #}
{% macro in_window_if_any(column) -%}
    {%- if execute and env_var('ANALYTICS_WINDOW_START', '') -%}
        {{ in_window(column) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{# A test: rows of the window whose column is not in a dimension, by day and key. #}
{% macro rows_without_member(model, day, key, column, dimension) -%}
    {{ config(meta={
        'dagster': {'ref': {'name': model}},
        'description': "Every " ~ column ~ " of core." ~ model ~ " is a member of core." ~ dimension
            ~ ".",
        'remedy': dimension ~ " has to be built before " ~ model ~ ": build both for the days of the "
            ~ "listed rows.",
    }) }}
    select {{ ([day] + key + [column]) | join(', ') }}
    from {{ ref(model) }}
    where
        {{ in_window_if_any(day) }}
        and {{ column }} is not null
        and {{ column }} not in (
            select {{ column }} from {{ ref(dimension) }} where {{ column }} is not null
        )
{%- endmacro %}
