"""Tables of the raw layer: source rows typed by contract, otherwise unchanged.

Belongs here: what a source may supply and what a load records. Does not belong here: cleaning
(staging) or how files are read (sources).
"""
# mypy: disable-error-code="valid-type"

from analytics_assets.schemas.base import (
    CUSTOMER_KEY,
    PERSONAL,
    QUASI_IDENTIFYING,
    BigInt,
    Boolean,
    Date,
    Integer,
    Money,
    Quantity,
    TableModel,
    Text,
    Timestamp,
    column,
    table,
)

STATUSES = ("pending", "completed", "cancelled", "returned")
# Descriptions of columns that staging and core have, too.
AMOUNT = "Amount billed for the line, where the source supplies one"
CURRENCY = "Currency that the row came in, upper case; its money is converted"
DISCOUNT = "Discount of the line that unit_price does not contain yet"
STATUS = "Status of the order when the row was written"


@table(
    group="raw",
    key=("source_file", "is_refund", "source_row"),
    partitioning="daily",
    window_column="order_date",
    volatile=("loaded_at",),
)
class RawOrders(TableModel):
    """Order lines as the source supplied them, typed; duplicates and corrections are all kept."""

    order_id: Text = column("Identifier of the order", person=QUASI_IDENTIFYING)
    line_number: Integer = column(
        "Number of the line within the order, where the source has one", nullable=True
    )
    ordered_at: Timestamp = column("When the order was placed, UTC")
    order_date: Date = column("The shop's day of ordered_at; the daily partition")
    customer_id: Text = column(
        "Customer, as the source names them; null when missing", nullable=True, person=CUSTOMER_KEY
    )
    product_id: Text = column("Product, as the source names it; null when missing", nullable=True)
    quantity: Quantity = column("Units; negative for a return")
    unit_price: Money = column(
        "Price of one unit; where amount_is_total, amount / quantity, rounded, only informative"
    )
    amount: Money = column(AMOUNT, nullable=True)
    amount_is_total: Boolean = column(
        "amount is what the line costs; else quantity x unit_price - discount is"
    )
    discount: Money = column(DISCOUNT, nullable=True, ge=0)
    tax: Money = column("Tax on the line", nullable=True)
    shipping: Money = column("Shipping charged for the line, no part of gross", nullable=True)
    cost: Money = column("What the whole line cost the shop", nullable=True)
    currency: Text = column(CURRENCY, nullable=True)
    channel: Text = column("Channel that the order came through", nullable=True)
    coupon: Text = column("Coupon used on the order", nullable=True)
    is_test: Boolean = column("A test order, which counts in nothing", nullable=True)
    is_refund: Boolean = column("Refund of a line, as a row of its own day")
    status: Text = column(STATUS, nullable=True, isin=STATUSES)
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    country: Text = column("Country of the order, where the source supplies one", nullable=True)
    product_name: Text = column("Product name on the line, where supplied", nullable=True)
    product_category: Text = column("Product category on the line, where supplied", nullable=True)
    line_key: Text = column(
        "Distinguishes lines without a number, where the source configuration says how",
        nullable=True,
    )
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    loaded_at: Timestamp = column("When the row was loaded, UTC")


@table(
    group="raw",
    key=("source_file", "source_row"),
    partitioning="daily",
    window_column="session_date",
    volatile=("loaded_at",),
)
class RawUserSessions(TableModel):
    """Visits of the site or app as the source supplied them, typed."""

    session_id: Text = column("Identifier of the session", person=QUASI_IDENTIFYING)
    customer_id: Text = column(
        "Customer of the session; null when anonymous", nullable=True, person=CUSTOMER_KEY
    )
    started_at: Timestamp = column("Start of the session, UTC")
    session_date: Date = column("Day of started_at; the daily partition")
    ended_at: Timestamp = column("End of the session, UTC", nullable=True)
    page_views: Integer = column("Pages seen", nullable=True, ge=0)
    device: Text = column("Device class", nullable=True)
    channel: Text = column("Channel the visitor came through", nullable=True)
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    loaded_at: Timestamp = column("When the row was loaded, UTC")


