{{ config(meta={
    'description': "Who went to a segment in a month of marts.customer_segment_moves comes from it in the next.",
    'remedy': "Build the month again, and the months after it: late rows change how many customers were in a segment at its end.",
}) }}

with months as (
    select distinct month
    from {{ ref('customer_segment_moves') }}
),

sides as (
    select
        {{ add_months('month', 1) }} as month,
        to_segment as segment,
        customers as arrived,
        0 as left_again
    from {{ ref('customer_segment_moves') }}
    where to_segment <> 'Gone'
    union all
    select
        month,
        from_segment as segment,
        0 as arrived,
        customers as left_again
    from {{ ref('customer_segment_moves') }}
    where from_segment <> 'New'
)

-- Only if the month before exists.
select
    sides.month,
    sides.segment as from_segment,
    sum(sides.arrived) as arrived,
    sum(sides.left_again) as left_again
from sides
inner join months on sides.month = months.month
inner join months as earlier on sides.month = {{ add_months('earlier.month', 1) }}
group by sides.month, sides.segment
having sum(sides.arrived) <> sum(sides.left_again)
