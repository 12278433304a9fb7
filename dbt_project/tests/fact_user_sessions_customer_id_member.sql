{{ rows_without_member('fact_user_sessions', 'session_date', ['session_id'], 'customer_id', 'dim_customers') }}
