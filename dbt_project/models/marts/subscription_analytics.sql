{{ config(tags=['unpartitioned']) }}

select
    customer_id,
    churned,
    coalesce(contract, {{ unknown_member() }}) as contract,
    payment_method,
    tenure_months,
    case
        when tenure_months >= {{ var('tenure_long_months') }} then 'long'
        when tenure_months >= {{ var('tenure_established_months') }} then 'established'
        when tenure_months is not null then 'new'
    end as tenure_category,
    monthly_charges,
    case
        when monthly_charges >= {{ var('charge_high') }} then 'high'
        when monthly_charges >= {{ var('charge_medium') }} then 'medium'
        when monthly_charges is not null then 'low'
    end as charge_category,
    total_charges,
    total_charges_imputed,
    attributes
from {{ ref('stg_subscriptions') }}
