{# Query: for each key the value that most of its rows have, ties alphabetical; none for a key without
   any value. `rows` counts the rows that a row of the relation stands for. #}
{% macro most_frequent(relation, key, value, rows) %}
    select
        {{ key }},
        {{ value }}
    from (
        select
            {{ key }},
            {{ value }},
            row_number() over (
                partition by {{ key }} order by sum({{ rows }}) desc, {{ value }}
            ) as position
        from {{ relation }}
        where {{ value }} is not null
        group by {{ key }}, {{ value }}
    ) as counted
    where position = 1
{%- endmacro %}
