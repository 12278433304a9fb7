{{ windowed('order_date', 'daily') }}

select
    order_date,
    order_id,
    line_number,
    ordered_at,
    coalesce(customer_id, {{ unknown_member() }}) as customer_id,
    coalesce(product_id, {{ unknown_member() }}) as product_id,
    product_category,
    quantity,
    unit_price,
    amount,
    extended_amount,
    discount,
    tax,
    shipping,
    cost,
    line_type,
    is_refund,
    status,
    currency,
    channel,
    coupon
from {{ ref('stg_orders') }}
where {{ in_window('order_date') }}
