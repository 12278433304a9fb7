"""ltv_curves, computed again from the raw rows."""

from collections import Counter

from analytics_assets_tests.analyses.cohorts_oracle import months_between
from analytics_assets_tests.analyses.raw_lines import UNKNOWN, cents, raw_lines
from analytics_assets_tests.conftest import Project


def assert_as_recomputed(project: Project) -> None:
    """Every figure of every row is that of the raw rows."""
    lines = raw_lines(project)
    assert lines["cost"].isna().all()  # so no margin is known
    lines = lines[lines["customer_id"] != UNKNOWN]
    sales = lines[lines["kind"] == "sale"]
    firsts = {
        customer: day.replace(day=1)
        for customer, day in sales.groupby("customer_id")["order_date"].min().items()
    }
    sizes = Counter(firsts.values())
    # By cohort and month number: what was sold, and what was left of it.
    gross, net = Counter(), Counter()
    for customer, day, kind, amount in lines[
        ["customer_id", "order_date", "kind", "amount"]
    ].itertuples(index=False, name=None):
        cohort = firsts.get(customer)
        if cohort and day.replace(day=1) >= cohort:
            cell = (cohort, months_between(cohort, day))
            gross[cell] += amount if kind == "sale" else 0
            net[cell] += amount
    ((last,),) = project.query(
        "SELECT max(window_date) FROM raw.source_loads WHERE source = 'orders'"
    )
    with project.warehouse.read() as session:
        rows = session.records("SELECT * FROM marts.ltv_curves")
    months = months_between(min(sizes), last) + 1
    assert {(row["cohort_month"], row["month_number"]) for row in rows} == {
        (cohort, number) for cohort in sizes for number in range(months)
    }
    for row in rows:
        cohort, number = row["cohort_month"], row["month_number"]
        assert row["customers_in_cohort"] == sizes[cohort]
        assert row["margin_amount"] is row["margin_value"] is None
        if number > months_between(cohort, last):
            assert {row[f"{n}_{k}"] for n in ("gross", "net") for k in ("amount", "value")} == {
                None
            }
            continue
        for name, of_months in (("gross", gross), ("net", net)):
            total = sum(of_months[cohort, before] for before in range(number + 1))
            assert cents(row[f"{name}_amount"]) == total, (cohort, number)
            assert abs(cents(row[f"{name}_value"]) - total / sizes[cohort]) <= 0.5
