{{ config(meta={
    'dagster': {'ref': {'name': 'cohorts_by_dimension'}},
    'description': "Cohorts of each dimension of marts.cohorts_by_dimension add up to marts.customer_cohort_analysis.",
    'remedy': "Build both tables again, from the same customer_sales; if they still differ, a customer has no value, or two, in the listed dimension.",
}) }}

{%- set measures = [
    'customers_active', 'customers_in_cohort', 'cohort_revenue', 'gross_amount', 'returned_amount',
    'margin_amount',
] %}

with expected as (
    {%- for name in cohort_dimensions() %}
    select
        '{{ name }}' as dimension,
        cohorts.*
    from {{ ref('customer_cohort_analysis') }} as cohorts
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

added_up as (
    select
        dimension,
        cohort_month,
        month_number
        {%- for measure in measures %},
        -- Unknown of one value is unknown of all of them together.
        case when count(*) = count({{ measure }}) then sum({{ measure }}) end as {{ measure }}
        {%- endfor %}
    from {{ ref('cohorts_by_dimension') }}
    group by dimension, cohort_month, month_number
)

select
    coalesce(expected.dimension, added_up.dimension) as dimension,
    coalesce(expected.cohort_month, added_up.cohort_month) as cohort_month,
    coalesce(expected.month_number, added_up.month_number) as month_number
    {%- for measure in measures %},
    expected.{{ measure }},
    added_up.{{ measure }} as added_up_{{ measure }}
    {%- endfor %}
from expected
full join added_up
    on
        expected.dimension = added_up.dimension
        and expected.cohort_month = added_up.cohort_month
        and expected.month_number = added_up.month_number
where
    expected.dimension is null
    or added_up.dimension is null
    {%- for measure in measures %}
    or expected.{{ measure }} is distinct from added_up.{{ measure }}
    {%- endfor %}
