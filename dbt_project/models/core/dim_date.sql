{{ config(tags=['unpartitioned']) }}

with loaded as (
    select
        cast({{ dbt.date_trunc('year', 'min(window_date)') }} as date) as first_date,
        {{ add_months(dbt.date_trunc('year', 'max(window_date)'), 12) }} as end_date
    from {{ source('raw', 'source_loads') }}
),

days as (
    {{ date_series('(select first_date from loaded)', '(select end_date from loaded)', 'day') }}
)

select
    date_day,
    cast(extract(year from date_day) as integer) as year,
    cast(extract(quarter from date_day) as integer) as quarter,
    cast(extract(month from date_day) as integer) as month,
    {{ month_start('date_day') }} as month_start,
    {{ month_number('date_day') }} as month_number_abs,
    cast(extract(isoyear from date_day) as integer) as iso_year,
    cast(extract(week from date_day) as integer) as iso_week,
    cast(extract(isodow from date_day) as integer) as day_of_week,
    extract(isodow from date_day) >= 6 as is_weekend,
    date_day = {{ dbt.last_day('date_day', 'month') }} as is_month_end
from days
