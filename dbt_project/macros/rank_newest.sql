{# Query: the relation with `newest` (1 for the newest row of a key) and `copies`. With equal
   updated_at the last file counts, then the last row, so the load order does not matter. #}
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
