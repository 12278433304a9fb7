{# Query: for each key the value that most of its rows have, ties alphabetical; null only when no
   row has a value. #}
{% macro most_frequent(relation, key, value) %}
    select
        {{ key }},
        {{ value }}
    from (
        select
            {{ key }},
            {{ value }},
            row_number() over (
                partition by {{ key }} order by count({{ value }}) desc, {{ value }}
            ) as position
        from {{ relation }}
        group by {{ key }}, {{ value }}
    ) as counted
    where position = 1
{%- endmacro %}
