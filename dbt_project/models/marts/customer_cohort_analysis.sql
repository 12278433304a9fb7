{{ config(tags=['unpartitioned']) }}

with customers as (
    select
        customer_id,
        {{ month_start('min(order_date)') }} as cohort_month
    from {{ ref('customer_days') }}
    where sale_orders > 0 and customer_id <> {{ unknown_member() }}
    group by customer_id
),

cohorts as (
    select
        cohort_month,
        count(*) as customers_in_cohort
    from customers
    group by cohort_month
),

observed as (
    select
        {{ observed_through() }} as observed_through,
        min(cohort_month) as first_month
    from cohorts
),

-- Every cohort has as many months as the oldest one.
months as (
    {{ date_series(
        '(select first_month from observed)', '(select observed_through from observed)', 'month'
    ) }}
),

spine as (
    select
        cohorts.cohort_month,
        cohorts.customers_in_cohort,
        {{ month_number('months.date_day') }} - {{ month_number('observed.first_month') }}
            as month_number,
        observed.observed_through
    from cohorts
    cross join observed
    cross join months
),

cells as (
    select
        *,
        {{ add_months('cohort_month', 'month_number') }} < observed_through as is_observed,
        {{ add_months('cohort_month', 'month_number + 1') }} <= observed_through as is_complete
    from spine
),

-- By customer first, so that customers are counted without DISTINCT.
customer_months as (
    select
        customer_id,
        {{ month_start('order_date') }} as month,
        sum(sale_orders) as sale_orders,
        sum(gross_amount) as gross_amount,
        sum(returned_amount) as returned_amount,
        sum(net_amount) as net_amount,
        sum(margin_amount) as margin_amount,
        count(*) - count(margin_amount) as days_without_margin
    from {{ ref('customer_days') }}
    group by 1, 2
),

activity as (
    select
        customers.cohort_month,
        {{ month_number('months.month') }} - {{ month_number('customers.cohort_month') }}
            as month_number,
        count(case when months.sale_orders > 0 then 1 end) as active,
        sum(months.net_amount) as net,
        sum(months.gross_amount) as gross,
        sum(months.returned_amount) as returned,
        sum(months.margin_amount) as margin,
        sum(months.days_without_margin) as without_margin
    from customer_months as months
    inner join customers on months.customer_id = customers.customer_id
    group by 1, 2
),

observed_cells as (
    select
        cells.*,
        activity.active,
        activity.net,
        activity.gross,
        activity.returned,
        activity.margin,
        activity.without_margin
    from cells
    left join activity
        on
            cells.cohort_month = activity.cohort_month
            and cells.month_number = activity.month_number
)

select *
from (
    {{ cohort_measures('observed_cells') }}
) as measures