@table(
    group="raw",
    key=("source_file", "source_row"),
    partitioning="daily",
    window_column="ticket_date",
    volatile=("loaded_at",),
)
class RawSupportTickets(TableModel):
    """Support tickets as the source supplied them, typed; every version that was seen is kept."""

    ticket_id: Text = column("Identifier of the ticket", person=QUASI_IDENTIFYING)
    customer_id: Text = column(
        "Customer who asked, as the source names them; null when not known",
        nullable=True,
        person=CUSTOMER_KEY,
    )
    opened_at: Timestamp = column("When the ticket was opened, UTC")
    ticket_date: Date = column("The shop's day of opened_at; the daily partition")
    first_response_at: Timestamp = column(
        "When somebody first answered, UTC; null before", nullable=True
    )
    resolved_at: Timestamp = column(
        "When the ticket was resolved, UTC; null while it is open", nullable=True
    )
    status: Text = column("Word of the source for the state of the ticket", nullable=True)
    channel: Text = column("Channel that the ticket came through", nullable=True)
    priority: Text = column("Word of the source for the urgency", nullable=True)
    category: Text = column("What the ticket is about", nullable=True)
    satisfaction: Integer = column(
        "Score that the customer gave afterwards; more is better", nullable=True
    )
    updated_at: Timestamp = column("When the source last changed the ticket, UTC", nullable=True)
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    loaded_at: Timestamp = column("When the row was loaded, UTC")


@table(group="raw", key=("source_file", "source_row"), volatile=("loaded_at",))
class RawCustomers(TableModel):
    """Customers as the source supplied them, typed. Has personal columns."""

    customer_id: Text = column("Customer", person=CUSTOMER_KEY)
    email: Text = column("E-mail address", nullable=True, person=PERSONAL)
    first_name: Text = column("First name", nullable=True, person=PERSONAL)
    last_name: Text = column("Last name", nullable=True, person=PERSONAL)
    registered_at: Timestamp = column(
        "When the customer registered, UTC", nullable=True, person=QUASI_IDENTIFYING
    )
    country: Text = column("Country of residence", nullable=True, person=QUASI_IDENTIFYING)
    city: Text = column("City of residence", nullable=True, person=QUASI_IDENTIFYING)
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    loaded_at: Timestamp = column("When the row was loaded, UTC")


@table(group="raw", key=("source_file", "source_row"), volatile=("loaded_at",))
class RawProducts(TableModel):
    """Products as the source supplied them, typed."""

    product_id: Text = column("Product")
    product_name: Text = column("Name of the product", nullable=True)
    category: Text = column("Category of the product", nullable=True)
    list_price: Money = column("Price in the list", nullable=True, ge=0)
    unit_cost: Money = column("Cost of one unit", nullable=True, ge=0)
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    loaded_at: Timestamp = column("When the row was loaded, UTC")


@table(group="raw", key=("source_file", "source_row"), volatile=("loaded_at",))
class RawSubscriptions(TableModel):
    """Subscribers as the source supplied them, typed: what they have, and whether they churned."""

    customer_id: Text = column("Subscriber", person=CUSTOMER_KEY)
    churned: Boolean = column("The subscriber has left")
    contract: Text = column("Kind of contract", nullable=True)
    payment_method: Text = column("How the subscriber pays", nullable=True)
    tenure_months: Integer = column("Whole months of the subscription so far", nullable=True, ge=0)
    monthly_charges: Money = column("Money charged a month", nullable=True)
    total_charges: Money = column("Money charged so far", nullable=True)
    attributes: Text = column(
        "Further columns that the source configuration names, as a JSON object of texts",
        nullable=True,
        person=QUASI_IDENTIFYING,
    )
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    loaded_at: Timestamp = column("When the row was loaded, UTC")


