{{ rows_without_member('fact_events', 'event_date', ['event_id'], 'customer_id', 'dim_customers') }}
