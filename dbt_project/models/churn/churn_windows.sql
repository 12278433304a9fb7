{#
    Separate from churn_outcomes: listing the days of that view would compute the outcomes of all
    customers (60 days of 100,000 customers: 4.5 s instead of 0.04 s).
#}
{{ config(materialized='view', tags=['unpartitioned']) }}

with scored as (
    select distinct
        snapshot_date,
        as_of,
        model_version
    from {{ source('churn', 'churn_predictions') }}
),

windows as (
    select
        scored.snapshot_date,
        scored.as_of,
        scored.model_version,
        models.horizon_days,
        {{ add_days('scored.as_of', 'models.horizon_days') }} as label_end,
        scored.as_of >= models.labels_to as is_prediction,
        models.roc_auc_low as promised_auc_low
    from scored
    inner join {{ source('churn', 'churn_model') }} as models
        on scored.model_version = models.model_version
    where models.is_chosen
)

select *
from windows
where {{ has_closed('label_end') }}
