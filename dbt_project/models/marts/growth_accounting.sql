{{ config(tags=['unpartitioned']) }}

{%- set periods = ['day', 'week', 'month'] %}
{%- set known = 'customer_id <> ' ~ unknown_member() %}
{%- set states = {
    'new': 'previous_start is null',
    'retained': 'is_retained',
    'resurrected': 'previous_start is not null and not is_retained',
} %}
{%- set changes = {'expansion': 1, 'contraction': -1} %}

with observed as (
    select
        (select min(order_date) from {{ ref('customer_days') }}) as first_date,
        min(window_date) as observed_from,
        {{ observed_through() }} as observed_through
    from {{ source('raw', 'source_loads') }}
    where source = 'orders'
),
{% for period in periods %}
{{ period }}_series as (
    {{ date_series(
        '(select ' ~ period_start(period, 'first_date') ~ ' from observed)',
        '(select observed_through from observed)', period
    ) }}
),

{{ period }}_sums as (
    select
        customer_id,
        {{ period_start(period, 'order_date') }} as period_start,
        {%- if period == 'day' %}
        sale_orders,
        gross_amount,
        net_amount
    from {{ ref('customer_days') }}
        {%- else %}
        sum(sale_orders) as sale_orders,
        sum(gross_amount) as gross_amount,
        sum(net_amount) as net_amount
    from {{ ref('customer_days') }}
    group by 1, 2
        {%- endif %}
),

-- The periods in which a customer bought, with the one before and the one after.
{{ period }}_sequences as (
    select
        period_start,
        gross_amount,
        net_amount,
        {{ next_period(period, 'period_start') }} as next_period,
        lag(period_start) over (partition by customer_id order by period_start) as previous_start,
        lead(period_start) over (partition by customer_id order by period_start) as next_start,
        lag(gross_amount) over (partition by customer_id order by period_start)
            as previous_gross_amount,
        lag(net_amount) over (partition by customer_id order by period_start)
            as previous_net_amount
    from {{ period }}_sums
    where sale_orders > 0 and {{ known }}
),

{{ period }}_bought as (
    select
        *,
        coalesce({{ next_period(period, 'previous_start') }} = period_start, false) as is_retained
    from {{ period }}_sequences
),

{{ period }}_gained as (
    select
        period_start,
        count(*) as closing_customers,
        sum(gross_amount) as closing_gross_amount,
        sum(net_amount) as closing_net_amount
        {%- for state, condition in states.items() %},
        count(case when {{ condition }} then 1 end) as {{ state }}_customers,
        sum(case when {{ condition }} then gross_amount end) as {{ state }}_gross_amount,
        sum(case when {{ condition }} then net_amount end) as {{ state }}_net_amount
        {%- endfor %}
        {%- for change, sign in changes.items() %}
        {%- for amount in ['gross_amount', 'net_amount'] %},
        sum(case
            when is_retained then greatest({{ sign }} * ({{ amount }} - previous_{{ amount }}), 0)
        end) as {{ change }}_{{ amount }}
        {%- endfor %}
        {%- endfor %}
    from {{ period }}_bought
    group by period_start
),

{{ period }}_lost as (
    select
        next_period as period_start,
        count(*) as churned_customers,
        sum(gross_amount) as churned_gross_amount,
        sum(net_amount) as churned_net_amount
    from {{ period }}_bought
    where next_start is null or next_start > next_period
    group by next_period
),

{{ period }}_others as (
    select
        period_start,
        sum(case when {{ known }} then net_amount end) as returns_only_net_amount,
        sum(case when not ({{ known }}) then gross_amount end) as unknown_gross_amount,
        sum(case when not ({{ known }}) then net_amount end) as unknown_net_amount
    from {{ period }}_sums
    where sale_orders = 0 or not ({{ known }})
    group by period_start
),
{% endfor %}
periods as (
    {%- for period in periods %}
    select
        '{{ period }}' as period_type,
        series.date_day as period_start,
        {{ next_period(period, 'series.date_day') }} as period_end,
        coalesce(gained.closing_customers, 0) as closing_customers,
        coalesce(lost.churned_customers, 0) as churned_customers
        {%- for state in states %},
        coalesce(gained.{{ state }}_customers, 0) as {{ state }}_customers
        {%- endfor %}
        {%- for amount in ['gross_amount', 'net_amount'] %}
        {%- for part in states.keys() | list + ['closing'] + changes.keys() | list %},
        coalesce(gained.{{ part }}_{{ amount }}, 0) as {{ part }}_{{ amount }}
        {%- endfor %},
        coalesce(lost.churned_{{ amount }}, 0) as churned_{{ amount }},
        coalesce(others.unknown_{{ amount }}, 0) as unknown_{{ amount }}
        {%- endfor %},
        coalesce(others.returns_only_net_amount, 0) as returns_only_net_amount
    from {{ period }}_series as series
    left join {{ period }}_gained as gained on series.date_day = gained.period_start
    left join {{ period }}_lost as lost on series.date_day = lost.period_start
    left join {{ period }}_others as others on series.date_day = others.period_start
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

running as (
    select
        *,
        sum(new_customers) over (
            partition by period_type order by period_start
            rows between unbounded preceding and current row
        ) as customers_so_far
        {%- for what in ['customers', 'gross_amount', 'net_amount'] %},
        lag(closing_{{ what }}, 1, 0) over (partition by period_type order by period_start)
            as opening_{{ what }}
        {%- endfor %}
    from periods
)

select
    running.period_type,
    running.period_start,
    running.period_end,
    cast(running.opening_customers as bigint) as opening_customers,
    running.new_customers,
    running.retained_customers,
    running.resurrected_customers,
    running.churned_customers,
    running.closing_customers,
    cast(
        running.customers_so_far - running.closing_customers - running.churned_customers as bigint
    ) as dormant_customers,
    {%- for amount in ['gross_amount', 'net_amount'] %}
    {%- for part in [
        'opening', 'new', 'retained', 'resurrected', 'expansion', 'contraction', 'churned', 'closing'
    ] %}
    {{ money('running.' ~ part ~ '_' ~ amount) }} as {{ part }}_{{ amount }},
    {%- endfor %}
    {%- if amount == 'net_amount' %}
    {{ money('running.returns_only_net_amount') }} as returns_only_net_amount,
    {{ money(
        'running.retained_net_amount + running.resurrected_net_amount'
        ~ ' + running.returns_only_net_amount'
    ) }} as returning_net_amount,
    {%- endif %}
    {{ money('running.unknown_' ~ amount) }} as unknown_{{ amount }},
    {{ money(
        'running.closing_' ~ amount ~ ' + running.unknown_' ~ amount
        ~ (' + running.returns_only_net_amount' if amount == 'net_amount' else '')
    ) }} as {{ amount }},
    {%- endfor %}
    running.period_start >= observed.observed_from
    and running.period_end <= observed.observed_through as is_complete
from running
cross join observed
