{{ rows_without_member('customer_days', 'order_date', [], 'customer_id', 'dim_customers') }}
