{{ windowed('snapshot_date', 'daily', {'parts': 'days'}) }}

with days as (
    {{ days_of_window() }}
),

as_of_dates as (
    select {{ add_days('date_day', 1) }} as as_of
    from days
    where {{ in_part('days') }}
),

features as (
    {{ customer_features('as_of_dates') }}
),

rated as (
    select
        {{ add_days('as_of', -1) }} as snapshot_date,
        *,
        {{ add_days('as_of', '-tenure_days') }} as first_order_date,
        {{ add_days('as_of', '-days_since_last_order') }} as last_order_date,
        coalesce({{ frequency('sale_orders', 'tenure_days') }}, 0) as order_frequency,
        {{ spending_velocity() }} as spending_velocity
    from features
),

scored as (
    {{ rfm_scored('rated') }}
)

select
    *,
    cast(r_score * 100 + f_score * 10 + m_score as {{ dbt.type_string() }}) as rfm,
    {{ segment() }} as segment,
    {{ rfm_group() }} as rfm_group,
    {{ value_segment() }} as value_segment,
    {{ lifetime_value_simple() }} as lifetime_value_simple,
    {{ churn_risk_score() }} as churn_risk_score,
    {{ churn_risk_category() }} as churn_risk_category
from scored
