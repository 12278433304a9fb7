"""Corruptions that the checks of the analyses see, for `test_mutations`."""

import re

# By check: SQL, and the other checks that it cannot but make fail too.
CORRUPTIONS: dict[str, tuple[str, ...]] = {
    "sales_by_dimension.each_dimension_is_all_sales": (
        "UPDATE marts.sales_by_dimension SET units = units + 1 "
        "WHERE (order_date, dimension, dimension_value) = "
        "(SELECT max((order_date, dimension, dimension_value)) FROM marts.sales_by_dimension)",
    ),
    "sales_by_dimension.amounts_of_a_row_agree": (
        "UPDATE marts.sales_by_dimension SET margin_amount = net_amount - cost_amount - 1 "
        "WHERE dimension = 'country'",
    ),
    "sales_by_dimension.key_is_unique": (
        "INSERT INTO marts.sales_by_dimension FROM (FROM marts.sales_by_dimension LIMIT 1)",
        "sales_by_dimension.each_dimension_is_all_sales",
    ),
    "sales_bridge.effects_are_the_difference": (
        "UPDATE marts.sales_bridge SET returns_effect = returns_effect + 0.0001 "
        "WHERE month = (SELECT max(month) FROM marts.sales_bridge)",
    ),
    # Still added up, from another opening.
    "sales_bridge.opening_and_closing_are_net_of_days": (
        "UPDATE marts.sales_bridge SET opening_net_amount = opening_net_amount + 0.0001, "
        "lost_effect = lost_effect - 0.0001 WHERE member_type = 'customer'",
    ),
    "sales_bridge.opening_and_closing_are_net_of_days without a month": (
        "DELETE FROM marts.sales_bridge "
        "WHERE member_type = 'product' AND month = (SELECT max(month) FROM marts.sales_bridge)",
    ),
    "sales_concentration.members_and_the_rest_are_net_of_days": (
        "UPDATE marts.sales_concentration SET other_net_amount = other_net_amount - 0.0001 "
        "WHERE top_percent = 10",
    ),
    "repeat_purchases.orders_are_those_of_days": (
        "UPDATE marts.repeat_purchases SET customers = customers + 1 WHERE order_number = 1",
    ),
    "repeat_purchases.orders_are_those_of_days without the last": (
        "DELETE FROM marts.repeat_purchases "
        "WHERE order_number = (SELECT max(order_number) FROM marts.repeat_purchases)",
    ),
    "repeat_purchases.orders_are_those_of_days who came back": (
        "UPDATE marts.repeat_purchases SET repeated = repeated - 1 WHERE order_number = 2",
    ),
    "repeat_purchases.key_is_unique": (
        "INSERT INTO marts.repeat_purchases FROM (FROM marts.repeat_purchases LIMIT 1)",
        "repeat_purchases.orders_are_those_of_days",
    ),
    "comeback_products.gross_is_that_of_first_purchases": (
        "UPDATE marts.comeback_products SET gross_amount = gross_amount + 0.0001 "
        "WHERE product_id = (SELECT min(product_id) FROM marts.comeback_products)",
    ),
    "next_orders.customers_are_those_who_have_bought": (
        "DELETE FROM churn.next_orders "
        "WHERE customer_id = (SELECT min(customer_id) FROM churn.next_orders)",
    ),
    "next_orders.customers_are_those_who_have_bought without a reason": (
        "UPDATE churn.next_orders SET next_order_date = NULL, no_date_reason = NULL",
    ),
    "comeback_products.key_is_unique": (
        "INSERT INTO marts.comeback_products FROM (FROM marts.comeback_products LIMIT 1)",
        "comeback_products.gross_is_that_of_first_purchases",
    ),
}
WRONG_VALUES = (
    ("sales_by_dimension", "dimension"),
    ("sales_bridge", "member_type"),
    ("sales_concentration", "member_type"),
    ("next_orders", "no_date_reason"),
)
# What compares a column of customer_days with the analyses.
_OF_COLUMNS = {
    r"lines|units|(?!margin)\w+_amount": ("sales_by_dimension.each_dimension_is_all_sales",),
    "net_amount": (
        "sales_bridge.opening_and_closing_are_net_of_days",
        "sales_concentration.members_and_the_rest_are_net_of_days",
    ),
    "gross_amount": ("comeback_products.gross_is_that_of_first_purchases",),
}


def seen_by_analyses(sql: str) -> frozenset[str]:
    """The checks of the analyses that see a change of customer_days."""
    if sql.startswith("INSERT INTO core.customer_days"):
        return frozenset({"repeat_purchases.orders_are_those_of_days"})
    changed = re.match(r"UPDATE core\.customer_days SET (\w+) = ", sql)
    return frozenset(
        check
        for columns, checks in _OF_COLUMNS.items()
        for check in checks
        if changed and re.fullmatch(columns, changed[1])
    )
