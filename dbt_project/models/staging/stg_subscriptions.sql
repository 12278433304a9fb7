{{ config(tags=['unpartitioned']) }}

with cleaned as (
    select
        {{ clean_text('customer_id') }} as customer_id,
        churned,
        {{ clean_text('contract') }} as contract,
        {{ clean_text('payment_method') }} as payment_method,
        tenure_months,
        monthly_charges,
        total_charges,
        {{ money('tenure_months * monthly_charges') }} as expected_charges,
        attributes,
        updated_at,
        source_file,
        source_row
    from {{ source('raw', 'raw_subscriptions') }}
),

ranked as (
    {{ rank_newest('cleaned', ['customer_id']) }}
)

select
    customer_id,
    churned,
    contract,
    payment_method,
    tenure_months,
    monthly_charges,
    coalesce(total_charges, expected_charges) as total_charges,
    total_charges is null and expected_charges is not null as total_charges_imputed,
    attributes,
    updated_at,
    source_file,
    source_row,
    cast(copies as integer) as copies
from ranked
where newest = 1
