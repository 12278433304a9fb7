{{ rows_without_member('fact_support_tickets', 'ticket_date', ['ticket_id'], 'customer_id', 'dim_customers') }}
