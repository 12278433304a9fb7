{# Who went to a segment in a month is who comes from it in the next, where both months are there. #}
{% test moves_add_up(model) %}

with months as (
    select distinct month
    from {{ model }}
),

sides as (
    select
        {{ add_months('month', 1) }} as month,
        to_segment as segment,
        customers as arrived,
        0 as left_again
    from {{ model }}
    where to_segment <> 'Gone'
    union all
    select
        month,
        from_segment as segment,
        0 as arrived,
        customers as left_again
    from {{ model }}
    where from_segment <> 'New'
)

select
    sides.month,
    sides.segment,
    sum(sides.arrived) as arrived,
    sum(sides.left_again) as left_again
from sides
inner join months on sides.month = months.month
inner join months as earlier on sides.month = {{ add_months('earlier.month', 1) }}
group by sides.month, sides.segment
having sum(sides.arrived) <> sum(sides.left_again)

{% endtest %}
