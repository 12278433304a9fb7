"""Tables of the marts that explain sales: by dimension, from month to month, and how concentrated.

Belongs here: sales taken to pieces. Does not belong here: the totals that they add up to (`marts`),
or what customers do next (`repeat`).
"""
# mypy: disable-error-code="valid-type"

from analytics_assets.schemas.base import (
    MARGIN,
    BigInt,
    Boolean,
    Date,
    Double,
    Integer,
    Money,
    Quantity,
    TableModel,
    Text,
    column,
    table,
)

# As in the macro sales_dimensions; a test compares them.
SALES_DIMENSIONS = ("category", "country", "channel")
MEMBER_TYPES = ("product", "customer")  # of whom sales are taken to pieces
TOP_PERCENTS = (1, 10, 20)


@table(group="marts", key=("order_date", "dimension", "dimension_value"))
class SalesByDimension(TableModel):
    """Sales of each day by category, by country and by channel.

    Each dimension has all sales, so take one at a time: `dimension = 'category'`. A return or
    refund counts on its own day, whenever the sale was. A source without the column of a dimension
    has one value in it, '(unknown)'.
    """

    order_date: Date = column("The shop's day of the order, or of the return or refund")
    dimension: Text = column("What the sales are split by", isin=SALES_DIMENSIONS)
    dimension_value: Text = column(
        "The product's category, the customer's country or the order's channel; '(unknown)' where "
        "there is none"
    )
    lines: BigInt = column("Lines of any type", ge=1)
    units: Quantity = column("Units of the sale lines")
    gross_amount: Money = column("Extended amount of the sale lines", ge=0)
    returned_amount: Money = column("Extended amount of the return lines: usually negative")
    net_amount: Money = column("gross_amount + returned_amount")
    discount_amount: Money = column("Discounts of the sale and return lines, deducted already")
    tax_amount: Money = column("Tax on the sale and return lines, as far as known")
    shipping_amount: Money = column("Shipping of the sale and return lines, as far as known")
    cost_amount: Money = column("Cost of the sale and return lines, as far as known")
    margin_amount: Money = column(MARGIN, nullable=True)


@table(group="marts", key=("month", "member_type"), may_be_empty=True)
class SalesBridge(TableModel):
    """Why the net amount of a month differs from that of the month before.

    Opening, the effects and closing add up exactly, once by product and once by customer. What
    products sold in both months changed by is split into price, volume and mix; what customers who
    bought in both months changed by, into the number of their orders and the value of an order. The
    first month has no row.
    """

    month: Date = column("First day of the month that the bridge ends with")
    member_type: Text = column("By whom the difference is taken to pieces", isin=MEMBER_TYPES)
    opening_net_amount: Money = column("Net amount of the month before")
    price_effect: Money = column(
        "Of products sold in both months: units x change of the mean price paid; null by customer",
        nullable=True,
    )
    volume_effect: Money = column(
        "Of products sold in both months: change of their units altogether x their mean price "
        "before; null by customer",
        nullable=True,
    )
    mix_effect: Money = column(
        "Of products sold in both months: what it brought that units moved to products that were "
        "dearer before, or cheaper; null by customer",
        nullable=True,
    )
    orders_effect: Money = column(
        "Of customers who bought in both months: change of their orders x the mean value of one "
        "before; null by product",
        nullable=True,
    )
    order_value_effect: Money = column(
        "Of customers who bought in both months: orders x change of the mean value of one; null by "
        "product",
        nullable=True,
    )
    new_effect: Money = column("Gross amount of members with their first sale in the month", ge=0)
    returning_effect: Money = column(
        "Gross amount of members sold in the month and earlier, but not in the month before", ge=0
    )
    lost_effect: Money = column(
        "Less the gross amount before of members that were not sold in the month: not positive"
    )
    unknown_effect: Money = column("Change of the gross amount of lines whose member is unknown")
    returns_effect: Money = column("Change of the returned amount of all lines")
    closing_net_amount: Money = column("Net amount of the month")
    members_kept: BigInt = column("Members sold in both months", ge=0)
    members_new: BigInt = column("Members with their first sale in the month", ge=0)
    members_returning: BigInt = column(
        "Members sold in the month and earlier, but not in the month before", ge=0
    )
    members_lost: BigInt = column("Members sold in the month before, but not in the month", ge=0)
    is_complete: Boolean = column("Both months have been observed from the first day to the last")


@table(group="marts", key=("month", "member_type", "top_percent"))
class SalesConcentration(TableModel):
    """How much of a month's net amount the top products and the top customers have.

    Ranked by net amount are those with a sale in the month; the unknown member is not. The number
    that counts is rounded up, so the top 1% is at least one. Ties at the edge change nothing: they
    have the same net amount.
    """

    month: Date = column("First day of the month")
    member_type: Text = column("Who is ranked", isin=MEMBER_TYPES)
    top_percent: Integer = column("The top so many percent", isin=TOP_PERCENTS)
    members: BigInt = column("Known members with a sale in the month", ge=0)
    counted: BigInt = column("Those of them that are the top: top_percent, rounded up", ge=0)
    top_net_amount: Money = column("Net amount of the top")
    least_net_amount: Money = column(
        "Least net amount of a member in the top; null without a member", nullable=True
    )
    net_amount: Money = column("Net amount of all members")
    other_net_amount: Money = column(
        "Net amount of the rest: the unknown member, and returns of members without a sale"
    )
    net_share: Double = column(
        "top_net_amount / net_amount; null where that is not positive, above 1 where the others "
        "have returned more than they bought",
        nullable=True,
    )
    is_complete: Boolean = column("The month has been observed from its first day to its last")
