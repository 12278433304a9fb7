"""Shop systems and tills: Shopify, WooCommerce, Square.

Belongs here: what these write. Does not belong here: marketplaces, payments, data sets.
"""

from analytics_assets.sources.systems.base import Mapped, System, Word, filled

EACH_LINE_ONCE = "each line stands once in an export, so equal lines are two lines"

SHOPIFY = System(
    "Shopify",
    ("Name", "Created at", "Lineitem quantity", "Lineitem price"),
    (
        Mapped("order_id", ["Name"], "on every line; Id stands on the first line of an order only"),
        Mapped("ordered_at", ["Created at"], "on every line, with the offset of the shop's zone"),
        Mapped("customer_id", ["Email"], "who bought; orders without one are of nobody"),
        Mapped(
            "product_id",
            [filled("Lineitem sku", "Lineitem name"), "Lineitem name"],
            "the name where a product has no SKU",
        ),
        Mapped("product_name", ["Lineitem name"], "with the variant"),
        Mapped("quantity", ["Lineitem quantity"], "pieces of the line"),
        Mapped(
            "unit_price",
            ["Lineitem price"],
            "of a piece, before discounts; Subtotal and Total are the order's",
        ),
        Mapped(
            "discount",
            ["Discount Amount"],
            "of the order, of all its lines",
            amount=True,
        ),
        Mapped("shipping", ["Shipping"], "of the order; no part of gross", amount=True),
        Mapped("tax", ["Taxes"], "of the order; no part of gross", amount=True),
        Mapped(
            "refunded_amount",
            ["Refunded Amount"],
            "of the order, with the tax and shipping that were given back",
            amount=True,
        ),
        Mapped(
            "status",
            [
                {
                    "sql": "CASE WHEN trim(\"Cancelled at\") <> '' THEN 'cancelled' "
                    'ELSE "Financial Status" END'
                },
                "Financial Status",
            ],
            "a cancelled order keeps its payment status, such as refunded",
            of_order=True,
        ),
        Mapped("currency", ["Currency"], "the shop's currency", of_order=True),
        Mapped(
            "country",
            [
                filled("Shipping Country", "Billing Country"),
                "Shipping Country",
                "Billing Country",
            ],
            "where it goes, else who pays",
            of_order=True,
        ),
        Mapped("channel", ["Source"], "web, pos, or an app", of_order=True),
        Mapped("coupon", ["Discount Code"], "the code that was used", of_order=True),
    ),
    notes=(
        "Refunds have no day of their own in this export: they count on the day of the order.",
        "Prices have the tax in them where the shop sells with taxes included.",
    ),
    statuses={
        "paid": "completed",
        "partially_paid": "completed",
        "partially_refunded": "completed",
        "refunded": "completed",
        "authorized": "pending",
        "pending": "pending",
        "voided": "cancelled",
        "expired": "cancelled",
    },
    statuses_why="refunded is a sale too: Refunded Amount says how much of it was given back",
    words=(Word("duplicates", "keep", EACH_LINE_ONCE),),
)

# What WooCommerce's own reports leave out: pending, failed and cancelled.
WOO_STATUSES = {
    "completed": "completed",
    "processing": "completed",
    "on-hold": "pending",
    "pending": "cancelled",
    "failed": "cancelled",
    "cancelled": "cancelled",
    "refunded": "returned",
    "checkout-draft": "cancelled",
}
WOO_WHY = "as WooCommerce's own reports: what was never paid is no sale"
WOO_NOTES = (
    "Times are the shop's clock, without a zone: days are the shop's days as they are.",
    "Refunds have no day of their own in this export: they count on the day of the order.",
    "Money of lines is after coupons, and before tax.",
)

