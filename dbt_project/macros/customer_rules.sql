{# The rules that classify a customer's snapshot. Their thresholds are vars in dbt_project.yml. #}

{# Query: the relation with three scores of each customer among those of the same as_of; null for
   customers who have not bought. The relation should be a CTE, as it is read four times. #}
{% macro rfm_scored(relation) %}
    {%- set scores = {
        'r_score': ('days_since_last_order', 'desc'),
        'f_score': ('sale_orders', 'asc'),
        'm_score': ('net_amount', 'asc'),
    } -%}
    with
    {%- for score, (value, direction) in scores.items() %}
    {{ score }}s as (
        {{ fifths(relation, value, direction) }}
    ){{ ',' if not loop.last }}
    {%- endfor %}

    select
        {{ relation }}.*
        {%- for score in scores %},
        case when {{ relation }}.sale_orders > 0 then {{ score }}s.fifth end as {{ score }}
        {%- endfor %}
    from {{ relation }}
    {%- for score, (value, direction) in scores.items() %}
    left join {{ score }}s
        on
            {{ relation }}.as_of = {{ score }}s.as_of
            and {{ relation }}.{{ value }} = {{ score }}s.{{ value }}
    {%- endfor %}
{% endmacro %}

{# Query: the fifth, 1 to 5, of each value among buyers, by average rank / rows. Ties share a score,
   however skewed the values are. It ranks distinct values, which are far fewer and narrower than
   the rows of customers. The average rank of ties is the mean of the first one's (up_to - ties + 1)
   and the last one's (up_to). #}
{% macro fifths(relation, value, direction) -%}
        select
            as_of,
            {{ value }},
            cast(ceil(5.0 * (2 * up_to - ties + 1) / (2 * buyers)) as integer) as fifth
        from (
            select
                as_of,
                {{ value }},
                ties,
                sum(ties) over (
                    partition by as_of order by {{ value }} {{ direction }}
                ) as up_to,
                sum(ties) over (partition by as_of) as buyers
            from (
                select
                    as_of,
                    {{ value }},
                    count(*) as ties
                from {{ relation }}
                where sale_orders > 0
                group by as_of, {{ value }}
            ) as counted
        ) as ranked
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

{# Groups by recency and by the mean of the scores of frequency and money, halves rounded up; the
   names are those of CustomerRfmGroup in Shopify's API. Every pair of scores is in one group. #}
{% macro rfm_group() -%}
    {%- set mean = 'floor((f_score + m_score + 1) / 2.0)' -%}
    case
        when sale_orders = 0 then 'Prospects'
        when r_score = 5 and {{ mean }} >= 4 then 'Champions'
        when r_score >= 3 and {{ mean }} >= 4 then 'Loyal'
        when r_score >= 4 and {{ mean }} >= 2 then 'Active'
        when r_score = 5 then 'New'
        when r_score = 4 then 'Promising'
        when r_score = 3 and {{ mean }} = 3 then 'Needs Attention'
        when r_score = 3 then 'Almost Lost'
        when {{ mean }} = 5 then 'Previously Loyal'
        when {{ mean }} >= 3 then 'At Risk'
        else 'Dormant'
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

{# Net amount per day of the last 90 days, divided by that of the whole tenure. #}
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

{# Days since the last order, divided by what is normal for the customer: a few of their mean gaps,
   or the churn horizon for those who have bought on one day only. #}
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

{# By the rule's score; the risk_band of a model's probability has other bounds. #}
{% macro churn_risk_category() -%}
    case
        when churn_risk_score >= {{ var('rule_high_score') }} then 'High'
        when churn_risk_score >= {{ var('rule_medium_score') }} then 'Medium'
        when churn_risk_score is not null then 'Low'
    end
{%- endmacro %}
