{{ config(tags=['unpartitioned']) }}

with last_in_country as (
    select
        customer_id,
        country,
        max(case when country is not null then ordered_at end) as last_ordered_at
    from {{ ref('stg_orders') }}
    where customer_id is not null
    group by customer_id, country
),

ranked as (
    select
        customer_id,
        country,
        row_number() over (
            partition by customer_id order by last_ordered_at desc nulls last, country
        ) as position
    from last_in_country
),

seen as (
    select
        customer_id,
        country
    from ranked
    where position = 1
    union all
    select distinct
        customer_id,
        cast(null as {{ dbt.type_string() }}) as country
    from {{ ref('stg_user_sessions') }}
    where customer_id is not null
),

inferred as (
    select
        seen.customer_id,
        max(seen.country) as country
    from seen
    left join {{ ref('stg_customers') }} as registered
        on seen.customer_id = registered.customer_id
    where registered.customer_id is null
    group by seen.customer_id
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
    customer_id,
    'inferred' as member_type,
    cast(null as timestamp) as registered_at,
    country,
    cast(null as {{ dbt.type_string() }}) as city
from inferred
union all
select
    {{ unknown_member() }} as customer_id,
    'unknown' as member_type,
    cast(null as timestamp) as registered_at,
    cast(null as {{ dbt.type_string() }}) as country,
    cast(null as {{ dbt.type_string() }}) as city
