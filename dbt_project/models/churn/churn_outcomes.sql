{#
    Labels of the scores. Training data have theirs in churn_features, by the same macros: one model
    for both would depend on the scores, and the training on it. The value of a customer is computed
    from net_amount and tenure_days, as in training (`churn.data.customer_value`).
    A view, so that new scores and late sales count without another build.
#}
{{ config(materialized='view', tags=['unpartitioned']) }}

with windows as (
    select *
    from {{ ref('churn_windows') }}
),

buyers as (
    {{ buyers_within('windows') }}
)

select
    scores.as_of,
    scores.customer_id,
    scores.model_version,
    scores.churn_probability,
    windows.horizon_days,
    buyers.customer_id is null as churned,
    known.net_amount,
    known.tenure_days
from {{ source('churn', 'churn_predictions') }} as scores
inner join windows
    on scores.as_of = windows.as_of and scores.model_version = windows.model_version
left join buyers
    on
        scores.as_of = buyers.as_of
        and windows.label_end = buyers.label_end
        and scores.customer_id = buyers.customer_id
left join {{ ref('customer_analytics_daily') }} as known
    on
        scores.snapshot_date = known.snapshot_date
        and scores.customer_id = known.customer_id
