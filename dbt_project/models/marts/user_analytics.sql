{{ config(tags=['unpartitioned']) }}

select snapshots.*
from {{ ref('customer_analytics_daily') }} as snapshots
inner join (
    select
        customer_id,
        max(snapshot_date) as snapshot_date
    from {{ ref('customer_analytics_daily') }}
    group by customer_id
) as newest
    on
        snapshots.customer_id = newest.customer_id
        and snapshots.snapshot_date = newest.snapshot_date
