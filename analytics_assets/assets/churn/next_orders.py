"""When each customer is expected to order next.

Belongs here: the asset next_orders. Does not belong here: the maths (`lifetime`), or the scores of
a day (`predictions`).
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    MetadataValue,
    ResourceParam,
    multi_asset,
)

from analytics_assets.assets.churn.model import FEATURES, model_registry
from analytics_assets.assets.churn.scoring import usable_model
from analytics_assets.assets.common import RETRY, code_version, table_spec
from analytics_assets.assets.quality.blocking import wait_for_loads
from analytics_assets.reports import plots
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.repeat import FARTHEST_DAYS, NO_DATE
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import POOL, Warehouse

NEXT_ORDERS = TABLES["next_orders"]
CODE = ("lifetime", "schemas/repeat.py", "assets/churn/next_orders.py")
WITHIN_DAYS = 90  # of order_probability_90d
NO_MODEL, GONE, TOO_FAR = NO_DATE
BANDS = (7, 30, 90, FARTHEST_DAYS)  # days from as_of on, of the plot


def next_order_assets(settings: Settings) -> list[AssetsDefinition]:
    """next_orders."""

    @multi_asset(
        name=NEXT_ORDERS.name,
        specs=[
            table_spec(
                NEXT_ORDERS,
                deps=["user_analytics", "churn_model"],
                code_version=code_version(*CODE),
            )
        ],
        pool=POOL,
        retry_policy=RETRY,
    )
    def next_orders(
        context: AssetExecutionContext, warehouse: ResourceParam[Warehouse]
    ) -> Iterator[MaterializeResult]:
        wait_for_loads(warehouse)
        found = usable_model(context, model_registry(settings))
        roles = FEATURES.purchases
        assert roles
        columns = ", ".join((roles.days, roles.silence, roles.tenure))
        with warehouse.read() as session:
            customers = session.frame(
                f"SELECT customer_id, as_of, {columns} FROM marts.user_analytics "
                "WHERE sale_orders > 0 ORDER BY customer_id"
            )
        rows = expected_orders(customers, found[0] if found else None)
        with warehouse.transaction() as session:
            session.register("made", rows)
            session.replace_window(NEXT_ORDERS, "made", None)
        yield MaterializeResult(asset_key=NEXT_ORDERS.name, metadata=_shown(rows))

    return [next_orders]


def expected_orders(customers: pd.DataFrame, model: Any) -> pd.DataFrame:
    """Rows of next_orders.

    Args:
        customers: customer_id, as_of and the columns of the purchase history.
        model: the champion; None if there is none yet.
    """
    from analytics_assets.lifetime.purchases import next_purchase

    known = customers[[name for name in NEXT_ORDERS.columns if name in customers]]
    # The first models had no purchases, or others.
    if model is None or "history" not in model.purchases:
        rows = known.assign(no_date_reason=NO_MODEL)
        return rows.reindex(columns=NEXT_ORDERS.columns)
    expected = next_purchase(model.purchases, customers, WITHIN_DAYS)
    far = expected[["low", "middle", "high"]].ge(FARTHEST_DAYS)
    gone = expected["alive"] <= 0.5
    reason = pd.Series(None, index=customers.index, dtype=object)
    reason[far["middle"]] = TOO_FAR
    reason[gone] = GONE
    dated = reason.isna()
    rows = known.assign(
        no_date_reason=reason,
        another_order_probability=expected["alive"],
        order_probability_90d=expected["bought"].clip(0, 1),
        model_version=model.version,
    )
    for column, name in (
        ("next_order_low", "low"),
        ("next_order_date", "middle"),
        ("next_order_high", "high"),
    ):
        rows[column] = _dates(customers["as_of"], expected[name].where(dated & ~far[name]))
    return rows[NEXT_ORDERS.columns]


def _dates(as_of: pd.Series, days: pd.Series) -> list[date | None]:
    # An order within the first day is one on as_of.
    whole = pd.to_datetime(as_of) + pd.to_timedelta(np.floor(days), unit="D")
    return [None if pd.isna(day) else day.date() for day in whole]


def _shown(rows: pd.DataFrame) -> dict[str, Any]:
    """The number of customers, and when they are expected, as a plot."""
    if rows.empty:
        return {"dagster/row_count": 0}
    days = (pd.to_datetime(rows["next_order_date"]) - pd.to_datetime(rows["as_of"])).dt.days
    counts, before = {}, 0
    for end in BANDS:
        counts[f"from {before} to {end - 1} days"] = int(days.between(before, end - 1).sum())
        before = end
    reasons = rows["no_date_reason"].value_counts()
    counts |= {f"no date: {name}": int(reasons.get(name, 0)) for name in NO_DATE}
    title = "When the next order is as likely as not to have come"
    chart = plots.bar_chart(list(counts), list(counts.values()), title, "customers")
    return {
        "dagster/row_count": len(rows),
        "model version": str(rows["model_version"].iloc[0]),
        "next orders": MetadataValue.md(chart),
    }
