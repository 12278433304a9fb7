{{ config(tags=['unpartitioned']) }}

-- Who is known on a day is known on each later one: the newest day has everybody, and no other is
-- read. Who is in no source and no order any more is in it no more.
select *
from {{ ref('customer_analytics_daily') }}
where snapshot_date = (select max(snapshot_date) from {{ ref('customer_analytics_daily') }})
