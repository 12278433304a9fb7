{{ config(tags=['unpartitioned']) }}

with members as (
    {{ member_months() }}
),

firsts as (
    select
        member_type,
        member_id,
        min(month) as first_month
    from members
    where gross_amount > 0
    group by member_type, member_id
),

-- Each month of a member counts as a month's end, and as the beginning of the next month.
sides as (
    select
        member_type,
        month,
        member_id,
        quantity,
        gross_amount,
        returned_amount,
        0 as quantity_before,
        0 as gross_before,
        0 as returned_before
    from members
    union all
    select
        member_type,
        {{ add_months('month', 1) }} as month,
        member_id,
        0 as quantity,
        0 as gross_amount,
        0 as returned_amount,
        quantity as quantity_before,
        gross_amount as gross_before,
        returned_amount as returned_before
    from members
),

pairs as (
    select
        member_type,
        month,
        member_id,
        sum(quantity) as quantity,
        sum(gross_amount) as gross_amount,
        sum(returned_amount) as returned_amount,
        sum(quantity_before) as quantity_before,
        sum(gross_before) as gross_before,
        sum(returned_before) as returned_before
    from sides
    group by member_type, month, member_id
),

-- The price effect of one product has more decimals than money, and their sum is exact, whatever the
-- order of the rows.
moves as (
    select
        pairs.*,
        case
            when pairs.member_id = {{ unknown_member() }} then 'unknown'
            when pairs.gross_amount > 0 and pairs.gross_before > 0 then 'kept'
            when pairs.gross_before > 0 then 'lost'
            when pairs.gross_amount > 0 and firsts.first_month = pairs.month then 'new'
            when pairs.gross_amount > 0 then 'returning'
        end as move,
        case
            when
                pairs.member_type = 'product'
                and pairs.gross_amount > 0
                and pairs.gross_before > 0
                then cast(
                    cast(pairs.gross_amount as double)
                    - cast(pairs.quantity as double)
                    * (cast(pairs.gross_before as double) / cast(pairs.quantity_before as double))
                    as decimal(38, 10)
                )
        end as price
    from pairs
    left join firsts
        on pairs.member_type = firsts.member_type and pairs.member_id = firsts.member_id
),

sums as (
    select
        member_type,
        month,
        sum(gross_before + returned_before) as opening_net,
        sum(gross_amount + returned_amount) as closing_net,
        sum(returned_amount - returned_before) as returns,
        sum(case when move = 'kept' then price end) as price,
        sum(case when move = 'kept' then quantity end) as kept_quantity,
        sum(case when move = 'kept' then quantity_before end) as kept_quantity_before,
        sum(case when move = 'kept' then gross_amount end) as kept_gross,
        sum(case when move = 'kept' then gross_before end) as kept_gross_before,
        {%- for move in ['new', 'returning', 'lost', 'unknown'] %}
        sum(case when move = '{{ move }}' then gross_amount - gross_before end) as {{ move }}_gross,
        {%- endfor %}
        {%- for move in ['kept', 'new', 'returning', 'lost'] %}
        count(case when move = '{{ move }}' then 1 end) as members_{{ move }}{{ ',' if not loop.last }}
        {%- endfor %}
    from moves
    group by member_type, month
),

-- The first month has nothing to begin from.
months as (
    {{ date_series(
        add_months('(select min(month) from members)', 1), observed_through(), 'month'
    ) }}
),

effects as (
    select
        months.date_day as month,
        types.member_type,
        {{ money('coalesce(sums.opening_net, 0)') }} as opening_net_amount,
        {{ money('coalesce(sums.price, 0)') }} as price,
        {{ money(
            'coalesce(cast(sums.kept_quantity - sums.kept_quantity_before as double) '
            ~ '* cast(sums.kept_gross_before as double) '
            ~ '/ cast(sums.kept_quantity_before as double), 0)'
        ) }} as volume,
        {{ money('coalesce(sums.kept_gross - sums.kept_gross_before, 0)') }} as kept_gross,
        {{ money('coalesce(sums.new_gross, 0)') }} as new_effect,
        {{ money('coalesce(sums.returning_gross, 0)') }} as returning_effect,
        {{ money('coalesce(sums.lost_gross, 0)') }} as lost_effect,
        {{ money('coalesce(sums.unknown_gross, 0)') }} as unknown_effect,
        {{ money('coalesce(sums.returns, 0)') }} as returns_effect,
        {{ money('coalesce(sums.closing_net, 0)') }} as closing_net_amount,
        {%- for move in ['kept', 'new', 'returning', 'lost'] %}
        coalesce(sums.members_{{ move }}, 0) as members_{{ move }},
        {%- endfor %}
        {{ is_whole_month('months.date_day') }}
        and {{ is_whole_month(add_months('months.date_day', -1)) }} as is_complete
    from months
    cross join (select distinct member_type from members) as types
    left join sums
        on months.date_day = sums.month and types.member_type = sums.member_type
)

select
    month,
    member_type,
    opening_net_amount,
    case when member_type = 'product' then price end as price_effect,
    case when member_type = 'product' then volume end as volume_effect,
    case when member_type = 'product' then {{ money('kept_gross - price - volume') }} end
        as mix_effect,
    case when member_type = 'customer' then volume end as orders_effect,
    case when member_type = 'customer' then {{ money('kept_gross - volume') }} end
        as order_value_effect,
    new_effect,
    returning_effect,
    lost_effect,
    unknown_effect,
    returns_effect,
    closing_net_amount,
    members_kept,
    members_new,
    members_returning,
    members_lost,
    is_complete
from effects
