{{ config(tags=['unpartitioned']) }}

select
    contract,
    count(*) as subscribers,
    count(case when churned then 1 end) as churned,
    cast(count(case when churned then 1 end) as double) / count(*) as churn_rate,
    {{ money_or_zero('sum(case when not churned then monthly_charges end)') }} as monthly_charges,
    {{ money_or_zero('sum(case when churned then monthly_charges end)') }}
        as monthly_charges_lost,
    count(case when total_charges_imputed then 1 end) as total_charges_imputed
from {{ ref('subscription_analytics') }}
group by contract
