{# The dimensions of cohorts_by_dimension, each a name and the SQL of its value, which is text and
   never null. A new one is one line here. Columns: `firsts` has the first order of each customer
   (product_id of its line with the largest amount, channel, coupon, order_amount, order_discount),
   `products` and `customers` are the dimension tables. #}
{% macro cohort_dimensions() -%}
    {%- set unknown = unknown_member() -%}
    {{ return({
        'category': 'coalesce(products.category, ' ~ unknown ~ ')',
        'product': 'firsts.product_id',
        'country': 'coalesce(customers.country, ' ~ unknown ~ ')',
        'channel': 'coalesce(firsts.channel, ' ~ unknown ~ ')',
        'coupon': "coalesce(firsts.coupon, '(none)')",
        'discounted': "case when firsts.order_discount > 0 then 'discounted'"
            ~ " when firsts.order_discount is not null then 'full price' else " ~ unknown ~ ' end',
        'price_band': order_band('firsts.order_amount'),
    }) }}
{%- endmacro %}

{# The measures of a table of cohorts, from its cells with what was observed in them. Null means not
   observed, 0 means nobody. `groups`: columns that tell cohorts of one month from each other. #}
{% macro cohort_measures(cells, groups=[]) %}
    with measured as (
        select
            *,
            case when is_observed then coalesce(active, 0) end as customers_active,
            case when is_observed then coalesce(net, 0) end as cohort_revenue,
            case when is_observed then coalesce(gross, 0) end as gross_amount,
            case when is_observed then coalesce(returned, 0) end as returned_amount,
            case
                when is_observed and coalesce(without_margin, 0) = 0 then coalesce(margin, 0)
            end as margin_amount
        from {{ cells }}
    ),

    rated as (
        select
            *,
            cast(customers_active as double) / customers_in_cohort as retention_rate
        from measured
    )

    select
        {%- for column in groups %}
        {{ column }},
        {%- endfor %}
        cohort_month,
        month_number,
        cast(customers_active as bigint) as customers_active,
        customers_in_cohort,
        retention_rate,
        retention_rate - lag(retention_rate) over (
            partition by {{ (groups + ['cohort_month']) | join(', ') }} order by month_number
        ) as retention_change,
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
{%- endmacro %}