WOOCOMMERCE = System(
    "WooCommerce",
    ("item_quantity", "item_total", "item_name", "billing_email"),
    (
        Mapped("order_id", ["order_number", "order_id"], "on every line"),
        Mapped("ordered_at", ["order_date", "date"], "when it was placed"),
        Mapped(
            "customer_id",
            ["billing_email"],
            "guests have one too; customer_id is 0 for all of them",
        ),
        Mapped(
            "product_id",
            [
                filled("item_sku", "item_product_id", "item_name"),
                filled("item_sku", "item_name"),
                "item_name",
            ],
            "the product's number or name where it has no SKU",
        ),
        Mapped("product_name", ["item_name"], "with the variation"),
        Mapped("quantity", ["item_quantity"], "pieces of the line"),
        Mapped(
            "amount",
            ["item_total"],
            "of the whole line after coupons; order_total is the order's and repeats",
        ),
        Mapped("tax", ["item_total_tax"], "of the line; no part of gross"),
        Mapped("shipping", ["shipping_total"], "the order's, on every line", amount=True),
        Mapped("refunded_amount", ["item_refunded"], "what was given back of the line"),
        Mapped("status", ["status", "order_status"], "repeats on every line"),
        Mapped("currency", ["order_currency"], "repeats on every line"),
        Mapped("country", ["shipping_country", "billing_country"], "repeats on every line"),
    ),
    notes=WOO_NOTES,
    statuses=WOO_STATUSES,
    statuses_why=WOO_WHY,
    words=(Word("duplicates", "keep", EACH_LINE_ONCE),),
)

WOOCOMMERCE_ADVANCED = System(
    "WooCommerce (Advanced Order Export)",
    ("Order Number", "Order Date", "Item Name", "Item Cost", "Email (Billing)"),
    (
        Mapped("order_id", ["Order Number"], "on every line"),
        Mapped("ordered_at", ["Order Date"], "when it was placed"),
        Mapped("customer_id", ["Email (Billing)"], "guests have one too"),
        Mapped("product_id", [filled("SKU", "Item Name"), "Item Name"], "the name without a SKU"),
        Mapped("product_name", ["Item Name"], "with the variation"),
        Mapped(
            "quantity", ["Quantity (- Refund)", "Quantity"], "pieces less those that were refunded"
        ),
        Mapped("unit_price", ["Item Cost"], "of a piece, after coupons"),
        Mapped("status", ["Order Status"], "repeats on every line"),
        Mapped("currency", ["Order Currency", "Currency"], "repeats on every line"),
        Mapped(
            "country",
            ["Country Code (Shipping)", "Country Code (Billing)"],
            "repeats on every line",
        ),
        Mapped("coupon", ["Coupon Code"], "the code that was used"),
    ),
    notes=WOO_NOTES,
    statuses=WOO_STATUSES | {"pending payment": "cancelled", "on hold": "pending"},
    statuses_why=WOO_WHY,
    words=(Word("duplicates", "keep", EACH_LINE_ONCE),),
)

SQUARE = System(
    "Square",
    ("Date", "Time", "Item", "Qty", "Net Sales", "Transaction ID"),
    (
        Mapped("order_id", ["Transaction ID"], "one sale at the till"),
        Mapped("ordered_at", [["Date", "Time"]], "two columns, in the zone of Time Zone"),
        Mapped("customer_id", ["Customer ID"], "blank where nobody gave a name: nobody"),
        Mapped("product_id", [filled("SKU", "Item"), "Item"], "the name where it has no SKU"),
        Mapped("product_name", ["Item"], "without its price point"),
        Mapped("product_category", ["Category"], "as in the item library"),
        Mapped("quantity", ["Qty"], "below zero in a refund, so that it is a return"),
        Mapped("amount", ["Net Sales"], "of the whole line, after discounts and before tax"),
        Mapped("tax", ["Tax"], "of the line; no part of gross"),
        Mapped("channel", ["Channel", "Location"], "where it was sold"),
    ),
    notes=(
        "A refund is a row of its own, on its own day, of Event Type Refund.",
        "Tips and gift cards are not in the item details; fees are in the transactions export.",
    ),
    formats=("%m/%d/%y %H:%M:%S", "%Y-%m-%d %H:%M:%S"),
    zone_column="Time Zone",
    words=(Word("duplicates", "keep", EACH_LINE_ONCE),),
)
