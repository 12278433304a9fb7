{#
    A run replaces one window, half-open: [ANALYTICS_WINDOW_START, ANALYTICS_WINDOW_END).
    It comes from the environment and is read only when SQL is executed: with --vars, or an env_var
    at parse time, every new window would make dbt parse the whole project again.
#}

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
        {# Anything but an ISO date is an error here, so no SQL can come in. #}
        {%- set bound = modules.datetime.date.fromisoformat(bound).isoformat() -%}
        cast('{{ bound }}' as date)
    {%- endif -%}
{%- endmacro %}

{# `months_after`: so many months after the window belong to the condition, too; a model says it in
   its meta. #}
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

{# Incremental strategy `window`: deletes and inserts, so that a day that has become empty loses its
   rows, too. dbt runs both statements in one transaction. #}
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

{# Tests of windowed models read only the window, so that a day costs a day. Without a window, in a
   run of unpartitioned models or by hand, they read the whole table. #}
{% macro in_window_if_any(column) -%}
    {%- if execute and env_var('ANALYTICS_WINDOW_START', '') -%}
        {{ in_window(column) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{# Query of a test: the rows of the window whose column is not in a dimension, by day and key. #}
{% macro rows_without_member(relation, day, key, column, dimension) -%}
    select {{ ([day] + key + [column]) | join(', ') }}
    from {{ relation }}
    where
        {{ in_window_if_any(day) }}
        and {{ column }} is not null
        and {{ column }} not in (
            select {{ column }} from {{ dimension }} where {{ column }} is not null
        )
{%- endmacro %}
