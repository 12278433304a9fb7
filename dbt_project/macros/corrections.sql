{#
    Earlier versions of rows. A version is known from the day after its updated_at on, or without
    updated_at from the day after its own day. Only units (orders, sessions) with an earlier version
    that differs give rows, so the result is small, however large the relation.

    Query of unit, day, the content, and
    known_from, known_to: as-of dates, the second exclusive, for which the row is valid;
    weight: 1 for the row as known then, -1 for the current row. Added to the current rows, they
        give the rows as known then.

    relation: rows of the units that have a version of a later day.
    key: columns that identify a line (session), in all its versions.
    unit: column that identifies the unit; all rows of a corrected unit are listed, so that distinct
        units can be counted.
    day: DATE column of the event.
    content: columns that count; none is null.
    source: name of the source. If it overwrites rows, updated_at is only their last change: a row
        was known from its day on, but not yet the values that as_placed replaces.
    differs: condition of a version that differs from the final one; by default in any content.
    as_placed: content columns, and the columns that replace them before the first updated_at.
#}
{% macro corrections(relation, key, unit, day, content, source, as_placed={}, differs=none) %}
    {%- set next_day = add_days(day, 1) -%}
    {%- set same_row = key | join(', ') -%}
    with dated as (
        select
            *,
            case
                when {{ shops_day('updated_at') }} > {{ day }}
                    then {{ add_days(shops_day('updated_at'), 1) }}
                else {{ next_day }}
            end as known_from,
            row_number() over (
                partition by {{ same_row }}
                order by updated_at nulls first, source_file, source_row
            ) as version
        from {{ relation }}
    ),

    {#- UNION matches columns by position, so they are listed. -#}
    {%- set columns = key | list -%}
    {%- for column in [unit] + content if column not in columns -%}
        {%- do columns.append(column) -%}
    {%- endfor %}

    known as (
        select
            {{ columns | join(', ') }},
            known_from,
            version
        from dated
        {%- if execute and source in env_var('ANALYTICS_OVERWRITTEN_SOURCES', '').split(',') %}
        union all
        select
            {%- for column in columns %}
            {{ as_placed.get(column, column) }} as {{ column }},
            {%- endfor %}
            {{ next_day }} as known_from,
            0 as version
        from dated
        where version = 1 and known_from > {{ next_day }}
        {%- endif %}
    ),

    versions as (
        select
            *,
            lead(known_from) over (partition by {{ same_row }} order by version) as known_to,
            min(known_from) over (partition by {{ same_row }}) as first_known_from
            {%- for column in content %},
            first_value({{ column }}) over (partition by {{ same_row }} order by version desc)
                as final_{{ column }}
            {%- endfor %}
        from known
    ),

    judged as (
        select
            *,
            max(known_from) over (partition by {{ day }}, {{ unit }}) as settled_from,
            max(
                case
                    when first_known_from > {{ next_day }} then 1
                    when known_from < known_to and (
                        {%- if differs %}
                        {{ differs }}
                        {%- endif %}
                        {%- for column in content if not differs %}
                        {{ 'or ' if not loop.first }}{{ column }} <> final_{{ column }}
                        {%- endfor %}
                    ) then 1
                    else 0
                end
            ) over (partition by {{ day }}, {{ unit }}) as is_corrected
        from versions
    )

    select
        {{ day }},
        {{ unit }},
        known_from,
        coalesce(known_to, settled_from) as known_to,
        1 as weight,
        {{ content | join(', ') }}
    from judged
    where is_corrected = 1 and known_from < coalesce(known_to, settled_from)
    union all
    select
        {{ day }},
        {{ unit }},
        {{ next_day }} as known_from,
        settled_from as known_to,
        -1 as weight,
        {{ content | join(', ') }}
    from judged
    where is_corrected = 1 and known_to is null
{%- endmacro %}
