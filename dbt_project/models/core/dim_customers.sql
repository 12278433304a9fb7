{{ config(tags=['unpartitioned']) }}
{%- set events = ref('fact_events') %}

-- From the facts, which are smaller than the raw lines.
with referenced as (
    select distinct customer_id
    from {{ ref('customer_days') }}
    union
    select distinct customer_id
    from {{ ref('fact_user_sessions') }}
    union
    select distinct customer_id
    from {{ ref('fact_support_tickets') }}
    {%- if is_configured('events') %}
    union
    select distinct customer_id
    from {{ events }}
    {%- endif %}
),

inferred as (
    select referenced.customer_id
    from referenced
    left join {{ ref('stg_customers') }} as registered
        on referenced.customer_id = registered.customer_id
    where registered.customer_id is null and referenced.customer_id <> {{ unknown_member() }}
),

-- Distinct pairs, so that each is cleaned only once.
countries as (
    select
        customer_id,
        country,
        max(ordered_at) as last_ordered_at,
        max(updated_at) as last_updated_at
    from {{ source('raw', 'raw_orders') }}
    where country is not null
    group by customer_id, country
),

cleaned as (
    select
        {{ clean_text('customer_id') }} as customer_id,
        {{ clean_text('country') }} as country,
        last_ordered_at,
        last_updated_at
    from countries
),

ranked as (
    select
        cleaned.customer_id,
        cleaned.country,
        row_number() over (
            partition by cleaned.customer_id
            order by
                cleaned.last_ordered_at desc, cleaned.last_updated_at desc nulls last,
                cleaned.country
        ) as position
    from cleaned
    inner join inferred on cleaned.customer_id = inferred.customer_id
    where cleaned.country is not null
)

select
    customer_id,
    'source' as member_type,
    registered_at,
    country,
    city
from {{ ref('stg_customers') }}
union all
select
    inferred.customer_id,
    'inferred' as member_type,
    cast(null as timestamp) as registered_at,
    ranked.country,
    cast(null as {{ dbt.type_string() }}) as city
from inferred
left join ranked on inferred.customer_id = ranked.customer_id and ranked.position = 1
union all
select
    {{ unknown_member() }} as customer_id,
    'unknown' as member_type,
    cast(null as timestamp) as registered_at,
    cast(null as {{ dbt.type_string() }}) as country,
    cast(null as {{ dbt.type_string() }}) as city
