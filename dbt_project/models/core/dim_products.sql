{{ config(tags=['unpartitioned']) }}

with lines as (
    select
        product_id,
        product_name,
        product_category as category
    from {{ ref('stg_orders') }}
    where product_id is not null
),

names as (
    {{ most_frequent('lines', 'product_id', 'product_name') }}
),

categories as (
    {{ most_frequent('lines', 'product_id', 'category') }}
),

inferred as (
    select
        names.product_id,
        names.product_name,
        categories.category
    from names
    inner join categories on names.product_id = categories.product_id
    left join {{ ref('stg_products') }} as listed on names.product_id = listed.product_id
    where listed.product_id is null
)

select
    product_id,
    product_name,
    category,
    list_price,
    unit_cost,
    'source' as member_type
from {{ ref('stg_products') }}
union all
select
    product_id,
    product_name,
    category,
    {{ money('null') }} as list_price,
    {{ money('null') }} as unit_cost,
    'inferred' as member_type
from inferred
union all
select
    {{ unknown_member() }} as product_id,
    cast(null as {{ dbt.type_string() }}) as product_name,
    cast(null as {{ dbt.type_string() }}) as category,
    {{ money('null') }} as list_price,
    {{ money('null') }} as unit_cost,
    'unknown' as member_type
