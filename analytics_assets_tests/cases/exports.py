"""A small export of each system in its true shape, all values invented, and its money by hand.

The headers are those that the systems write. `lines` of an export are read from its files with csv
and Decimal alone: what a person would compute from them.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

ZERO = Decimal(0)


@dataclass(frozen=True)
class Line:
    """What a line of an order comes to: gross if it is a sale, returned if something came back."""

    customer: str
    day: date
    gross: Decimal = ZERO
    returned: Decimal = ZERO


@dataclass(frozen=True)
class Export:
    """Files as a system writes them, and their money."""

    files: dict[str, bytes]
    lines: Callable[[Path], Iterable[Line]]

    def write(self, folder: Path) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return [folder / name for name in self.files]


def table(
    header: str,
    rows: Sequence[dict[str, str]],
    delimiter: str = ",",
    quoting: int = csv.QUOTE_MINIMAL,
) -> str:
    """A file of rows that name what is filled of them."""
    names = header.split("|")
    out = io.StringIO()
    writer = csv.DictWriter(out, names, "", delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def rows_of(file: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[dict[str, str]]:
    with file.open(encoding=encoding, newline="") as stream:
        return list(csv.DictReader(stream, delimiter=delimiter))


def money(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", "") or "0")


def day(text: str, form: str) -> date:
    return datetime.strptime(text, form).date()  # noqa: DTZ007 (the shop's day)


# Shopify: an order on several lines, with what is the order's on the first of them.
SHOPIFY_HEADER = (
    "Name|Email|Financial Status|Paid at|Fulfillment Status|Fulfilled at|Accepts Marketing|"
    "Currency|Subtotal|Shipping|Taxes|Total|Discount Code|Discount Amount|Shipping Method|"
    "Created at|Lineitem quantity|Lineitem name|Lineitem price|Lineitem compare at price|"
    "Lineitem sku|Lineitem requires shipping|Lineitem taxable|Lineitem fulfillment status|"
    "Billing Name|Billing Street|Billing Address1|Billing Address2|Billing Company|Billing City|"
    "Billing Zip|Billing Province|Billing Country|Billing Phone|Shipping Name|Shipping Street|"
    "Shipping Address1|Shipping Address2|Shipping Company|Shipping City|Shipping Zip|"
    "Shipping Province|Shipping Country|Shipping Phone|Notes|Note Attributes|Cancelled at|"
    "Payment Method|Payment Reference|Refunded Amount|Vendor|Outstanding Balance|Employee|"
    "Location|Device ID|Id|Tags|Risk Level|Source|Lineitem discount|Tax 1 Name|Tax 1 Value|"
    "Tax 2 Name|Tax 2 Value|Tax 3 Name|Tax 3 Value|Tax 4 Name|Tax 4 Value|Tax 5 Name|Tax 5 Value|"
    "Phone|Receipt Number|Duties|Billing Province Name|Shipping Province Name|Payment ID|"
    "Payment Terms Name|Next Payment Due At|Payment References"
)


def shopify_order(
    head: dict[str, str], *items: tuple[str, str, str, str], **of_order: str
) -> list[dict[str, str]]:
    filled = {"Currency": "USD", "Discount Amount": "0.00", "Refunded Amount": "0.00",
              "Shipping": "4.90", "Taxes": "1.20", "Source": "web", "Total": "99.00",
              "Subtotal": "92.90", "Id": "5500000000001", **of_order}  # fmt: skip
    rows = []
    for number, (quantity, name, price, sku) in enumerate(items):
        line = {"Lineitem quantity": quantity, "Lineitem name": name, "Lineitem price": price,
                "Lineitem sku": sku, "Vendor": "Kiln"}  # fmt: skip
        rows.append({**head, **line, **({} if number else filled)})
    return rows


def shopify() -> bytes:
    def head(name: str, email: str, at: str) -> dict[str, str]:
        return {"Name": name, "Email": email, "Created at": at}

    mug, bowl = ("1", "Mug", "18.00", "MUG"), ("2", "Bowl - Blue", "21.50", "")
    rows = [
        *shopify_order(
            head("#1001", "ana@mail.example", "2024-01-05 10:00:00 -0500"),
            *(mug, bowl),
            **{"Financial Status": "paid", "Discount Code": "HELLO", "Discount Amount": "20.33",
               "Shipping Country": "US"},
        ),
        *shopify_order(
            head("#1002", "ben@mail.example", "2024-01-09 09:12:00 -0500"),
            *(bowl, ("3", "Vase", "156.00", "VASE")),
            **{"Financial Status": "refunded", "Cancelled at": "2024-01-09 11:00:00 -0500",
               "Refunded Amount": "511.00", "Billing Country": "US"},
        ),
        *shopify_order(
            head("#1003", "", "2024-01-31 23:30:00 -0500"),
            mug,
            **{"Financial Status": "paid", "Source": "pos"},
        ),
        *shopify_order(
            head("#1004", "Ana@mail.example", "2024-02-11 18:45:10 -0500"),
            *(bowl, bowl),
            **{"Financial Status": "partially_refunded", "Refunded Amount": "21.50"},
        ),
        *shopify_order(
            head("#1005", "ben@mail.example", "2024-04-02 08:00:00 -0400"),
            *(mug, mug),
            **{"Financial Status": "pending"},
        ),
    ]  # fmt: skip
    return table(SHOPIFY_HEADER, rows).encode()


def shopify_lines(folder: Path) -> Iterator[Line]:
    cancelled: set[str] = set()
    for row in rows_of(folder / "orders_export.csv"):
        if row["Cancelled at"]:
            cancelled.add(row["Name"])
        if row["Name"] in cancelled:
            continue
        price = money(row["Lineitem price"]) * int(row["Lineitem quantity"])
        yield Line(
            row["Email"].lower(),
            date.fromisoformat(row["Created at"][:10]),
            price - money(row["Discount Amount"]),
            -money(row["Refunded Amount"]),
        )


# WooCommerce: a row for each item, on which what is the order's repeats.
WOO_HEADER = (
    "order_id|order_number|order_number_formatted|date|status|shipping_total|shipping_tax_total|"
    "fee_total|fee_tax_total|tax_total|discount_total|order_total|refunded_total|order_currency|"
    "payment_method|shipping_method|customer_id|billing_first_name|billing_last_name|"
    "billing_company|billing_email|billing_phone|billing_address_1|billing_address_2|"
    "billing_postcode|billing_city|billing_state|billing_country|shipping_first_name|"
    "shipping_last_name|shipping_address_1|shipping_address_2|shipping_postcode|shipping_city|"
    "shipping_state|shipping_country|shipping_company|customer_note|item_id|item_product_id|"
    "item_name|item_sku|item_quantity|item_subtotal|item_subtotal_tax|item_total|item_total_tax|"
    "item_refunded|item_refunded_qty|item_meta|item_price|shipping_items|fee_items|tax_items|"
    "coupon_items|order_notes|download_permissions_granted"
)


def woocommerce() -> bytes:
    def row(
        number: str, at: str, status: str, email: str, item: str, **more: str
    ) -> dict[str, str]:
        quantity, total = item.split("x")
        return {"order_id": number, "order_number": number, "date": at, "status": status,
                "billing_email": email, "customer_id": "0", "item_quantity": quantity,
                "item_total": total, "item_total_tax": "0.50", "order_currency": "EUR",
                "billing_country": "IE", "shipping_country": "IE", "item_product_id": "77",
                "item_name": "Tea", "item_sku": "TEA", "shipping_total": "5.00",
                "item_refunded": "0", "order_total": "41.00", **more}  # fmt: skip

    rows = [
        row("501", "2024-01-05 14:03:11", "processing", "ana@mail.example", "2x17.82"),
        row("501", "2024-01-05 14:03:11", "processing", "ana@mail.example", "1x8.91", item_sku=""),
        row("502", "2024-01-20 23:59:59", "refunded", "ben@mail.example", "1x30.00"),
        row("503", "2024-02-02 08:00:00", "failed", "cem@mail.example", "4x36.00"),
        row("504", "2024-02-03 09:30:00", "completed", "ANA@mail.example", "3x27.00",
            item_refunded="9.00", item_refunded_qty="1"),
        row("505", "2024-03-10 10:00:00", "on-hold", "cem@mail.example", "1x9.90"),
    ]  # fmt: skip
    return table(WOO_HEADER, rows).encode()


def woocommerce_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "customer-orders.csv"):
        if row["status"] in ("failed", "cancelled", "pending"):
            continue
        total = Decimal(row["item_total"])
        back = total if row["status"] == "refunded" else Decimal(row["item_refunded"])
        yield Line(row["billing_email"].lower(), date.fromisoformat(row["date"][:10]), total, -back)


# Square: date, time and zone in three columns, signs, and refunds as rows of their own.
SQUARE_HEADER = (
    "Date|Time|Time Zone|Category|Item|Qty|Price Point Name|SKU|Modifiers Applied|Gross Sales|"
    "Discounts|Net Sales|Tax|Transaction ID|Payment ID|Device Name|Notes|Details|Event Type|"
    "Location|Dining Option|Customer ID|Customer Name|Customer Reference ID|Unit|Count|"
    "Itemization Type|Fulfillment Note"
)


def square() -> bytes:
    def row(
        at: str, order: str, customer: str, item: str, quantity: str, **more: str
    ) -> dict[str, str]:
        date_, time = at.split()
        return {"Date": date_, "Time": time, "Time Zone": "Eastern Time (US & Canada)",
                "Category": "Coffee", "Item": item, "Qty": quantity, "Transaction ID": order,
                "Customer ID": customer, "Event Type": "Payment", "Location": "Main Street",
                "Discounts": "$0.00", "Tax": "$0.32", "Unit": "ea", **more}  # fmt: skip

    rows = [
        row("01/05/24 08:01:22", "tx1", "CUST1", "Latte", "2.0", **{"Net Sales": "$9.00"}),
        row("01/05/24 08:01:22", "tx1", "CUST1", "Beans", "0.35", Unit="kg",
            **{"Gross Sales": "$12.60", "Discounts": "-$2.00", "Net Sales": "$10.60"}),
        row("01/31/24 23:40:00", "tx2", "", "Latte", "1.0", **{"Net Sales": "$4.50"}),
        row("02/13/24 09:15:00", "tx3", "CUST2", "Espresso machine", "1.0", SKU="EM-1",
            **{"Net Sales": "$1,018.00"}),
        row("02/20/24 10:00:00", "tx4", "CUST2", "Espresso machine", "-1.0", SKU="EM-1",
            **{"Net Sales": "-$1,018.00", "Event Type": "Refund"}),
        row("03/02/24 07:30:00", "tx5", "CUST1", "Latte", "1.0", **{"Net Sales": "$4.50"}),
        row("03/02/24 07:30:00", "tx5", "CUST1", "Latte", "1.0", **{"Net Sales": "$4.50"}),
    ]  # fmt: skip
    return table(SQUARE_HEADER, rows).encode()


def square_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "items-2024.csv"):
        net = money(row["Net Sales"])
        on = day(row["Date"], "%m/%d/%y")
        yield Line(row["Customer ID"], on, max(net, ZERO), min(net, ZERO))


# Etsy: a row for each item, two-digit years.
ETSY_HEADER = (
    "Sale Date|Item Name|Buyer|Quantity|Price|Coupon Code|Coupon Details|Discount Amount|"
    "Shipping Discount|Order Shipping|Order Sales Tax|Item Total|Currency|Transaction ID|"
    "Listing ID|Date Paid|Date Shipped|Ship Name|Ship Address1|Ship Address2|Ship City|"
    "Ship State|Ship Zipcode|Ship Country|Order ID|Variations|Order Type|Listings Type|"
    "Payment Type|InPerson Discount|InPerson Location|VAT Paid by Buyer|SKU"
)


def etsy() -> bytes:
    def row(at: str, order: str, buyer: str, item: str, off: str = "0") -> dict[str, str]:
        quantity, price = item.split("x")
        return {"Sale Date": at, "Item Name": "Linen scarf, \"moss\"", "Buyer": buyer,
                "Quantity": quantity, "Price": price, "Discount Amount": off, "Order ID": order,
                "Order Shipping": "4.00", "Order Sales Tax": "1.99", "Currency": "USD",
                "Coupon Code": "SPRING" if off != "0" else "", "Listing ID": "1450000001",
                "Transaction ID": f"38{order}", "Ship Country": "United States",
                "Item Total": str(Decimal(price) * int(quantity))}  # fmt: skip

    rows = [
        row("01/05/24", "3100000001", "Ana Lima (analima)", "2x32.00", "6.40"),
        row("01/05/24", "3100000001", "Ana Lima (analima)", "1x18.50"),
        row("01/28/24", "3100000002", "", "1x32.00"),
        row("02/14/24", "3100000003", "Ben Okoye (bokoye)", "1x1150.00"),
        row("03/31/24", "3100000004", "Ana Lima (analima)", "3x18.50", "5.55"),
    ]
    return table(ETSY_HEADER, rows).encode()


def etsy_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "EtsySoldOrderItems2024.csv"):
        total = Decimal(row["Price"]) * int(row["Quantity"]) - Decimal(row["Discount Amount"])
        yield Line(row["Buyer"], day(row["Sale Date"], "%m/%d/%y"), total)


# eBay: commas above and below the header, a line of sums of each order of several items, a footer.
EBAY_HEADER = (
    "Sales Record Number|Order Number|Buyer Username|Buyer Name|Buyer Email|Buyer Note|"
    "Buyer Address 1|Buyer Address 2|Buyer City|Buyer State|Buyer Zip|Buyer Country|"
    "Buyer Tax Identifier Name|Buyer Tax Identifier Value|Ship To Name|Ship To Phone|"
    "Ship To Address 1|Ship To Address 2|Ship To City|Ship To State|Ship To Zip|Ship To Country|"
    "Item Number|Item Title|Custom Label|Sold Via Promoted Listings|Quantity|Sold For|"
    "Shipping And Handling|Item Location|Item Zip Code|Item Country|"
    "eBay Collect And Remit Tax Rate|eBay Collect And Remit Tax Type|eBay Reference Name|"
    "eBay Reference Value|Tax Status|Seller Collected Tax|eBay Collected Tax|Total Price|"
    "eBay Collected Tax and Fees Included in Total|Payment Method|Sale Date|Paid On Date|"
    "Ship By Date|Minimum Estimated Delivery Date|Maximum Estimated Delivery Date|"
    "Shipped On Date|Feedback Left|Feedback Received|My Item Note|PayPal Transaction ID|"
    "Shipping Service|Tracking Number|Transaction ID|Variation Details"
)


def ebay() -> bytes:
    def row(
        record: str, buyer: str, at: str, item: str, quantity: str, price: str
    ) -> dict[str, str]:
        return {"Sales Record Number": record, "Order Number": f"04-11000-{record}",
                "Buyer Username": buyer, "Item Number": item, "Item Title": item and "Old lens",
                "Custom Label": "LENS-50" if item.endswith("1") else "", "Quantity": quantity,
                "Sold For": price, "Sale Date": at, "Paid On Date": at, "Total Price": "$99.99",
                "Shipping And Handling": "$5.00", "Buyer Country": buyer and "United States",
                "Ship To Country": buyer and "United States"}  # fmt: skip

    rows = [
        row("101", "lens_fan", "Jan-05-24", "254000000001", "2", "$40.00"),
        row("102", "old_glass", "Jan-19-24", "", "3", "$1,095.00"),
        row("102", "", "", "254000000001", "1", "$40.00"),
        row("102", "", "", "254000000002", "1", "$1,055.00"),
        row("103", "lens_fan", "Mar-02-24", "254000000002", "1", "$1,055.00"),
    ]
    text = table(EBAY_HEADER, rows)
    header, below = text.split("\r\n", 1)
    commas = "," * EBAY_HEADER.count("|")
    footer = "3,record(s) downloaded, from Jan-01-24 to Mar-31-24\r\nSeller ID : a_seller\r\n"
    return f"{commas}\r\n{header}\r\n{commas}\r\n{below}\r\n{footer}".encode()


def ebay_lines(folder: Path) -> Iterator[Line]:
    lines = (folder / "eBay-OrdersReport.csv").read_text().splitlines()
    buyers: dict[str, tuple[str, date]] = {}
    for row in csv.DictReader(line for line in lines[1:] if line.count(",") > 50):
        order = row["Order Number"]
        if row["Buyer Username"]:
            buyers[order] = (row["Buyer Username"], day(row["Sale Date"], "%b-%d-%y"))
        if row["Item Number"]:
            yield Line(*buyers[order], money(row["Sold For"]) * int(row["Quantity"]))


# Amazon: tabs in a .txt, not UTF-8, the price of the whole line.
AMAZON_HEADER = (
    "order-id|order-item-id|purchase-date|payments-date|buyer-email|buyer-name|"
    "buyer-phone-number|sku|product-name|quantity-purchased|currency|item-price|item-tax|"
    "shipping-price|shipping-tax|ship-service-level|recipient-name|ship-address-1|"
    "ship-address-2|ship-address-3|ship-city|ship-state|ship-postal-code|ship-country|"
    "ship-phone-number|item-promotion-discount|item-promotion-id|ship-promotion-discount|"
    "ship-promotion-id|delivery-start-date|delivery-end-date|delivery-time-zone|"
    "delivery-Instructions|sales-channel"
)


def amazon() -> bytes:
    def row(
        order: str, at: str, buyer: str, quantity: str, price: str, off: str = ""
    ) -> dict[str, str]:
        return {"order-id": f"113-{order}", "order-item-id": f"6500000000{order}",
                "purchase-date": at, "buyer-email": f"{buyer}@marketplace.amazon.com",
                "sku": "CR-1", "product-name": "Crème brûlée torch", "quantity-purchased": quantity,
                "currency": "USD", "item-price": price, "item-tax": "1.10", "ship-country": "US",
                "shipping-price": "0.00", "item-promotion-discount": off,
                "sales-channel": "Amazon.com"}  # fmt: skip

    rows = [
        row("0000001", "2024-01-05T10:20:30-08:00", "a1b2c3", "2", "49.98", "5.00"),
        row("0000002", "2024-01-31T22:00:00-08:00", "d4e5f6", "1", "24.99"),
        row("0000003", "2024-03-20T09:00:00-07:00", "a1b2c3", "3", "74.97"),
    ]
    return table(AMAZON_HEADER, rows, "\t").encode("cp1252")


def amazon_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "1234567890.txt", "cp1252", "\t"):
        on = date.fromisoformat(row["purchase-date"][:10])
        total = money(row["item-price"]) - money(row["item-promotion-discount"])
        yield Line(row["buyer-email"], on, total)


# Stripe: a payment a row, in UTC; amounts of other currencies are converted beside it.
STRIPE_HEADER = (
    "id|Created date (UTC)|Amount|Amount Refunded|Currency|Captured|Converted Amount|"
    "Converted Amount Refunded|Converted Currency|Decline Reason|Description|Fee|Is Link|"
    "Link Funding|Mode|PaymentIntent ID|Payment Source Type|Refunded date (UTC)|"
    "Statement Descriptor|Status|Seller Message|Taxes On Fee|Card ID|Card Name|"
    "Card Address Line1|Card Address Line2|Card Address City|Card Address State|"
    "Card Address Country|Card Address Zip|Card Last4|Card Brand|Card Funding|Customer ID|"
    "Customer Description|Customer Email|Customer Phone|Invoice ID|Invoice Number"
)


def stripe() -> bytes:
    def row(number: int, at: str, amount: str, customer: str, **more: str) -> dict[str, str]:
        return {"id": f"ch_3Oinvented{number}", "Created date (UTC)": at, "Amount": amount,
                "Amount Refunded": "0.00", "Currency": "usd", "Captured": "TRUE",
                "Converted Amount": amount, "Converted Amount Refunded": "0.00",
                "Converted Currency": "usd", "Fee": "1.23", "Mode": "Live", "Status": "Paid",
                "Customer Email": customer, "Card Address Country": "US", **more}  # fmt: skip

    failed = {"Converted Amount": "", "Converted Currency": "", "Converted Amount Refunded": ""}
    rows = [
        row(1, "2024-01-05 10:00:00", "40.00", "ana@mail.example", **{"Customer ID": "cus_A"}),
        row(2, "2024-01-06 11:30:00", "20.00", "ben@mail.example", Currency="eur",
            **{"Converted Amount": "21.85"}),
        row(3, "2024-01-07 12:00:00", "900.00", "cem@mail.example", Status="Failed", **failed),
        row(4, "2024-01-08 12:00:00", "77.00", "ana@mail.example", Mode="Test"),
        row(5, "2024-02-10 09:00:00", "60.00", "ana@mail.example", Status="Refunded",
            **{"Amount Refunded": "60.00", "Converted Amount Refunded": "60.00",
               "Refunded date (UTC)": "2024-03-01 08:00:00", "Customer ID": "cus_A"}),
        row(6, "2024-03-12 09:00:00", "35.50", "ben@mail.example",
            **{"Amount Refunded": "5.50", "Converted Amount Refunded": "5.50",
               "Refunded date (UTC)": "2024-03-13 08:00:00"}),
    ]  # fmt: skip
    return table(STRIPE_HEADER, rows).encode()


def stripe_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "unified_payments.csv"):
        if row["Status"] == "Failed" or row["Mode"] == "Test":
            continue
        on = date.fromisoformat(row["Created date (UTC)"][:10])
        yield Line(row["Customer Email"], on, money(row["Converted Amount"]))
        if row["Refunded date (UTC)"]:
            back = date.fromisoformat(row["Refunded date (UTC)"][:10])
            yield Line(row["Customer Email"], back, ZERO, -money(row["Converted Amount Refunded"]))


# PayPal: everything that moves the balance; dates of America, short names of zones.
PAYPAL_HEADER = (
    "Date|Time|TimeZone|Name|Type|Status|Currency|Gross|Fee|Net|From Email Address|"
    "To Email Address|Transaction ID|Shipping Address|Address Status|Item Title|Item ID|"
    "Shipping and Handling Amount|Insurance Amount|Sales Tax|Option 1 Name|Option 1 Value|"
    "Option 2 Name|Option 2 Value|Reference Txn ID|Invoice Number|Custom Number|Quantity|"
    "Receipt ID|Balance|Address Line 1|Address Line 2/District/Neighborhood|Town/City|"
    "State/Province/Region/County/Territory/Prefecture/Republic|Zip/Postal Code|Country|"
    "Contact Phone Number|Subject|Note|Country Code|Balance Impact"
)
SHOP = "shop@mail.example"


def paypal() -> bytes:
    def row(
        at: str, zone: str, type_: str, gross: str, other: str, number: str, **more: str
    ) -> dict[str, str]:
        date_, time = at.split()
        out = gross.startswith("-")
        return {"Date": date_, "Time": time, "TimeZone": zone, "Type": type_, "Gross": gross,
                "Status": "Completed", "Currency": "USD", "Fee": "-0.59", "Net": gross,
                "From Email Address": SHOP if out else other,
                "To Email Address": other if out else SHOP, "Transaction ID": number,
                "Balance Impact": "Debit" if out else "Credit", "Country Code": "US",
                **more}  # fmt: skip

    pay, buy = "Express Checkout Payment", "PreApproved Payment Bill User Payment"
    rows = [
        row("01/05/2024 10:00:00", "PST", pay, "49.00", "ana@mail.example", "1AA"),
        row("01/31/2024 23:15:00", "PST", pay, "1,250.00", "ben@mail.example", "2BB",
            **{"Item Title": "Desk", "Item ID": "DESK"}),
        row("02/03/2024 08:00:00", "PST", "Payment Refund", "-250.00", "ben@mail.example", "3CC",
            **{"Reference Txn ID": "2BB"}),
        row("02/04/2024 08:00:00", "PST", "General Withdrawal", "-900.00", "", "4DD"),
        row("02/05/2024 08:00:00", "PST", buy, "-12.00", "host@mail.example", "5EE"),
        row("02/06/2024 08:00:00", "PST", "General Currency Conversion", "30.00", "", "6FF",
            Currency="EUR"),
        row("02/07/2024 08:00:00", "PST", pay, "70.00", "cem@mail.example", "7GG", Status="Denied"),
        row("03/20/2024 12:30:00", "PDT", pay, "49.00", "Ana@mail.example", "8HH"),
    ]  # fmt: skip
    return ("\ufeff" + table(PAYPAL_HEADER, rows, quoting=csv.QUOTE_ALL)).encode()


def paypal_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "Download.csv", "utf-8-sig"):
        on, gross = day(row["Date"], "%m/%d/%Y"), money(row["Gross"])
        if row["Type"] == "Express Checkout Payment" and row["Status"] == "Completed":
            yield Line(row["From Email Address"].lower(), on, gross)
        elif row["Type"] == "Payment Refund":
            yield Line(row["To Email Address"].lower(), on, ZERO, gross)


# Olist: orders, items, customers and products in files of their own.
def olist() -> dict[str, bytes]:
    def file(header: str, *rows: str) -> bytes:
        values = [dict(zip(header.split("|"), row.split("|"), strict=True)) for row in rows]
        return table(header, values, quoting=csv.QUOTE_ALL).encode()

    return {
        "olist_orders_dataset.csv": file(
            "order_id|customer_id|order_status|order_purchase_timestamp|order_approved_at|"
            "order_delivered_carrier_date|order_delivered_customer_date|"
            "order_estimated_delivery_date",
            "o1|k1|delivered|2017-10-02 10:56:33|2017-10-02 11:07:15|||2017-10-18 00:00:00",
            "o2|k2|canceled|2017-10-09 08:00:00||||2017-10-20 00:00:00",
            "o3|k3|shipped|2017-12-31 23:59:59|2018-01-01 00:10:00|||2018-01-20 00:00:00",
        ),
        "olist_order_items_dataset.csv": file(
            "order_id|order_item_id|product_id|seller_id|shipping_limit_date|price|freight_value",
            "o1|1|p1|s1|2017-10-06 11:07:15|29.99|8.72",
            "o1|2|p1|s1|2017-10-06 11:07:15|29.99|8.72",
            "o2|1|p2|s1|2017-10-12 11:07:15|118.70|22.76",
            "o3|1|p2|s2|2018-01-05 11:07:15|118.70|22.76",
        ),
        "olist_customers_dataset.csv": file(
            "customer_id|customer_unique_id|customer_zip_code_prefix|customer_city|customer_state",
            "k1|u1|14409|franca|SP",
            "k2|u2|09790|sao bernardo do campo|SP",
            "k3|u1|14409|franca|SP",
        ),
        "olist_products_dataset.csv": file(
            "product_id|product_category_name|product_name_lenght|product_description_lenght|"
            "product_photos_qty|product_weight_g|product_length_cm|product_height_cm|"
            "product_width_cm",
            "p1|perfumaria|40|287|1|225|16|10|14",
            "p2||44|276|1|1000|30|18|20",
        ),
    }


def olist_lines(folder: Path) -> Iterator[Line]:
    orders, items, customers = (
        rows_of(folder / f"olist_{name}_dataset.csv")
        for name in ("orders", "order_items", "customers")
    )
    people = {row["customer_id"]: row["customer_unique_id"] for row in customers}
    by_order = {row["order_id"]: row for row in orders}
    for item in items:
        order = by_order[item["order_id"]]
        if order["order_status"] != "canceled":
            on = date.fromisoformat(order["order_purchase_timestamp"][:10])
            yield Line(people[order["customer_id"]], on, Decimal(item["price"]))


# Superstore: the total of a line after its discount, which is a share.
SUPERSTORE_HEADER = (
    "Row ID|Order ID|Order Date|Ship Date|Ship Mode|Customer ID|Customer Name|Segment|Country|"
    "City|State|Postal Code|Region|Product ID|Category|Sub-Category|Product Name|Sales|Quantity|"
    "Discount|Profit"
)


def superstore() -> bytes:
    def row(
        number: int, order: str, at: str, customer: str, sale: str, profit: str
    ) -> dict[str, str]:
        quantity, sales = sale.split("x")
        return {"Row ID": str(number), "Order ID": order, "Order Date": at, "Ship Date": at,
                "Customer ID": customer, "Customer Name": "A Name", "Segment": "Consumer",
                "Country": "United States", "State": "Kentucky", "Product ID": f"OFF-{number}",
                "Category": "Furniture", "Product Name": "Caf\xe9 table, 30\"", "Sales": sales,
                "Quantity": quantity, "Discount": "0.2", "Profit": profit}  # fmt: skip

    rows = [
        row(1, "CA-2016-152156", "11/8/2016", "CG-12520", "2x261.96", "41.9136"),
        row(2, "CA-2016-152156", "11/8/2016", "CG-12520", "3x731.94", "219.582"),
        row(3, "CA-2016-138688", "12/14/2016", "DV-13045", "2x14.62", "6.8714"),
        row(4, "US-2017-108966", "1/3/2017", "CG-12520", "5x957.5775", "-383.031"),
    ]
    return table(SUPERSTORE_HEADER, rows).encode("cp1252")


def superstore_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "Superstore.csv", "cp1252"):
        yield Line(row["Customer ID"], day(row["Order Date"], "%m/%d/%Y"), money(row["Sales"]))


RETAIL_HEADER = "InvoiceNo|StockCode|Description|Quantity|InvoiceDate|UnitPrice|CustomerID|Country"


def online_retail() -> bytes:
    lines = [
        "536365|85123A|WHITE HANGING HEART T-LIGHT HOLDER|6|12/1/2010 8:26|2.55|17850.0|UK",
        "536365|71053|WHITE METAL LANTERN|6|12/1/2010 8:26|3.39|17850.0|UK",
        "C536379|D|Discount|-1|12/14/2010 9:41|27.5|17850.0|UK",
        "536414|22139||56|12/1/2010 11:52|0||UK",
        "536544|21773|DECORATIVE ROSE BATHROOM BOTTLE|1|12/1/2010 14:32|2.51||UK",
        "540001|22423|REGENCY CAKESTAND|2|1/4/2011 10:00|12.75|17850.0|UK",
    ]
    names = RETAIL_HEADER.split("|")
    rows = [dict(zip(names, line.split("|"), strict=True)) for line in lines]
    return table(RETAIL_HEADER, rows).encode()


def online_retail_lines(folder: Path) -> Iterator[Line]:
    for row in rows_of(folder / "OnlineRetail.csv"):
        total = Decimal(row["UnitPrice"]) * int(row["Quantity"])
        on = day(row["InvoiceDate"].split()[0], "%m/%d/%Y")
        yield Line(row["CustomerID"], on, max(total, ZERO), min(total, ZERO))


EXPORTS = {
    "Shopify": Export({"orders_export.csv": shopify()}, shopify_lines),
    "WooCommerce": Export({"customer-orders.csv": woocommerce()}, woocommerce_lines),
    "Square": Export({"items-2024.csv": square()}, square_lines),
    "Etsy": Export({"EtsySoldOrderItems2024.csv": etsy()}, etsy_lines),
    "eBay": Export({"eBay-OrdersReport.csv": ebay()}, ebay_lines),
    "Amazon": Export({"1234567890.txt": amazon()}, amazon_lines),
    "Stripe": Export({"unified_payments.csv": stripe()}, stripe_lines),
    "PayPal": Export({"Download.csv": paypal()}, paypal_lines),
    "Olist": Export(olist(), olist_lines),
    "Superstore": Export({"Superstore.csv": superstore()}, superstore_lines),
    "Online Retail": Export({"OnlineRetail.csv": online_retail()}, online_retail_lines),
}