@table(
    group="raw",
    key=("source_file", "source_row"),
    partitioning="daily",
    window_column="event_date",
    volatile=("loaded_at",),
)
class RawEvents(TableModel):
    """Events of the site or app, such as page views and purchases, typed."""

    event_id: Text = column(
        "Identifier of the event; each copy of it has the same", person=QUASI_IDENTIFYING
    )
    event_type: Text = column("What happened, such as page_view; purchase is a purchase")
    event_time: Timestamp = column("When it happened, UTC")
    event_date: Date = column("The shop's day of event_time; the daily partition")
    customer_id: Text = column("Customer; null when anonymous", nullable=True, person=CUSTOMER_KEY)
    session_id: Text = column(
        "Session that the site or app has given", nullable=True, person=QUASI_IDENTIFYING
    )
    page_url: Text = column("Page on which it happened", nullable=True, person=QUASI_IDENTIFYING)
    user_agent: Text = column("Browser or app", nullable=True, person=PERSONAL)
    properties: Text = column("Further values, as a JSON object", nullable=True, person=PERSONAL)
    order_total: Money = column("Money of a purchase", nullable=True)
    product_category: Text = column("Category of what was bought", nullable=True)
    payment_method: Text = column("How it was paid", nullable=True)
    schema_version: Text = column("Version of the contract", nullable=True)
    unknown_fields: Text = column(
        "Fields that the contract does not know, as a JSON object", nullable=True, person=PERSONAL
    )
    is_late: Boolean = column("Older than the watermark when it came", nullable=True)
    received_at: Timestamp = column("When it came, UTC", nullable=True)
    topic: Text = column("Topic that it came through", nullable=True)
    topic_partition: Integer = column("Partition of the topic", nullable=True)
    topic_offset: BigInt = column("Offset in the partition", nullable=True)
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    loaded_at: Timestamp = column("When the row was loaded, UTC")


@table(
    group="raw",
    key=("source", "source_file", "source_row"),
    volatile=("loaded_at",),
    may_be_empty=True,
)
class RejectedRows(TableModel):
    """Source rows that cannot be typed or break a row rule, kept whole with the reasons."""

    source: Text = column("Source: a word of the configuration, such as orders")
    window_date: Date = column(
        "Day of the load that the row belongs to; null for sources without partitions",
        nullable=True,
    )
    source_file: Text = column("File (or relation) the row was read from")
    source_row: BigInt = column("Number of the data row in that file, from 1", ge=1)
    source_line: BigInt = column(
        "Line of the file where the row begins, from 1; null where the source has no lines",
        nullable=True,
        ge=1,
    )
    reasons: Text = column("Every rule that the row breaks, `column: reason`, joined by '; '")
    row: Text = column(
        "The whole row as a JSON object by the source's own column names; its text as `_text` if "
        "it cannot be split into columns",
        person=PERSONAL,
    )
    loaded_at: Timestamp = column("When the row was rejected, UTC")


@table(
    group="raw",
    key=("source", "window_date"),
    volatile=("loaded_at", "changed_at"),
    is_history=True,
)
class SourceLoads(TableModel):
    """The ledger of loads: for each source and day what was read, accepted and rejected."""

    source: Text = column("Source: a word of the configuration, such as orders")
    window_date: Date = column(
        "Day of the window; null for sources without partitions", nullable=True
    )
    source_version: Text = column("Fingerprint of the source content that was loaded")
    rows_read: BigInt = column("Rows of the source for the day", ge=0)
    rows_split: BigInt = column("Refunds that were read as rows of their own", before="0", ge=0)
    rows_accepted: BigInt = column("Rows that went into the raw table", ge=0)
    rows_rejected: BigInt = column("Rows that went into rejected_rows", ge=0)
    rows_not_due: BigInt = column("Rows of days that have not come yet", before="0", ge=0)
    loaded_at: Timestamp = column("When the day was loaded, UTC")
    changed_at: Timestamp = column(
        "When it was first loaded with this content, UTC", before="loaded_at"
    )


@table(
    group="raw",
    key=("table_name", "window_date"),
    volatile=("begun_at",),
    may_be_empty=True,
    is_history=True,
)
class UnfinishedTables(TableModel):
    """Tables that a run has begun to replace and has not finished, by day; empty between runs."""

    table_name: Text = column("Table that was about to be replaced")
    window_date: Date = column("Day that was about to be replaced; null without", nullable=True)
    begun_at: Timestamp = column("When the run was created, UTC")
