"""Marketplaces: Etsy, eBay, Amazon.

Belongs here: what these write. Does not belong here: shops, payments, data sets.
"""

from analytics_assets.sources.systems.base import Mapped, System, Word, filled
from analytics_assets.sources.systems.shops import EACH_LINE_ONCE

ETSY = System(
    "Etsy",
    ("Sale Date", "Item Name", "Buyer", "Listing ID", "Order ID"),
    (
        Mapped("order_id", ["Order ID"], "Transaction ID is the line's"),
        Mapped("ordered_at", ["Sale Date"], "a day without a time: that day"),
        Mapped("customer_id", ["Buyer"], "the buyer's name on Etsy; guests have none"),
        Mapped("product_id", [filled("SKU", "Listing ID"), "Listing ID"], "the listing's number "
               "without a SKU"),
        Mapped("product_name", ["Item Name"], "the title of the listing"),
        Mapped("quantity", ["Quantity"], "pieces of the line"),
        Mapped("unit_price", ["Price"], "of a piece; Item Total is before the coupon"),
        Mapped("discount", ["Discount Amount"], "the coupon's, of the line"),
        Mapped("shipping", ["Order Shipping"], "the order's, on every line", amount=True),
        Mapped("tax", ["Order Sales Tax"], "the order's, on every line", amount=True),
        Mapped("currency", ["Currency"], "what the buyer was charged in"),
        Mapped("country", ["Ship Country", "Delivery Country"], "where it goes"),
        Mapped("coupon", ["Coupon Code"], "the code that was used"),
    ),
    notes=(
        "This is EtsySoldOrderItems; EtsySoldOrders has no items.",
        "Refunds and fees are not in this export, but in the monthly statement.",
    ),
    formats=("%m/%d/%y", "%m/%d/%Y"),
    words=(Word("duplicates", "keep", EACH_LINE_ONCE),),
)  # fmt: skip

EBAY = System(
    "eBay",
    ("Sales Record Number", "Order Number", "Buyer Username", "Item Number", "Sold For"),
    (
        Mapped("order_id", ["Order Number"], "on every line"),
        Mapped("ordered_at", ["Sale Date"], "when it was bought", of_order=True),
        Mapped(
            "customer_id",
            ["Buyer Username"],
            "of an order of several items on its first line only",
            of_order=True,
        ),
        Mapped(
            "product_id",
            [filled("Custom Label", "Item Number"), "Item Number"],
            "the number of the listing where it has no label (SKU)",
        ),
        Mapped("product_name", ["Item Title"], "the title of the listing"),
        Mapped(
            "quantity",
            [{"sql": "CASE WHEN trim(\"Item Number\") <> '' THEN Quantity ELSE '0' END"}],
            "an order of several items has a line of its sums, without an item: it counts nothing",
        ),
        Mapped("unit_price", ["Sold For"], "of a piece; Total Price has shipping and tax in it"),
        Mapped(
            "country", ["Ship To Country", "Buyer Country"], "where it goes", of_order=True
        ),
    ),
    notes=(
        "Cancelled orders, refunds and fees are not in this report, but in the transaction report.",
        "Times are of the seller's zone, without its name: days are the seller's as they are.",
        "eBay collects and pays most of the sales tax itself: it is not read.",
    ),
    formats=("%b-%d-%y", "%b-%d-%y %H:%M:%S"),
    footer=r"record\(s\) downloaded|Seller ID",
    words=(
        Word("comment", ",,", "lines of commas alone are above the header and below it"),
        Word("duplicates", "keep", EACH_LINE_ONCE),
    ),
)  # fmt: skip

_AMAZON = (
    Mapped("ordered_at", ["purchase-date"], "with its offset"),
    Mapped("product_id", ["sku", "asin"], "the seller's own"),
    Mapped("product_name", ["product-name"], "the title of the listing"),
    Mapped("quantity", ["quantity-purchased", "quantity"], "pieces of the line"),
    Mapped(
        "amount",
        [
            {"sql": '"item-price" - coalesce("item-promotion-discount", 0)'},
            "item-price",
        ],
        "of the whole line, not of a piece; less the promotion where the report has it",
    ),
    Mapped("tax", ["item-tax"], "of the line; no part of gross"),
    Mapped("shipping", ["shipping-price"], "of the line; no part of gross"),
    Mapped("currency", ["currency"], "of the marketplace"),
    Mapped("country", ["ship-country"], "where it goes"),
    Mapped("channel", ["sales-channel"], "the marketplace"),
)

AMAZON = System(
    "Amazon",
    ("order-id", "order-item-id", "purchase-date", "buyer-email", "item-price"),
    (
        Mapped("order_id", ["order-id"], "on every line"),
        Mapped(
            "customer_id", ["buyer-email"], "Amazon makes it up, the same for each order of a buyer"
        ),
        *_AMAZON,
    ),
    notes=(
        "Pending and cancelled orders are not in the order report.",
        "Refunds and fees are not in it either, but in the settlement report.",
    ),
    words=(Word("duplicates", "keep", EACH_LINE_ONCE),),
)

AMAZON_ALL_ORDERS = System(
    "Amazon (all orders)",
    ("amazon-order-id", "purchase-date", "order-status", "item-price"),
    (Mapped("order_id", ["amazon-order-id"], "on every line"), *_AMAZON),
    missing={
        "customer_id": "the report of all orders has no buyers. Request the order report "
        "(Orders > Order Reports), which has buyer-email"
    },
)
