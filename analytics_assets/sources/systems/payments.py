"""Payments: Stripe, PayPal.

Belongs here: what these write. Does not belong here: shops, marketplaces, data sets.
"""

from analytics_assets.sources.systems.base import Mapped, System, Word, filled

ONE_PAYMENT = "a row is one payment"
NO_PRODUCT = "payments say nothing of products"

STRIPE = System(
    "Stripe",
    ("id", "Amount", "Amount Refunded", "Currency", "Status", "Customer ID"),
    (
        Mapped("order_id", ["id"], ONE_PAYMENT),
        Mapped("ordered_at", ["Created date (UTC)", "Created (UTC)"], "in UTC"),
        Mapped(
            "customer_id",
            ["Customer ID", "Customer Email"],
            "the one of Customer ID and Customer Email that more payments have",
            fullest=True,
        ),
        Mapped("product_id", [{"value": "payment"}], NO_PRODUCT),
        Mapped("quantity", [{"value": 1}], ONE_PAYMENT),
        Mapped(
            "amount",
            [filled("Converted Amount", "Amount"), "Amount"],
            "in the currency of the account where it was converted; before the fee",
        ),
        Mapped(
            "currency",
            [filled("Converted Currency", "Currency"), "Currency"],
            "of that amount",
        ),
        Mapped(
            "refunded_amount",
            [filled("Converted Amount Refunded", "Amount Refunded"), "Amount Refunded"],
            "in the same currency",
        ),
        Mapped("refunded_at", ["Refunded date (UTC)"], "a refund counts on its own day"),
        Mapped("status", ["Status"], "failed payments count nothing"),
        Mapped("is_test", [{"sql": "lower(Mode) = 'test'"}], "payments of the test mode"),
        Mapped("country", ["Shipping Address Country", "Card Address Country"], "where it goes"),
    ),
    notes=(
        "Amounts have tax and shipping in them. Fee is what Stripe kept; it is not read.",
        "Times are UTC. Set reporting_time_zone for the days of your own zone.",
    ),
    statuses={
        "paid": "completed",
        "succeeded": "completed",
        "refunded": "completed",
        "partially refunded": "completed",
        "partial refund": "completed",
        "disputed": "completed",
        "uncaptured": "pending",
        "pending": "pending",
        "incomplete": "cancelled",
        "failed": "cancelled",
        "blocked": "cancelled",
        "canceled": "cancelled",
        "requires_payment_method": "cancelled",
        "requires_action": "cancelled",
    },
    statuses_why="refunded is a sale too: Amount Refunded says how much of it was given back",
)

# A payment that came in, and what was given back of one.
_CAME_IN = (
    "regexp_matches(lower(Type), 'payment') "
    "AND NOT regexp_matches(lower(Type), 'refund|reversal|release|hold') "
    "AND NOT starts_with(Gross, '-')"
)
_WENT_BACK = "regexp_matches(lower(Type), 'refund|reversal') AND starts_with(Gross, '-')"
_MEMO = ("From Email Address", "To Email Address")

PAYPAL = System(
    "PayPal",
    ("Date", "Time", "Type", "Status", "Currency", "Gross", "Transaction ID"),
    (
        Mapped(
            "order_id",
            [
                {
                    "sql": f"CASE WHEN {_WENT_BACK} AND trim(\"Reference Txn ID\") <> '' "
                    'THEN "Reference Txn ID" ELSE "Transaction ID" END'
                },
                "Transaction ID",
            ],
            "a refund goes to the payment that it names",
        ),
        Mapped("ordered_at", [["Date", "Time"]], "two columns, in the zone of TimeZone"),
        Mapped(
            "customer_id",
            [
                {
                    "sql": f"CASE WHEN starts_with(Gross, '-') THEN \"{_MEMO[1]}\" "
                    f'ELSE "{_MEMO[0]}" END'
                }
            ],
            "who paid; of a refund who gets it",
        ),
        Mapped(
            "product_id",
            [
                {
                    "sql": "CASE WHEN trim(\"Item ID\") <> '' THEN \"Item ID\" "
                    "WHEN trim(\"Item Title\") <> '' THEN \"Item Title\" ELSE 'payment' END"
                },
                {"value": "payment"},
            ],
            "most payments name no item",
        ),
        Mapped("product_name", ["Item Title"], "where the payment names it"),
        Mapped(
            "quantity",
            [{"sql": f"CASE WHEN {_CAME_IN} THEN 1 WHEN {_WENT_BACK} THEN -1 ELSE 0 END"}],
            "a payment, or a refund; withdrawals, conversions, holds and your own purchases are 0: "
            "they count nothing",
        ),
        Mapped("amount", ["Gross"], "before the fee; below zero in a refund"),
        Mapped(
            "currency",
            [{"sql": f"CASE WHEN {_CAME_IN} OR {_WENT_BACK} THEN Currency END"}],
            "of what counts; a conversion is in others too",
        ),
        Mapped("status", ["Status"], "denied payments count nothing"),
        Mapped("country", ["Country Code", "Country"], "where it goes"),
    ),
    notes=(
        "Amounts have tax and shipping in them. Fee is what PayPal kept; it is not read.",
        "A refund is a row of its own, on its own day.",
    ),
    statuses={
        "completed": "completed",
        "refunded": "completed",
        "partially refunded": "completed",
        "reversed": "completed",
        "pending": "pending",
        "held": "pending",
        "uncleared": "pending",
        "denied": "cancelled",
        "canceled": "cancelled",
        "cancelled": "cancelled",
        "expired": "cancelled",
        "failed": "cancelled",
        "voided": "cancelled",
        "removed": "cancelled",
        "unclaimed": "cancelled",
        "returned": "cancelled",
    },
    statuses_why="refunded and reversed payments are sales too: the refund has its own row",
    formats=("%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"),
    zone_column="TimeZone",
    words=(Word("duplicates", "keep", "each transaction stands once in an export"),),
)  # fmt: skip
