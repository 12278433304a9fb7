{# The rules that judge a customer's snapshot. Their thresholds are vars of dbt_project.yml. #}

{# Fifth, 1 to 5, of a value among the rows of the partition: average rank / rows, cut at fixed
   fifths. Ties share a score, and no skew can make it fail. Only of customers who have bought.
   The average rank of ties is the mean of the first's (rank) and the last's (count up to it): both
   come of one sorting. #}
{% macro fifth(value, partition_by, direction='asc') -%}
    {%- set buyers = 'partition by ' ~ partition_by ~ ', sale_orders > 0' -%}
    {%- set so_far = 'over (' ~ buyers ~ ' order by ' ~ value ~ ' ' ~ direction ~ ')' -%}
    case
        when sale_orders > 0 then cast(ceil(
            5.0 * (rank() {{ so_far }} + count(*) {{ so_far }})
            / (2 * count(*) over ({{ buyers }}))
        ) as integer)
    end
{%- endmacro %}

{# The three scores of every customer among those of the same as_of. #}
{% macro rfm_scores() -%}
    {{ fifth('days_since_last_order', partition_by='as_of', direction='desc') }} as r_score,
    {{ fifth('sale_orders', partition_by='as_of') }} as f_score,
    {{ fifth('net_amount', partition_by='as_of') }} as m_score
{%- endmacro %}

{% macro segment() -%}
    {%- set champion = var('segment_champion_score') -%}
    {%- set good = var('segment_good_score') -%}
    case
        when sale_orders = 0 then 'Prospect'
        when r_score >= {{ champion }} and f_score >= {{ champion }} and m_score >= {{ champion }}
            then 'Champion'
        when r_score >= {{ good }} and f_score >= {{ good }} then 'Loyal'
        when r_score >= {{ good }} then 'Potential'
        when f_score >= {{ good }} or m_score >= {{ good }} then 'At Risk'
        else 'Lost'
    end
{%- endmacro %}

{% macro value_segment() -%}
    case
        when sale_orders = 0 then 'Prospect'
        when m_score >= {{ var('value_high_score') }} then 'High Value'
        when tenure_days <= {{ var('value_new_days') }} then 'New'
        when days_since_last_order > {{ var('value_at_risk_days') }} then 'At Risk'
        else 'Regular'
    end
{%- endmacro %}

{# Net amount a day of the last 90 days against that of the whole tenure. #}
{% macro spending_velocity() -%}
    case
        when net_amount > 0
            then (cast(net_amount_90d as double) / least(tenure_days, 90))
                / (cast(net_amount as double) / tenure_days)
    end
{%- endmacro %}

{% macro lifetime_value_simple() -%}
    {{ money_or_zero('average_order_value * order_frequency * ' ~ var('lifetime_months')) }}
{%- endmacro %}

{# Silence against what is normal for the customer: a few of their mean gaps, or the churn horizon
   for those who have bought on one day only. #}
{% macro churn_risk_score() -%}
    case
        when sale_orders > 0 then least(
            1.0,
            cast(days_since_last_order as double)
            / case
                when mean_gap_days is null then {{ churn_horizon_days() }}
                else greatest(
                    {{ var('risk_normal_gaps') }} * mean_gap_days, {{ var('risk_min_days') }}
                )
            end
        )
    end
{%- endmacro %}

{% macro churn_risk_category() -%}
    case
        when churn_risk_score >= {{ var('risk_high_score') }} then 'High'
        when churn_risk_score >= {{ var('risk_medium_score') }} then 'Medium'
        when churn_risk_score is not null then 'Low'
    end
{%- endmacro %}
