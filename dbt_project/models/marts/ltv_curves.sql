{{ config(tags=['unpartitioned']) }}

{%- set so_far = 'partition by cohort_month order by month_number'
    ~ ' rows between unbounded preceding and current row' %}

with summed as (
    select
        cohort_month,
        month_number,
        customers_in_cohort,
        is_complete,
        customers_active is not null as is_observed,
        sum(gross_amount) over ({{ so_far }}) as gross_amount,
        sum(cohort_revenue) over ({{ so_far }}) as net_amount,
        sum(margin_amount) over ({{ so_far }}) as margin_amount,
        count(margin_amount) over ({{ so_far }}) as months_with_margin
    from {{ ref('customer_cohort_analysis') }}
),

-- Null means not observed; a margin that is not known in one month is not known from then on.
known as (
    select
        cohort_month,
        month_number,
        customers_in_cohort,
        is_complete,
        case when is_observed then gross_amount end as gross_amount,
        case when is_observed then net_amount end as net_amount,
        case
            when is_observed and months_with_margin = month_number + 1 then margin_amount
        end as margin_amount
    from summed
)

select
    cohort_month,
    month_number,
    customers_in_cohort
    {%- for amount in ['gross', 'net', 'margin'] %},
    {{ money(amount ~ '_amount') }} as {{ amount }}_amount
    {%- endfor %}
    {%- for amount in ['gross', 'net', 'margin'] %},
    {{ money(amount ~ '_amount / customers_in_cohort') }} as {{ amount }}_value
    {%- endfor %},
    is_complete
from known
