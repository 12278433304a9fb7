"""UCI Online Retail through the whole project, against the numbers that others published."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from dagster import AssetKey

from analytics_assets_tests.conftest import Project
from analytics_assets_tests.real_data.conftest import DATA

KNOWN_SALES = "line_type = 'sale' AND customer_id <> '(unknown)'"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


def one(project: Project, sql: str) -> tuple[Any, ...]:
    (row,) = project.query(sql)
    return row


def test_everything_runs_and_every_blocking_check_passes(retail: Project) -> None:
    assert retail.outcome.failures == []
    assert {run.status.value for run in retail.instance.get_runs()} == {"SUCCESS"}


def test_every_line_is_read_and_accepted(retail: Project) -> None:
    counts = one(
        retail,
        "SELECT sum(rows_read), sum(rows_accepted), sum(rows_rejected), count(*), "
        "count(*) FILTER (rows_read > 0) FROM raw.source_loads WHERE source = 'orders'",
    )
    assert counts == (541_909, 541_909, 0, 305, 305)


def test_lines_invoices_products_customers_and_countries(retail: Project) -> None:
    counts = one(
        retail,
        "SELECT count(*), count(DISTINCT order_id), count(DISTINCT product_id), "
        "count(DISTINCT customer_id), count(DISTINCT country), "
        "count(*) FILTER (customer_id IS NULL) FROM raw.raw_orders",
    )
    assert counts == (541_909, 25_900, 4_070, 4_372, 38, 135_080)


def test_exact_duplicates_are_collapsed_and_counted(retail: Project) -> None:
    assert one(retail, "SELECT sum(copies), sum(copies - 1) FROM staging.stg_orders") == (
        541_909,
        5_268,
    )


def test_cancellations_are_those_whose_invoice_starts_with_c(retail: Project) -> None:
    counts = one(
        retail,
        "SELECT count(*) FILTER (status = 'cancelled'), "
        "count(*) FILTER (order_id LIKE 'C%') FROM raw.raw_orders",
    )
    assert counts == (9_288, 9_288)


def test_sales_of_known_customers(retail: Project) -> None:
    counts = one(
        retail,
        "SELECT count(*), count(DISTINCT customer_id), count(DISTINCT order_id), "
        f"sum(extended_amount) FROM core.fact_orders WHERE {KNOWN_SALES}",
    )
    assert counts[:3] == (392_692, 4_338, 18_532)
    assert round(counts[3], 2) == Decimal("8887208.89")


def test_with_their_copies_they_are_the_lines_before_collapsing(retail: Project) -> None:
    (lines,) = one(
        retail,
        "SELECT sum(copies) FROM staging.stg_orders "
        "WHERE line_type = 'sale' AND customer_id IS NOT NULL",
    )
    assert lines == 397_884


def test_every_line_is_in_the_fact_those_without_a_customer_as_the_unknown(
    retail: Project,
) -> None:
    staged, unknown = one(
        retail, "SELECT count(*), count(*) FILTER (customer_id IS NULL) FROM staging.stg_orders"
    )
    assert one(
        retail,
        "SELECT count(*), count(*) FILTER (customer_id = '(unknown)') FROM core.fact_orders",
    ) == (staged, unknown)
    assert unknown > 130_000


def test_money_adds_up_from_the_fact_to_every_mart(retail: Project) -> None:
    expected = one(
        retail,
        "SELECT sum(extended_amount) FILTER (line_type = 'sale'), "
        "sum(extended_amount) FILTER (line_type IN ('sale', 'return')) FROM core.fact_orders",
    )
    for relation in ("core.customer_days", "marts.sales_daily", "marts.customer_sales"):
        sums = f"SELECT sum(gross_amount), sum(net_amount) FROM {relation}"
        assert one(retail, sums) == expected, relation
    cohorts = "SELECT sum(cohort_revenue) FROM marts.customer_cohort_analysis"
    known = (
        "SELECT sum(net_amount) FROM core.customer_days WHERE customer_id IN "
        "(SELECT customer_id FROM core.customer_days WHERE sale_orders > 0 "
        "AND customer_id <> '(unknown)') AND date_trunc('month', order_date) >= "
        "date_trunc('month', (SELECT min(d.order_date) FROM core.customer_days d "
        "WHERE d.customer_id = customer_days.customer_id AND d.sale_orders > 0))"
    )
    assert one(retail, cohorts) == one(retail, known)


def test_the_first_cohort(retail: Project) -> None:
    cells = retail.query(
        "SELECT month_number, customers_active, customers_in_cohort, is_complete "
        "FROM marts.customer_cohort_analysis WHERE cohort_month = DATE '2010-12-01' ORDER BY 1"
    )
    assert [number for number, *_ in cells] == list(range(13))
    assert [active for _, active, *_ in cells[:3]] == [885, 324, 286]
    assert {size for _, _, size, _ in cells} == {885}
    # December 2011 ends on the 9th.
    assert [complete for *_, complete in cells] == [True] * 12 + [False]


def test_every_customer_is_in_one_cohort(retail: Project) -> None:
    customers = one(
        retail,
        "SELECT sum(customers_in_cohort), sum(customers_active) "
        "FROM marts.customer_cohort_analysis WHERE month_number = 0",
    )
    assert customers == (4_338, 4_338)


def test_a_month_that_was_not_observed_is_null_and_one_that_was_is_not(retail: Project) -> None:
    cells = retail.query(
        "SELECT cohort_month, month_number, customers_active, retention_rate, cohort_revenue, "
        "is_complete FROM marts.customer_cohort_analysis"
    )
    assert len(cells) == 13 * 13
    for cohort, number, active, rate, revenue, complete in cells:
        month = cohort.year * 12 + cohort.month + number
        observed = month <= 2011 * 12 + 12
        assert ([active, rate, revenue] != [None] * 3) == observed
        assert complete == (month < 2011 * 12 + 12)


def test_snapshot_and_scores_are_of_the_last_day(retail: Project) -> None:
    day = date(2011, 12, 9)
    for relation in ("marts.customer_analytics_daily", "churn.churn_predictions"):
        assert retail.query(f"SELECT DISTINCT snapshot_date FROM {relation}") == [(day,)]
    assert one(retail, "SELECT count(*) FROM churn.churn_predictions") == (4_338,)


def test_the_churn_model_knows_something_and_not_the_answer(retail: Project) -> None:
    auc, loss, baseline, test_as_of, last, labels_to = one(
        retail,
        "SELECT roc_auc, log_loss, (SELECT log_loss FROM churn.churn_model "
        "WHERE candidate = 'prevalence'), test_as_of, last_as_of, labels_to "
        "FROM churn.churn_model WHERE is_chosen",
    )
    assert 0.6 < auc < 0.95  # a leak would give nearly 1
    assert loss < baseline
    assert test_as_of == last == date(2011, 9, 1)
    assert labels_to == date(2011, 11, 30) < date(2011, 12, 10)


def test_the_champion_ranks_no_worse_than_bg_nbd(retail: Project) -> None:
    found = dict(retail.query("SELECT candidate, roc_auc FROM churn.churn_model"))
    ((chosen,),) = retail.query("SELECT candidate FROM churn.churn_model WHERE is_chosen")
    assert found["bg_nbd"] > found["recency"] > found["prevalence"] == 0.5
    assert found[chosen] >= found["bg_nbd"]


def test_scores_are_calibrated_on_the_last_window(retail: Project) -> None:
    slope, calibrated, rows = one(
        retail,
        "SELECT calibration_slope, calibrated, test_rows FROM churn.churn_backtest "
        "WHERE test_as_of = DATE '2011-09-01' AND candidate = "
        "(SELECT candidate FROM churn.churn_model WHERE is_chosen)",
    )
    assert 0.8 < slope < 1.25
    assert calibrated
    assert rows == 3_317


def test_the_model_card_holds_the_report(retail: Project) -> None:
    entry = retail.instance.get_latest_materialization_event(AssetKey("churn_model"))
    assert entry is not None and entry.asset_materialization is not None
    card = str(entry.asset_materialization.metadata["model card"].value)
    for candidate in ("bg nbd", "recency", "rule", "logistic regression", "gradient boosting"):
        assert candidate in card
    assert "Tested on 2011-09-01" in card
    assert card.count("data:image/png") == 2


def test_scores_say_what_customers_will_buy_and_why(retail: Project) -> None:
    rows, purchases, value, reasons = one(
        retail,
        "SELECT count(*), sum(expected_purchases), sum(expected_value), "
        "count(*) FILTER (reason_1 IS NULL) FROM churn.churn_predictions",
    )
    assert (rows, reasons) == (4_338, 0)
    days, money = one(
        retail,
        "SELECT count(*), sum(gross_amount) FROM core.customer_days WHERE sale_orders > 0 "
        "AND customer_id <> '(unknown)' AND order_date >= DATE '2011-09-11'",
    )
    # The 90 days before were the Christmas season: more, but not of another magnitude.
    assert 0.5 < purchases / days < 1.1
    assert 0.5 < value / float(money) < 1.3


def test_features_of_a_month_are_labelled_once_the_horizon_has_passed(retail: Project) -> None:
    months = retail.query(
        "SELECT as_of, bool_and(label_window_closed), bool_or(label_window_closed) "
        "FROM churn.churn_features GROUP BY 1 ORDER BY 1"
    )
    assert (months[0][0], months[-1][0]) == (date(2011, 1, 1), date(2011, 12, 1))
    for as_of, every, some in months:
        assert every == some == ((date(2011, 12, 10) - as_of).days >= 90), as_of
