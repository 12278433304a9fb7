"""Order lines from the raw rows, by pandas: nothing of the project's SQL is used.

Amounts are whole ten-thousandths of the currency, so that sums are exact.
"""

from decimal import Decimal

import pandas as pd

from analytics_assets_tests.conftest import Project

UNKNOWN = "(unknown)"
# What two copies of a line without a number have in common.
CONTENT = ["order_id", "ordered_at", "customer_id", "product_id", "quantity", "unit_price"]


def raw_lines(project: Project) -> pd.DataFrame:
    """Sale and return lines: order_date, customer, order, product, kind, amount."""
    with project.warehouse.read() as session:
        rows = session.frame("SELECT * FROM raw.raw_orders")
    rows = rows.sort_values(["updated_at", "source_file", "source_row"], na_position="first")
    numbered = rows["line_number"].notna()
    rows = pd.concat(
        [
            rows[numbered].drop_duplicates(["order_date", "order_id", "line_number"], keep="last"),
            rows[~numbered].drop_duplicates([*CONTENT, "country", "product_name"], keep="last"),
        ]
    )
    assert not rows["is_refund"].any() and rows["discount"].isna().all()
    money = [
        int(Decimal(str(q)) * Decimal(str(p)) * 10_000)
        for q, p in zip(rows["quantity"], rows["unit_price"], strict=True)
    ]
    rows = rows.assign(
        amount=money,
        customer_id=rows["customer_id"].fillna(UNKNOWN),
        order_date=pd.to_datetime(rows["order_date"]).dt.date,
    )
    sale = (rows["quantity"] > 0) & (rows["amount"] > 0) & (rows["status"] != "cancelled")
    returned = rows["quantity"] < 0
    rows = rows.assign(kind="adjustment")
    rows.loc[sale, "kind"] = "sale"
    rows.loc[returned, "kind"] = "return"
    return rows[rows["kind"] != "adjustment"]


def cents(amount: Decimal) -> int:
    """An amount of the warehouse as whole ten-thousandths."""
    return int(amount * 10_000)
