"""The same outputs as written by hand: pandas, with JSON between the steps.

Run with `python benchmarks/by_hand.py FOLDER OUT END`. Each step reads the output of the step
before, works on frames in memory, and writes its own; customers are classified row by row, with
`apply` and `iterrows`; a random forest predicts. What pandas does well (reading, joining, grouping)
is left to pandas. There are no checks, no rejected rows and no run of a single day, and the
features lack the spread of gaps and the breadth of products.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

HORIZON = 90
LINE = ["order_id", "line_number"]
TRAINING_ROWS = 200_000  # as in the project
SUMS = {
    "sale_orders": "sum", "sale_lines": "sum", "units": "sum", "gross_amount": "sum",
    "net_amount": "sum", "return_lines": "sum", "returned_amount": "sum",
}  # fmt: skip


class Steps:
    """Frames as JSON files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, frame: pd.DataFrame) -> None:
        frame.to_json(self.folder / f"{name}.json", orient="records", lines=True, date_format="iso")

    def read(self, name: str, dates: list[str] | None = None) -> pd.DataFrame:
        return pd.read_json(
            self.folder / f"{name}.json", orient="records", lines=True, convert_dates=dates or False
        )


def load(shop: Path, steps: Steps) -> None:
    files = sorted(shop.glob("orders/*.csv"))
    steps.write("orders", pd.concat([pd.read_csv(file, dtype=str) for file in files]))
    steps.write("customers", pd.read_csv(shop / "customers.csv"))
    steps.write("products", pd.read_csv(shop / "products.csv"))


def clean(steps: Steps, end: pd.Timestamp) -> None:
    orders = steps.read("orders")
    orders["ordered_at"] = pd.to_datetime(
        orders["ordered_at"], format="%Y-%m-%d %H:%M:%S", errors="coerce"
    )
    for name in ("quantity", "unit_price", "amount", "line_number"):
        orders[name] = pd.to_numeric(orders[name], errors="coerce")
    whole = orders["quantity"] % 1 == 0
    orders = orders[whole & orders["unit_price"].notna() & (orders["ordered_at"] < end)]
    orders = orders.sort_values("updated_at")
    orders["order_date"] = orders["ordered_at"].dt.normalize()
    orders["extended_amount"] = (orders["quantity"] * orders["unit_price"]).round(4)
    orders[["customer_id", "product_id"]] = orders[["customer_id", "product_id"]].fillna(
        "(unknown)"
    )
    sale = (orders["quantity"] > 0) & (orders["unit_price"] > 0) & (orders["status"] != "cancelled")
    orders["line_type"] = np.select(
        [orders["quantity"] < 0, sale], ["return", "sale"], "adjustment"
    )
    # Lines with a row that came after their day were different before, or not known at all.
    orders["changed"] = pd.to_datetime(orders["updated_at"]).dt.normalize() > orders["order_date"]
    orders["changed"] = orders.groupby(LINE)["changed"].transform("any")
    steps.write("versions", orders[orders["changed"]])
    steps.write("fact_orders", orders.drop_duplicates(LINE, keep="last"))


def members(steps: Steps) -> None:
    facts = steps.read("fact_orders")
    for name in ("customer", "product"):
        known, key = steps.read(f"{name}s"), f"{name}_id"
        inferred = facts.loc[~facts[key].isin(known[key]), [key]].drop_duplicates()
        steps.write(f"dim_{name}s", pd.concat([known, inferred]))


def days_of(facts: pd.DataFrame) -> pd.DataFrame:
    sales, returns = facts["line_type"] == "sale", facts["line_type"] == "return"
    facts["sale_order"] = facts["order_id"].where(sales)
    facts["sale_lines"], facts["return_lines"] = sales, returns
    facts["units"] = facts["quantity"].where(sales, 0)
    facts["gross_amount"] = facts["extended_amount"].where(sales, 0)
    facts["returned_amount"] = facts["extended_amount"].where(returns, 0)
    days = facts.groupby(["order_date", "customer_id"], as_index=False).agg(
        orders=("order_id", "nunique"), sale_orders=("sale_order", "nunique"),
        lines=("order_id", "size"), sale_lines=("sale_lines", "sum"),
        return_lines=("return_lines", "sum"), units=("units", "sum"),
        gross_amount=("gross_amount", "sum"), returned_amount=("returned_amount", "sum"),
    )  # fmt: skip
    days["net_amount"] = days["gross_amount"] + days["returned_amount"]
    return days


def customer_days(steps: Steps) -> None:
    steps.write("customer_days", days_of(steps.read("fact_orders", ["order_date"])))


