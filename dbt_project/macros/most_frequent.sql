{# Query: the most frequent value of each key (the first by alphabet among ties), for keys with a
   value. `rows` is the column with the number of rows that a row of the relation represents. #}
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
