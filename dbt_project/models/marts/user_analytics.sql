{{ config(tags=['unpartitioned']) }}

-- The newest day has all customers: who is known on a day is known on each later one, unless
-- corrections have removed all of the customer's rows.
select *
from {{ ref('customer_analytics_daily') }}
where snapshot_date = (select max(snapshot_date) from {{ ref('customer_analytics_daily') }})