def cohorts(steps: Steps, end: pd.Timestamp) -> None:
    days = steps.read("customer_days", ["order_date"])
    days = days[days["customer_id"] != "(unknown)"]
    days["month"] = days["order_date"].dt.year * 12 + days["order_date"].dt.month
    buying = days[days["sale_orders"] > 0]
    days["cohort"] = days["customer_id"].map(buying.groupby("customer_id")["month"].min())
    days = days[days["cohort"].notna()]
    days["month_number"] = days["month"] - days["cohort"]
    active = days[days["sale_orders"] > 0].groupby(["cohort", "month_number"])["customer_id"]
    table = pd.DataFrame(
        {
            "customers_active": active.nunique(),
            "cohort_revenue": days.groupby(["cohort", "month_number"])["net_amount"].sum(),
        }
    )
    size = days.groupby("cohort")["customer_id"].nunique()
    first, last = int(size.index.min()), end.year * 12 + end.month - (end.day == 1)
    spine = pd.MultiIndex.from_product(
        [size.index, range(last - first + 1)], names=table.index.names
    )
    table = table.reindex(spine).reset_index()
    observed = table["cohort"] + table["month_number"] <= last
    figures = ["customers_active", "cohort_revenue"]
    table.loc[observed, figures] = table.loc[observed, figures].fillna(0)
    table["customers_in_cohort"] = table["cohort"].map(size)
    table["retention_rate"] = table["customers_active"] / table["customers_in_cohort"]
    steps.write("customer_cohort_analysis", table)


def sales(steps: Steps) -> None:
    facts = steps.read("fact_orders", ["order_date"])
    days = steps.read("customer_days", ["order_date"])
    facts["month"] = facts["order_date"].dt.to_period("M").astype(str)
    days["month"] = days["order_date"].dt.to_period("M").astype(str)
    keys = ["customer_id", "month"]
    sold = facts[facts["line_type"] != "adjustment"]
    billed = sold.assign(billed=sold["amount"].fillna(sold["extended_amount"]))
    figures = ["orders", "lines", "units", "gross_amount", "net_amount"]
    table = days.groupby(keys)[figures].sum().join(billed.groupby(keys)["billed"].sum())
    steps.write("customer_sales", table.fillna({"billed": 0}).reset_index())

    shelves = steps.read("dim_products").set_index("product_id")["category"]
    facts["category"] = facts["product_id"].map(shelves).fillna("(unknown)")
    facts["gross"] = facts["extended_amount"].where(facts["line_type"] == "sale", 0)
    facts["net"] = facts["extended_amount"].where(facts["line_type"] != "adjustment", 0)
    facts["units"] = facts["quantity"].where(facts["line_type"] == "sale", 0)
    facts["known"] = facts["customer_id"].where(facts["customer_id"] != "(unknown)")
    facts["sale"] = facts["line_type"] == "sale"
    orders = facts.groupby(["order_date", "order_id"])
    amount, sold = orders["gross"].transform("sum").round(4), orders["sale"].transform("any")
    facts["revenue_band"] = np.select(
        [~sold, amount < 100, amount < 1000], ["none", "low", "medium"], "high"
    )
    table = facts.groupby(["order_date", "category", "revenue_band"], as_index=False).agg(
        orders=("order_id", "nunique"), lines=("order_id", "size"), units=("units", "sum"),
        customers=("known", "nunique"), gross_amount=("gross", "sum"), net_amount=("net", "sum"),
    )  # fmt: skip
    steps.write("sales_daily", table)


class Known:
    """The days of customers, as known at a date."""

    def __init__(self, steps: Steps) -> None:
        self.days = steps.read("customer_days", ["order_date"])
        facts = steps.read("fact_orders", ["order_date"])
        self.versions = steps.read("versions", ["order_date", "updated_at"])
        changed = facts["customer_id"].isin(self.versions["customer_id"])
        self.unchanged = facts[changed & ~facts["changed"]]

    def by(self, as_of: pd.Timestamp) -> pd.DataFrame:
        later = self.versions["updated_at"] >= as_of
        otherwise = self.versions.loc[
            later & (self.versions["order_date"] < as_of), "customer_id"
        ].unique()
        lines = pd.concat(
            [self.unchanged, self.versions[~later].drop_duplicates(LINE, keep="last")]
        )
        lines = lines[lines["customer_id"].isin(otherwise)]
        return pd.concat(
            [self.days[~self.days["customer_id"].isin(otherwise)], days_of(lines.copy())]
        )


