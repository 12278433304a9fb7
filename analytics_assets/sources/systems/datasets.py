"""Data sets that people learn with: Olist, Superstore, Online Retail.

Belongs here: what these are. Does not belong here: exports of systems.
"""

from analytics_assets.sources.systems.base import Mapped, System, Word

_JOIN = "FROM items\nJOIN orders USING (order_id)\nJOIN customers USING (customer_id)\n"

OLIST = System(
    "Olist",
    (),
    (
        Mapped("order_id", ["order_id"], "of orders and items"),
        Mapped("line_number", ["order_item_id"], "numbers the items of an order"),
        Mapped("ordered_at", ["order_purchase_timestamp"], "the buyer's clock, without a zone"),
        Mapped(
            "customer_id", ["customer_unique_id"], "customer_id is another one for each order"
        ),
        Mapped("product_id", ["product_id"], "of the item"),
        Mapped("product_category", ["product_category_name"], "in Portuguese"),
        Mapped("quantity", [{"value": 1}], "each item is a row, three of one are three rows"),
        Mapped("unit_price", ["price"], "of the item"),
        Mapped("shipping", ["freight_value"], "of the item; no part of gross"),
        Mapped("status", ["order_status"], "of the order"),
        Mapped("country", [{"value": "Brazil"}], "customer_state is finer"),
    ),
    notes=("What was given back is not in the data; orders that were canceled are no sales.",),
    statuses={
        "delivered": "completed",
        "shipped": "completed",
        "invoiced": "completed",
        "approved": "completed",
        "processing": "completed",
        "created": "pending",
        "unavailable": "cancelled",
        "canceled": "cancelled",
    },
    statuses_why="what is paid and on its way is a sale",
    tables={
        "orders": ("order_id", "customer_id", "order_status", "order_purchase_timestamp"),
        "items": ("order_id", "order_item_id", "product_id", "price", "freight_value"),
        "customers": ("customer_id", "customer_unique_id"),
        "products": ("product_id", "product_category_name"),
    },
    queries=(
        (
            ("orders", "items", "customers", "products"),
            f"SELECT *\n{_JOIN}LEFT JOIN products USING (product_id)",
        ),
        (("orders", "items", "customers"), f"SELECT *\n{_JOIN.strip()}"),
    ),
)  # fmt: skip

SUPERSTORE = System(
    "Superstore",
    ("Order ID", "Order Date", "Customer ID", "Product ID", "Sales", "Profit"),
    (
        Mapped("order_id", ["Order ID"], "on every line"),
        Mapped("line_number", ["Row ID"], "numbers all lines"),
        Mapped("ordered_at", ["Order Date"], "a day without a time: that day"),
        Mapped("customer_id", ["Customer ID"], "Customer Name is a name"),
        Mapped("product_id", ["Product ID"], "as in the product list"),
        Mapped("product_name", ["Product Name"], "as in the product list"),
        Mapped("product_category", ["Category"], "Sub-Category is finer"),
        Mapped("quantity", ["Quantity"], "pieces of the line"),
        Mapped("amount", ["Sales"], "of the whole line after its discount, not of a piece"),
        Mapped("cost", [{"sql": "Sales - Profit"}], "what the profit leaves"),
        Mapped("country", ["Country", "Country/Region"], "State is a place, and no status"),
    ),
    notes=(
        "Discount is a share, and is in Sales already: it is not read.",
        "Returned orders are in another sheet, without a day: nothing here is given back.",
    ),
    formats=("%m/%d/%Y", "%m/%d/%y"),
)

ONLINE_RETAIL = System(
    "Online Retail",
    ("StockCode", "Description", "Quantity", "InvoiceDate"),
    (
        Mapped("order_id", ["InvoiceNo", "Invoice"], "one that begins with C is a cancellation"),
        Mapped("ordered_at", ["InvoiceDate"], "the shop's clock, without a zone"),
        Mapped("customer_id", ["CustomerID", "Customer ID"], "a quarter of the lines have none"),
        Mapped("product_id", ["StockCode"], "POST, M and such are no goods"),
        Mapped("product_name", ["Description"], "as it was typed"),
        Mapped("quantity", ["Quantity"], "below zero in a cancellation, so that it is a return"),
        Mapped("unit_price", ["UnitPrice", "Price"], "of a piece, in pounds"),
        Mapped("country", ["Country"], "of the customer"),
    ),
    formats=("%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S"),
    words=(
        Word("cancelled_order_pattern", "^C", "their lines of a positive quantity are no sales"),
    ),
)
