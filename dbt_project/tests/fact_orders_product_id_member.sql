{{ rows_without_member('fact_orders', 'order_date', ['order_id', 'line_number'], 'product_id', 'dim_products') }}
