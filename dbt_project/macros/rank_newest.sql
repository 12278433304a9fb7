{# Query: the relation with `newest` (1 is the row that stands for its key) and `copies`. Ties of
   updated_at fall to the last file, then the last row: the same whatever the load order. #}
{% macro rank_newest(relation, key) %}
    {%- set same_key = key | join(', ') -%}
    select
        *,
        row_number() over (
            partition by {{ same_key }}
            order by updated_at desc nulls last, source_file desc, source_row desc
        ) as newest,
        count(*) over (partition by {{ same_key }}) as copies
    from {{ relation }}
{%- endmacro %}
