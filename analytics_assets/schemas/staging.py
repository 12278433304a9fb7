"""Tables of the staging layer: raw rows normalised, de-duplicated and classified.

Belongs here: cleaned source rows. Does not belong here: anything joined (core), or what the source
supplies (raw). Nothing is imputed but the total charges of subscriptions, with a flag, because no
layer follows before the marts.
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
from analytics_assets.schemas.raw import AMOUNT, CURRENCY, DISCOUNT, STATUS, STATUSES

EXTENDED_AMOUNT = "quantity x unit_price - discount, or amount where it is the total"
LINE_TYPES = ("sale", "return", "adjustment")


@table(
    group="staging",
    key=("order_date", "order_id", "line_number"),
    is_view=True,
    view_day="order_date",
)
class StgOrders(TableModel):
    """Order lines, normalised, de-duplicated within the day (the newest wins) and classified."""

    order_date: Date = column("The shop's day of ordered_at")
    order_id: Text = column("Identifier of the order", person=QUASI_IDENTIFYING)
    line_number: Integer = column(
        "Number of the line within the order and its day; assigned by content where the source has "
        "none, to refunds last"
    )
    ordered_at: Timestamp = column("When the order was placed, UTC")
    customer_id: Text = column("Customer; null when missing", nullable=True, person=CUSTOMER_KEY)
    product_id: Text = column("Product; null when missing", nullable=True)
    quantity: Quantity = column("Units; negative for a return")
    unit_price: Money = column(
        "Price of one unit; rounded and only informative where amount is the total"
    )
    amount: Money = column(AMOUNT, nullable=True)
    discount: Money = column(DISCOUNT, nullable=True)
    tax: Money = column("Tax on the line", nullable=True)
    shipping: Money = column("Shipping charged for the line, no part of gross", nullable=True)
    cost: Money = column("What the whole line cost the shop", nullable=True)
    currency: Text = column(CURRENCY, nullable=True)
    channel: Text = column("Channel that the order came through", nullable=True)
    coupon: Text = column("Coupon used on the order", nullable=True)
    is_test: Boolean = column("A test order, which counts in nothing", nullable=True)
    is_refund: Boolean = column("Refund of a line, as a row of its own day")
    extended_amount: Money = column(EXTENDED_AMOUNT)
    status: Text = column(STATUS, nullable=True, isin=STATUSES)
    line_type: Text = column(
        "return: a refund, or a quantity below 0; sale: quantity and extended amount above 0 and "
        "not cancelled; adjustment: the rest, test orders and refunds of cancelled ones",
        isin=LINE_TYPES,
    )
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    country: Text = column("Country of the order, where the source supplies one", nullable=True)
    product_name: Text = column("Product name on the line, where supplied", nullable=True)
    product_category: Text = column("Product category on the line, where supplied", nullable=True)
    source_file: Text = column("File (or relation) of the row that was kept")
    source_row: BigInt = column("Number of that row in the file")
    copies: Integer = column("Raw rows collapsed into this one", ge=1)


@table(group="staging", key=("session_id",), is_view=True, view_day="session_date")
class StgUserSessions(TableModel):
    """Visits, normalised and de-duplicated within the day (the newest wins)."""

    session_date: Date = column("Day of started_at")
    session_id: Text = column("Identifier of the session", person=QUASI_IDENTIFYING)
    customer_id: Text = column(
        "Customer of the session; null when anonymous", nullable=True, person=CUSTOMER_KEY
    )
    started_at: Timestamp = column("Start of the session, UTC")
    ended_at: Timestamp = column("End of the session, UTC", nullable=True)
    duration_seconds: BigInt = column(
        "Seconds from start to end; null when the end is missing or before the start",
        nullable=True,
        ge=0,
    )
    page_views: Integer = column("Pages seen", nullable=True)
    device: Text = column("Device class, lower case", nullable=True)
    channel: Text = column("Channel the visitor came through, lower case", nullable=True)
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    source_file: Text = column("File (or relation) of the row that was kept")
    source_row: BigInt = column("Number of that row in the file")
    copies: Integer = column("Raw rows collapsed into this one", ge=1)


@table(group="staging", key=("ticket_id",), is_view=True, view_day="ticket_date")
class StgSupportTickets(TableModel):
    """Support tickets, normalised; of each ticket the version that was updated last."""

    ticket_date: Date = column("The shop's day of opened_at")
    ticket_id: Text = column("Identifier of the ticket", person=QUASI_IDENTIFYING)
    customer_id: Text = column(
        "Customer who asked; null when not known", nullable=True, person=CUSTOMER_KEY
    )
    opened_at: Timestamp = column("When the ticket was opened, UTC")
    first_response_at: Timestamp = column(
        "When somebody first answered, UTC; null before", nullable=True
    )
    resolved_at: Timestamp = column(
        "When the ticket was resolved, UTC; null while it is open", nullable=True
    )
    status: Text = column("State of the ticket, lower case", nullable=True)
    channel: Text = column("Channel that the ticket came through, lower case", nullable=True)
    priority: Text = column("Urgency, lower case", nullable=True)
    category: Text = column("What the ticket is about", nullable=True)
    satisfaction: Integer = column("Score that the customer gave afterwards", nullable=True)
    updated_at: Timestamp = column("When the source last changed the ticket, UTC", nullable=True)
    source_file: Text = column("File (or relation) of the row that was kept")
    source_row: BigInt = column("Number of that row in the file")
    copies: Integer = column("Raw rows collapsed into this one", ge=1)


@table(group="staging", key=("customer_id",), is_view=True)
class StgCustomers(TableModel):
    """Customers, normalised; the newest row of each. The last table with personal columns."""

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
    source_file: Text = column("File (or relation) of the row that was kept")
    source_row: BigInt = column("Number of that row in the file")
    copies: Integer = column("Raw rows collapsed into this one", ge=1)


@table(group="staging", key=("product_id",), is_view=True)
class StgProducts(TableModel):
    """Products, normalised; the newest row of each."""

    product_id: Text = column("Product")
    product_name: Text = column("Name of the product", nullable=True)
    category: Text = column("Category of the product", nullable=True)
    list_price: Money = column("Price in the list", nullable=True)
    unit_cost: Money = column("Cost of one unit", nullable=True)
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    source_file: Text = column("File (or relation) of the row that was kept")
    source_row: BigInt = column("Number of that row in the file")
    copies: Integer = column("Raw rows collapsed into this one", ge=1)


@table(group="staging", key=("customer_id",), is_view=True)
class StgSubscriptions(TableModel):
    """Subscribers, normalised; the newest row of each, a missing total of charges imputed."""

    customer_id: Text = column("Subscriber", person=CUSTOMER_KEY)
    churned: Boolean = column("The subscriber has left")
    contract: Text = column("Kind of contract", nullable=True)
    payment_method: Text = column("How the subscriber pays", nullable=True)
    tenure_months: Integer = column("Whole months of the subscription so far", nullable=True, ge=0)
    monthly_charges: Money = column("Money charged a month", nullable=True)
    total_charges: Money = column(
        "Money charged so far; where the source has none, tenure_months x monthly_charges",
        nullable=True,
    )
    total_charges_imputed: Boolean = column("total_charges is imputed")
    attributes: Text = column(
        "Further columns that the source configuration names, as a JSON object of texts",
        nullable=True,
        person=QUASI_IDENTIFYING,
    )
    updated_at: Timestamp = column("When the source last changed the row, UTC", nullable=True)
    source_file: Text = column("File (or relation) of the row that was kept")
    source_row: BigInt = column("Number of that row in the file")
    copies: Integer = column("Raw rows collapsed into this one", ge=1)


VISITOR = "customer_id, or session_id where there is none, as they came"


@table(group="staging", key=("event_date", "event_id"), is_view=True, view_day="event_date")
class StgEvents(TableModel):
    """Events, normalised and de-duplicated within the day (the first copy that came counts)."""

    event_date: Date = column("The shop's day of event_time")
    event_id: Text = column("Identifier of the event", person=QUASI_IDENTIFYING)
    event_type: Text = column("What happened, such as page_view; purchase is a purchase")
    event_time: Timestamp = column("When it happened, UTC")
    visitor: Text = column(VISITOR, nullable=True, person=CUSTOMER_KEY)
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
    is_late: Boolean = column("Older than the watermark when it came")
    received_at: Timestamp = column("When it came, UTC", nullable=True)
    source_file: Text = column("File (or relation) of the row that was kept")
    source_row: BigInt = column("Number of that row in the file")
    copies: Integer = column("Raw rows collapsed into this one", ge=1)
