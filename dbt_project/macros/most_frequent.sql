{# Query: the most frequent value of each key, of ties the first by alphabet; keys without a value
   are left out. `rows` is the column that says how many rows a row of the relation represents. #}
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