def features_of(days: pd.DataFrame, customers: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """The features of each customer, as known at a date."""
    past = days[(days["order_date"] < as_of) & (days["customer_id"] != "(unknown)")]
    buying = past[past["sale_orders"] > 0].groupby("customer_id")["order_date"]
    table = past.groupby("customer_id").agg(SUMS)
    table["active_days"] = buying.size()
    table["first_order"], table["last_order"] = buying.min(), buying.max()
    for length in (30, 60, 90, 180):
        recent = past[past["order_date"] >= as_of - pd.Timedelta(days=length)]
        recent = recent.groupby("customer_id")[["sale_orders", "net_amount"]].sum()
        table[[f"orders_{length}d", f"net_amount_{length}d"]] = recent
    registered = customers.set_index("customer_id")["registered_at"]
    registered = registered[registered < as_of]
    table = table.join(registered, how="outer")
    table["days_since_registration"] = (as_of - table["registered_at"].dt.normalize()).dt.days
    table["tenure_days"] = (as_of - table["first_order"]).dt.days
    table["days_since_last_order"] = (as_of - table["last_order"]).dt.days
    span = (table["last_order"] - table["first_order"]).dt.days
    table["mean_gap_days"] = span / (table["active_days"] - 1).replace(0, np.nan)
    lines = table["sale_lines"] + table["return_lines"]
    table["return_share"] = table["return_lines"] / lines.replace(0, np.nan)
    table["average_order_value"] = table["gross_amount"] / table["sale_orders"].replace(0, np.nan)
    counted = [*SUMS, "active_days", *table.filter(regex=r"_\d+d$").columns]
    table[counted] = table[counted].fillna(0)
    return table.reset_index().assign(as_of=as_of)


def segment(customer: pd.Series) -> str:
    if customer["sale_orders"] == 0:
        return "Prospect"
    recency, frequency, value = (customer[f"{name}_score"] for name in "rfm")
    if min(recency, frequency, value) >= 4:
        return "Champion"
    if recency >= 3 and frequency >= 3:
        return "Loyal"
    if recency >= 3:
        return "Potential"
    return "At Risk" if frequency >= 3 or value >= 3 else "Lost"


def customer_analytics(steps: Steps, end: pd.Timestamp) -> None:
    customers = steps.read("dim_customers", ["registered_at"])
    table = features_of(Known(steps).by(end), customers, end)
    bought = table[table["sale_orders"] > 0]
    for name, column, ascending in (
        ("r", "days_since_last_order", False),
        ("f", "sale_orders", True),
        ("m", "net_amount", True),
    ):
        rank = bought[column].round(4).rank(ascending=ascending)
        # The average rank in whole numbers, so that a fifth does not depend on rounding.
        doubled = (2 * rank).round().astype("int64")
        table[f"{name}_score"] = -(-5 * doubled // (2 * len(bought)))
    table["segment"] = table.apply(segment, axis=1)
    risks = []
    for _, customer in table.iterrows():
        if customer["sale_orders"] == 0:
            risks.append(np.nan)
            continue
        gap = customer["mean_gap_days"]
        normal = HORIZON if np.isnan(gap) else max(3 * gap, 30)
        risks.append(min(1.0, customer["days_since_last_order"] / normal))
    table["churn_risk_score"] = risks
    steps.write("customer_analytics_daily", table)


def features(steps: Steps, end: pd.Timestamp) -> None:
    known = Known(steps)
    days = known.days
    customers = steps.read("dim_customers", ["registered_at"])
    first = days["order_date"].min() + pd.offsets.MonthBegin(1)
    tables = []
    for as_of in pd.date_range(first, end, freq="MS"):
        table = features_of(known.by(as_of), customers, as_of)
        table = table[table["sale_orders"] > 0]
        until = as_of + pd.Timedelta(days=HORIZON)
        if until <= end:
            window = days[(days["order_date"] >= as_of) & (days["order_date"] < until)]
            buyers = window.loc[window["sale_orders"] > 0, "customer_id"].unique()
            table["churned"] = ~table["customer_id"].isin(buyers)
        tables.append(table)
    steps.write("churn_features", pd.concat(tables))


def predict(steps: Steps) -> None:
    table = steps.read("churn_features")
    table = table[table["churned"].notna()]
    table = table.sample(min(TRAINING_ROWS, len(table)), random_state=7)
    columns = [
        *SUMS, "active_days", "tenure_days", "days_since_last_order", "mean_gap_days",
        "return_share", "average_order_value", "days_since_registration", "orders_30d",
        "orders_60d", "orders_90d", "orders_180d",
        "net_amount_30d", "net_amount_60d", "net_amount_90d", "net_amount_180d",
    ]  # fmt: skip
    forest = RandomForestClassifier(n_estimators=100, random_state=7)
    forest.fit(table[columns].fillna(-1), table["churned"].astype(bool))
    now = steps.read("customer_analytics_daily")
    now = now[now["sale_orders"] > 0]
    scores = forest.predict_proba(now[columns].fillna(-1))[:, 1]
    steps.write("churn_predictions", now[["customer_id"]].assign(churn_probability=scores))


def main(shop: Path, out: Path, end: pd.Timestamp) -> None:
    steps = Steps(out)
    load(shop, steps)
    clean(steps, end)
    members(steps)
    customer_days(steps)
    cohorts(steps, end)
    sales(steps)
    customer_analytics(steps, end)
    features(steps, end)
    predict(steps)


if __name__ == "__main__":
    pd.options.mode.copy_on_write = True
    main(Path(sys.argv[1]), Path(sys.argv[2]), pd.Timestamp(sys.argv[3]))
