{{ windowed('month', 'monthly', {'parts': 'customers'}) }}

with months as (
    {{ months_of_window() }}
),

-- Only whole months: in a partial one customers would look more silent than they are.
as_of_dates as (
    select
        date_day as month,
        {{ add_months('date_day', 1) }} as as_of
    from months
    where {{ add_months('date_day', 1) }} <= {{ observed_through() }}
),

features as (
    {{ customer_features('as_of_dates') }}
),

-- The label comes from the sales after as_of, never from a feature.
windows as (
    select
        month,
        as_of,
        {{ add_days('as_of', churn_horizon_days()) }} as label_end
    from as_of_dates
),

labels as (
    select
        month,
        as_of,
        {{ has_closed('label_end') }} as label_window_closed
    from windows
),

buyers as (
    {{ buyers_within('windows') }}
)

select
    labels.month,
    features.*,
    {{ churn_risk_score() }} as churn_risk_score,
    labels.label_window_closed,
    case when labels.label_window_closed then buyers.customer_id is null end as churned
from features
inner join labels on features.as_of = labels.as_of
left join buyers
    on features.as_of = buyers.as_of and features.customer_id = buyers.customer_id
where features.sale_orders > 0
