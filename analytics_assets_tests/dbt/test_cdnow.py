"""The published constants, from CDNOW's purchase log through the pipeline's own features.

The compiled models make the days and features, the pipeline's own fit reads them: a definition that
differs anywhere between a line of the log and the models gives other numbers.
"""

from collections.abc import Iterator

import pandas as pd
import pytest

from analytics_assets.assets.churn.model import FEATURES
from analytics_assets.lifetime.purchases import expected, fit_purchases
from analytics_assets_tests.lifetime.cdnow import CALIBRATION_ENDS, DATA, needs_cdnow

from .conftest import Warehouse
from .test_as_known import Memory

pytestmark = pytest.mark.slow
# Days of the calendar of 1997, moved onto those of the warehouse: the end of the calibration is
# the day before an as_of of the compiled window.
AS_OF = "2024-02-01"
WEEK = 7


@pytest.fixture(scope="module")
def features(built_warehouse: Warehouse) -> Iterator[pd.DataFrame]:
    """Features at the end of the calibration of everybody in the log."""
    memory = Memory(built_warehouse)
    for table in ("raw_orders", "raw_customers", "raw_user_sessions", "raw_products"):
        memory.connection.execute(f"delete from raw.{table}")
    # A line of no money is no sale, which eighty purchases of the log were: the smallest amount
    # stands for it.
    memory.connection.execute(f"""
        insert into raw.raw_orders by name
        with log as (
            select
                string_split_regex(trim(line), '\\s+') as parts,
                row_number() over (order by line) as number
            from read_csv('{DATA / "CDNOW_sample.txt"}', header = false, delim = '|',
                columns = {{'line': 'VARCHAR'}})
        )
        select
            'O' || number as order_id, parts[2] as customer_id, 1 as quantity,
            date '{AS_OF}' - 1
            + (strptime(parts[3], '%Y%m%d')::date - date '{CALIBRATION_ENDS}')::int as order_date,
            order_date::timestamp as ordered_at,
            greatest(parts[5]::decimal(18, 4), 0.0001) as amount, amount as unit_price,
            true as amount_is_total, false as is_refund, 'log' as source_file,
            number as source_row, timestamp '2024-03-01' as loaded_at
        from log""")
    for name in ("fact_orders", "customer_days"):
        relation = f"core.{name}"
        # Compiled for a window of days; of all of them.
        sql = memory.compiled[name].replace("cast('2024-01-01' as date)", "date '2020-01-01'")
        sql = sql.replace("cast('2024-03-01' as date)", "date '2030-01-01'")
        memory.connection.execute(f"delete from {relation}")
        memory.connection.execute(f"insert into {relation} by name {sql}")
    memory.make("fact_user_sessions", "dim_customers", "order_corrections", "session_corrections")
    memory.make("customer_analytics_daily")
    yield memory.connection.execute(
        f"select * from marts.customer_analytics_daily where as_of = date '{AS_OF}' "
        "and sale_orders > 0 order by customer_id"
    ).df()
    memory.connection.close()


@needs_cdnow
def test_the_published_constants_come_out_of_the_features(features: pd.DataFrame) -> None:
    roles = FEATURES.purchases
    assert roles is not None
    history = features[list(roles.columns)].astype(float)
    assert len(history) == 2357
    own = fit_purchases(history, roles)
    # As of the midnight after the last day; as published, the last day itself. With a day less the
    # constants are those, with it they are near.
    history[[roles.tenure, roles.silence]] -= 1
    fitted = fit_purchases(history, roles)
    for name, value in fitted["bgnbd"].items():
        assert own["bgnbd"][name] == pytest.approx(value, rel=0.05)
    assert own["gamma_gamma"] == fitted["gamma_gamma"]
    # Fader, Hardie, Lee (2005), table 2, in weeks; Fader, Hardie (2013), Gamma-Gamma, in dollars.
    buys, spends = fitted["bgnbd"], fitted["gamma_gamma"]
    assert buys["r"] == pytest.approx(0.243, abs=0.0005)
    assert buys["alpha"] / WEEK == pytest.approx(4.414, abs=0.002)
    assert buys["a"] == pytest.approx(0.793, abs=0.002)
    assert buys["b"] == pytest.approx(2.426, abs=0.006)
    assert spends["p"] == pytest.approx(6.25, abs=0.01)
    assert spends["q"] == pytest.approx(3.74, abs=0.01)
    assert spends["v"] == pytest.approx(15.44, abs=0.05)
    assert (expected(fitted, history, 90)["lifetime_value"] > 0).all()
