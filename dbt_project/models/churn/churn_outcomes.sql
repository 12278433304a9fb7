{#
    For the scores only. What is trained on has its label in churn_features, by the same macros: a
    model of both would come after the scores and before the training that they come from.
    The value of a customer follows from net_amount and tenure_days, in training as well
    (`churn.data.customer_value`).
    A view: it follows the scores and late sales without being built again.
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
