{{ config(tags=['unpartitioned']) }}

{%- set tops = [1, 10, 20] %}

with members as (
    select
        *,
        gross_amount + returned_amount as net_amount,
        member_id <> {{ unknown_member() }} and gross_amount > 0 as is_ranked
    from ({{ member_months() }}) as member_months
),

-- Those who tie at the edge of the top have the same net amount, so that it does not matter which of
-- them count; by name, so that it is the same ones each time.
ranked as (
    select
        member_type,
        month,
        net_amount,
        row_number() over (
            partition by member_type, month order by net_amount desc, member_id
        ) as position,
        count(*) over (partition by member_type, month) as members
    from members
    where is_ranked
),

sums as (
    select
        member_type,
        month,
        max(members) as members,
        sum(net_amount) as net_amount
        {%- for top in tops %},
        max(cast(ceil(members * {{ top }} / 100.0) as bigint)) as counted_{{ top }},
        sum(case when position <= ceil(members * {{ top }} / 100.0) then net_amount end)
            as top_net_{{ top }},
        min(case when position <= ceil(members * {{ top }} / 100.0) then net_amount end)
            as least_net_{{ top }}
        {%- endfor %}
    from ranked
    group by member_type, month
),

totals as (
    select
        member_type,
        month,
        sum(net_amount) as net_amount
    from members
    group by member_type, month
),

tops as (
    {%- for top in tops %}
    select
        totals.month,
        totals.member_type,
        {{ top }} as top_percent,
        coalesce(sums.members, 0) as members,
        coalesce(sums.counted_{{ top }}, 0) as counted,
        coalesce(sums.top_net_{{ top }}, 0) as top_net_amount,
        sums.least_net_{{ top }} as least_net_amount,
        coalesce(sums.net_amount, 0) as net_amount,
        totals.net_amount - coalesce(sums.net_amount, 0) as other_net_amount
    from totals
    left join sums on totals.member_type = sums.member_type and totals.month = sums.month
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    month,
    member_type,
    top_percent,
    cast(members as bigint) as members,
    cast(counted as bigint) as counted,
    {{ money('top_net_amount') }} as top_net_amount,
    {{ money('least_net_amount') }} as least_net_amount,
    {{ money('net_amount') }} as net_amount,
    {{ money('other_net_amount') }} as other_net_amount,
    case
        when net_amount > 0 then cast(top_net_amount as double) / cast(net_amount as double)
    end as net_share,
    {{ is_whole_month('month') }} as is_complete
from tops
