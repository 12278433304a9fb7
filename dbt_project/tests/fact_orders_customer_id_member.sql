{{ rows_without_member('fact_orders', 'order_date', ['order_id', 'line_number'], 'customer_id', 'dim_customers') }}
