"""Tables of the core layer: the star schema, and customer_days, which the marts read.

Belongs here: dimensions and facts. Does not belong here: metrics that only one mart needs.
"""
# mypy: disable-error-code="valid-type"

from analytics_assets.schemas.base import (
    CUSTOMER_KEY,
    MARGIN,
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
from analytics_assets.schemas.raw import AMOUNT, CURRENCY, STATUS, STATUSES
from analytics_assets.schemas.staging import EXTENDED_AMOUNT, LINE_TYPES, VISITOR

MEMBER_TYPES = ("source", "inferred", "unknown")
UNKNOWN_MEMBER = "(unknown)"


@table(group="core", key=("customer_id",))
class DimCustomers(TableModel):
    """Customers of the source, those inferred from facts, and the unknown member."""

    customer_id: Text = column("Customer; '(unknown)' for every missing one", person=CUSTOMER_KEY)
    member_type: Text = column(
        "source: in the customer source; inferred: only in facts; unknown",
        isin=MEMBER_TYPES,
    )
    registered_at: Timestamp = column(
        "When the customer registered, UTC", nullable=True, person=QUASI_IDENTIFYING
    )
    country: Text = column(
        "Country of residence; of the most recent order for an inferred customer",
        nullable=True,
        person=QUASI_IDENTIFYING,
    )
    city: Text = column("City of residence", nullable=True, person=QUASI_IDENTIFYING)


@table(group="core", key=("product_id",))
class DimProducts(TableModel):
    """Products of the source, those inferred from order lines, and the unknown member."""

    product_id: Text = column("Product; '(unknown)' for every missing one")
    product_name: Text = column(
        "Name of the product; the most frequent on its lines for an inferred product",
        nullable=True,
    )
    category: Text = column(
        "Category of the product; the most frequent on its lines for an inferred product",
        nullable=True,
    )
    list_price: Money = column("Price in the list", nullable=True)
    unit_cost: Money = column("Cost of one unit", nullable=True)
    member_type: Text = column(
        "source: in the product source; inferred: only on order lines; unknown", isin=MEMBER_TYPES
    )


@table(group="core", key=("date_day",))
class DimDate(TableModel):
    """Calendar days of every year that has been loaded, the first and the last year whole."""

    date_day: Date = column("Day")
    year: Integer = column("Calendar year")
    quarter: Integer = column("Quarter of the year, 1 to 4")
    month: Integer = column("Month of the year, 1 to 12")
    month_start: Date = column("First day of the month")
    month_number_abs: Integer = column("year x 12 + month: differences count calendar months")
    iso_year: Integer = column("Year of the ISO week")
    iso_week: Integer = column("ISO week, 1 to 53")
    day_of_week: Integer = column("ISO day of the week, 1 is Monday")
    is_weekend: Boolean = column("Saturday or Sunday")
    is_month_end: Boolean = column("Last day of the month")


@table(
    group="core",
    key=("order_date", "order_id", "line_number"),
    partitioning="daily",
    window_column="order_date",
)
class FactOrders(TableModel):
    """Order lines of every type, one row a line; null references are the unknown member."""

    order_date: Date = column("The shop's day of ordered_at; the daily partition")
    order_id: Text = column("Identifier of the order", person=QUASI_IDENTIFYING)
    line_number: Integer = column("Number of the line within the order and its day")
    ordered_at: Timestamp = column("When the order was placed, UTC")
    customer_id: Text = column("Customer; '(unknown)' when missing", person=CUSTOMER_KEY)
    product_id: Text = column("Product; '(unknown)' when missing")
    product_category: Text = column(
        "Category on the line, where the source of orders supplies one", nullable=True
    )
    quantity: Quantity = column("Units; negative for a return")
    unit_price: Money = column("Price of one unit")
    amount: Money = column(AMOUNT, nullable=True)
    extended_amount: Money = column(EXTENDED_AMOUNT)
    discount: Money = column("Discount of the line, deducted already", nullable=True)
    tax: Money = column("Tax on the line", nullable=True)
    shipping: Money = column("Shipping charged for the line", nullable=True)
    cost: Money = column("What the whole line cost the shop", nullable=True)
    line_type: Text = column("sale, return or adjustment", isin=LINE_TYPES)
    is_refund: Boolean = column("Refund of a line, as a row of its own day")
    status: Text = column(STATUS, nullable=True, isin=STATUSES)
    currency: Text = column(CURRENCY, nullable=True)
    channel: Text = column("Channel that the order came through", nullable=True)
    coupon: Text = column("Coupon used on the order", nullable=True)


@table(
    group="core",
    key=("session_id",),
    partitioning="daily",
    window_column="session_date",
    loaded_with="user_sessions",
    or_loaded_with="events",
)
class FactUserSessions(TableModel):
    """Visits, one row a session, with the unknown member for anonymous visitors."""

    session_date: Date = column("Day of started_at; the daily partition")
    session_id: Text = column("Identifier of the session", person=QUASI_IDENTIFYING)
    customer_id: Text = column(
        "Customer of the session; '(unknown)' when anonymous", person=CUSTOMER_KEY
    )
    started_at: Timestamp = column("Start of the session, UTC")
    duration_seconds: BigInt = column(
        "Seconds from start to end; null when the end is missing or before the start",
        nullable=True,
        ge=0,
    )
    page_views: Integer = column("Pages seen", nullable=True)
    device: Text = column("Device class, lower case", nullable=True)
    channel: Text = column("Channel the visitor came through, lower case", nullable=True)


@table(
    group="core",
    key=("event_id",),
    partitioning="daily",
    window_column="event_date",
    loaded_with="events",
)
class FactEvents(TableModel):
    """Events, one row each, with the unknown member for anonymous visitors."""

    event_date: Date = column("The shop's day of event_time; the daily partition")
    event_id: Text = column("Identifier of the event", person=QUASI_IDENTIFYING)
    event_type: Text = column("What happened, such as page_view; purchase is a purchase")
    event_time: Timestamp = column("When it happened, UTC")
    visitor: Text = column(VISITOR, nullable=True, person=CUSTOMER_KEY)
    customer_id: Text = column("Customer; '(unknown)' when anonymous", person=CUSTOMER_KEY)
    session_id: Text = column(
        "Session that the site or app has given", nullable=True, person=QUASI_IDENTIFYING
    )
    page_url: Text = column("Page on which it happened", nullable=True, person=QUASI_IDENTIFYING)
    order_total: Money = column("Money of a purchase", nullable=True)
    product_category: Text = column("Category of what was bought", nullable=True)
    payment_method: Text = column("How it was paid", nullable=True)
    is_late: Boolean = column("Older than the watermark when it came")
    received_at: Timestamp = column("When it came, UTC", nullable=True)


@table(
    group="core",
    key=("session_id",),
    partitioning="daily",
    window_column="session_date",
    loaded_with="events",
)
class EventSessions(TableModel):
    """Sessions of the events of a day, late ones too, by the rules of the stream.

    A session ends after 30 minutes without an event of the visitor, and at the end of the shop's
    day. Where no table of sessions is configured, these are the rows of fact_user_sessions.
    """

    session_date: Date = column("The shop's day of its events; the daily partition")
    session_id: Text = column(
        "Visitor and start, in microseconds since 1970", person=QUASI_IDENTIFYING
    )
    visitor: Text = column(VISITOR, person=CUSTOMER_KEY)
    customer_id: Text = column("Customer; '(unknown)' when anonymous", person=CUSTOMER_KEY)
    started_at: Timestamp = column("First event, UTC")
    last_event_at: Timestamp = column("Last event, UTC")
    events: BigInt = column("Events", ge=1)
    pages: BigInt = column("Distinct pages", ge=0)
    duration_seconds: BigInt = column("Seconds from the first event to the last", ge=0)
    purchases: BigInt = column("Purchases", ge=0)
    event_types: Text = column("Types of the events in their order, joined by ','")
    engagement: BigInt = column(
        "From 0 to 100: 4 for each page (10 count), 1 for each minute (30 count), 1 for each event "
        "(20 count) and 10 for a purchase",
        in_range={"min_value": 0, "max_value": 100},
    )
    ended_by: Text = column(
        "gap: 30 minutes without an event; day: the end of the day", isin=("gap", "day")
    )
    late_events: BigInt = column("Events that came later than the watermark", ge=0)


@table(
    group="core",
    key=("ticket_id",),
    partitioning="daily",
    window_column="ticket_date",
    loaded_with="support_tickets",
)
class FactSupportTickets(TableModel):
    """Support tickets, one row each, with the unknown member where the customer is not known."""

    ticket_date: Date = column("The shop's day of opened_at; the daily partition")
    ticket_id: Text = column("Identifier of the ticket", person=QUASI_IDENTIFYING)
    customer_id: Text = column(
        "Customer who asked; '(unknown)' when not known", person=CUSTOMER_KEY
    )
    opened_at: Timestamp = column("When the ticket was opened, UTC")
    resolved_at: Timestamp = column(
        "When the ticket was resolved, UTC; null while it is open", nullable=True
    )
    resolved_date: Date = column(
        "The shop's day of resolved_at, not before ticket_date; null while the ticket is open",
        nullable=True,
    )
    response_seconds: BigInt = column(
        "Seconds from opened_at to the first answer; null without one, or before opened_at",
        nullable=True,
        ge=0,
    )
    resolution_seconds: BigInt = column(
        "Seconds from opened_at to resolved_at; null while it is open, or before opened_at",
        nullable=True,
        ge=0,
    )
    status: Text = column("State of the ticket, lower case", nullable=True)
    channel: Text = column("Channel that the ticket came through, lower case", nullable=True)
    priority: Text = column("Urgency, lower case", nullable=True)
    category: Text = column("What the ticket is about", nullable=True)
    satisfaction: Integer = column("Score that the customer gave afterwards", nullable=True)


@table(
    group="core",
    key=("customer_id", "order_date"),
    partitioning="daily",
    window_column="order_date",
)
class CustomerDays(TableModel):
    """What each customer ordered on each day, the unknown member included, so totals add up."""

    order_date: Date = column("The shop's day of the orders; the daily partition")
    customer_id: Text = column("Customer; '(unknown)' when missing", person=CUSTOMER_KEY)
    orders: BigInt = column("Distinct orders with a line of any type", ge=1)
    sale_orders: BigInt = column("Distinct orders with a sale line", ge=0)
    lines: BigInt = column("Lines of any type", ge=1)
    sale_lines: BigInt = column("Sale lines")
    return_lines: BigInt = column("Return lines")
    adjustment_lines: BigInt = column("Adjustment lines")
    units: Quantity = column("Units of the sale lines")
    gross_amount: Money = column("Extended amount of the sale lines", ge=0)
    returned_amount: Money = column("Extended amount of the return lines: usually negative")
    net_amount: Money = column("gross_amount + returned_amount")
    discount_amount: Money = column("Discounts of the sale and return lines, deducted already")
    tax_amount: Money = column("Tax on the sale and return lines, as far as known")
    shipping_amount: Money = column("Shipping of the sale and return lines, as far as known")
    cost_amount: Money = column("Cost of the sale and return lines, as far as known")
    margin_amount: Money = column(MARGIN, nullable=True)


WEIGHT = "1: the row as known then; -1: the current row, subtracted for that time"


@table(
    group="core",
    key=("order_date", "order_id", "correction_number"),
    partitioning="daily",
    window_column="order_date",
)
class OrderCorrections(TableModel):
    """Earlier versions of order lines that have changed since.

    The rows valid as of a date, added to fact_orders, give the lines as known then. A line is known
    from the day after its updated_at on; without one, from the day after the order. An order has
    all its lines here if one of them has changed later in a column that counts.
    """

    order_date: Date = column("The shop's day of the order; the daily partition")
    order_id: Text = column("Identifier of the order", person=QUASI_IDENTIFYING)
    correction_number: Integer = column("Number of the row within the order and its day", ge=1)
    known_from: Date = column("First as_of that the row is valid for")
    known_to: Date = column("First as_of that it is no longer valid for")
    weight: Integer = column(WEIGHT, isin=(1, -1))
    customer_id: Text = column("Customer; '(unknown)' when missing", person=CUSTOMER_KEY)
    product_id: Text = column("Product; '(unknown)' when missing")
    product_category: Text = column("Category on the line, where supplied", nullable=True)
    quantity: Quantity = column("Units; negative for a return")
    extended_amount: Money = column(EXTENDED_AMOUNT)
    line_type: Text = column("sale, return or adjustment", isin=LINE_TYPES)


@table(
    group="core",
    key=("session_date", "session_id", "known_from", "weight"),
    partitioning="daily",
    window_column="session_date",
    loaded_with="user_sessions",
    or_loaded_with="events",
)
class SessionCorrections(TableModel):
    """Earlier versions of sessions whose customer has changed since, as in order_corrections.

    Of sessions of events: those that events changed which came after their day.
    """

    session_date: Date = column("Day of the session; the daily partition")
    session_id: Text = column("Identifier of the session", person=QUASI_IDENTIFYING)
    known_from: Date = column("First as_of that the row is valid for")
    known_to: Date = column("First as_of that it is no longer valid for")
    weight: Integer = column(WEIGHT, isin=(1, -1))
    customer_id: Text = column(
        "Customer of the session; '(unknown)' when anonymous", person=CUSTOMER_KEY
    )


@table(
    group="core",
    key=("ticket_date", "ticket_id", "known_from", "weight"),
    partitioning="daily",
    window_column="ticket_date",
    loaded_with="support_tickets",
)
class TicketCorrections(TableModel):
    """Earlier versions of tickets with another customer or resolution, as in order_corrections.

    A resolution counts from resolved_at on, so a ticket that was open in an earlier version is only
    here if its resolution became known later than that.
    """

    ticket_date: Date = column("Day of the ticket; the daily partition")
    ticket_id: Text = column("Identifier of the ticket", person=QUASI_IDENTIFYING)
    known_from: Date = column("First as_of that the row is valid for")
    known_to: Date = column("First as_of that it is no longer valid for")
    weight: Integer = column(WEIGHT, isin=(1, -1))
    customer_id: Text = column(
        "Customer who asked; '(unknown)' when not known", person=CUSTOMER_KEY
    )
    resolved_date: Date = column("Day of the resolution; 9999-12-31 while the ticket is open")
    resolution_seconds: BigInt = column("Seconds to the resolution; -1 where there are none")
