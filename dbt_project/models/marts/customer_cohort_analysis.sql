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
        count(case when months.sale_orders > 0 then 1 end) as customers_active,
        sum(months.net_amount) as cohort_revenue,
        sum(months.gross_amount) as gross_amount,
        sum(months.returned_amount) as returned_amount,
        sum(months.margin_amount) as margin_amount,
        sum(months.days_without_margin) as days_without_margin
    from customer_months as months
    inner join customers on months.customer_id = customers.customer_id
    group by 1, 2
),

-- Null means not observed, 0 means nobody.
measured as (
    select
        cells.*,
        case when is_observed then coalesce(customers_active, 0) end as customers_active,
        case when is_observed then coalesce(cohort_revenue, 0) end as cohort_revenue,
        case when is_observed then coalesce(gross_amount, 0) end as gross_amount,
        case when is_observed then coalesce(returned_amount, 0) end as returned_amount,
        case
            when is_observed and coalesce(days_without_margin, 0) = 0
                then coalesce(margin_amount, 0)
        end as margin_amount
    from cells
    left join activity
        on
            cells.cohort_month = activity.cohort_month
            and cells.month_number = activity.month_number
),

rated as (
    select
        *,
        cast(customers_active as double) / customers_in_cohort as retention_rate
    from measured
)

select
    cohort_month,
    month_number,
    customers_active,
    customers_in_cohort,
    retention_rate,
    retention_rate
    - lag(retention_rate) over (partition by cohort_month order by month_number)
        as retention_change,
    {{ money('cohort_revenue') }} as cohort_revenue,
    {{ money('gross_amount') }} as gross_amount,
    {{ money('returned_amount') }} as returned_amount,
    {{ money('margin_amount') }} as margin_amount,
    {{ money('cohort_revenue / nullif(customers_active, 0)') }} as revenue_per_active_customer,
    case
        when month_number = 0 or not is_complete then null
        when retention_rate >= {{ var('cohort_strong_retention') }} then 'Strong'
        when retention_rate >= {{ var('cohort_fair_retention') }} then 'Fair'
        else 'Weak'
    end as cohort_quality,
    is_complete
from rated
