{{ config(tags=['unpartitioned']) }}

-- From the facts, which are smaller than the raw lines.
with inferred as (
    select sold.product_id
    from (select distinct product_id from {{ ref('fact_orders') }}) as sold
    left join {{ ref('stg_products') }} as listed on sold.product_id = listed.product_id
    where listed.product_id is null and sold.product_id <> {{ unknown_member() }}
),

-- Distinct names and categories, so that each is cleaned only once.
described as (
    select
        product_id,
        product_name,
        product_category,
        count(*) as lines
    from {{ source('raw', 'raw_orders') }}
    where product_name is not null or product_category is not null
    group by product_id, product_name, product_category
),

cleaned as (
    select
        {{ clean_text('product_id') }} as product_id,
        {{ clean_text('product_name') }} as product_name,
        {{ clean_text('product_category') }} as category,
        lines
    from described
),

names as (
    {{ most_frequent('cleaned', 'product_id', 'product_name', 'lines') }}
),

categories as (
    {{ most_frequent('cleaned', 'product_id', 'category', 'lines') }}
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
    inferred.product_id,
    names.product_name,
    categories.category,
    {{ money('null') }} as list_price,
    {{ money('null') }} as unit_cost,
    'inferred' as member_type
from inferred
left join names on inferred.product_id = names.product_id
left join categories on inferred.product_id = categories.product_id
union all
select
    {{ unknown_member() }} as product_id,
    cast(null as {{ dbt.type_string() }}) as product_name,
    cast(null as {{ dbt.type_string() }}) as category,
    {{ money('null') }} as list_price,
    {{ money('null') }} as unit_cost,
    'unknown' as member_type
