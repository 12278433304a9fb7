"""UCI Online Retail, which has no line numbers, against the numbers that others published."""

from decimal import Decimal
from pathlib import Path

import pytest

from .conftest import Warehouse

DATA = Path(__file__).parents[3] / "shared" / "data" / "online_retail"
SPAN = ("2010-12-01", "2011-12-10")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory, manifest: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path_factory.mktemp("online_retail"), manifest)
    warehouse.create(
        f"""insert into raw.raw_orders by name
        select
            InvoiceNo as order_id, InvoiceDate as ordered_at,
            cast(InvoiceDate as date) as order_date,
            nullif(split_part(CustomerID, '.', 1), '') as customer_id, StockCode as product_id,
            Quantity as quantity, UnitPrice as unit_price,
            case when InvoiceNo like 'C%' then 'cancelled' end as status, Country as country,
            nullif(Description, 'nan') as product_name, filename as source_file,
            row_number() over (partition by filename) as source_row, InvoiceDate as loaded_at
        from read_csv('{DATA}/*.csv', filename = true, header = true, columns = {{
            'InvoiceNo': 'varchar', 'StockCode': 'varchar', 'Description': 'varchar',
            'Quantity': 'integer', 'InvoiceDate': 'timestamp', 'UnitPrice': 'decimal(18, 4)',
            'CustomerID': 'varchar', 'Country': 'varchar'}})""",
        """insert into raw.source_loads
        select 'orders', order_date, 'v1', count(*), 0, count(*), 0, 0, any_value(loaded_at),
            any_value(loaded_at)
        from raw.raw_orders group by order_date""",
    )
    others = ("unit_test", "--exclude", "customer_analytics_daily+", "churn_features+")
    warehouse.built("build", "--exclude-resource-type", *others, window=SPAN)
    return warehouse


def test_duplicates(retail: Warehouse) -> None:
    (counts,) = retail.query("select sum(copies), sum(copies - 1) from staging.stg_orders")
    assert counts == (541_909, 5_268)


def test_sales_of_known_customers(retail: Warehouse) -> None:
    (counts,) = retail.query("""
        select count(*), count(distinct order_id), count(distinct customer_id),
            round(sum(extended_amount), 2)
        from core.fact_orders where line_type = 'sale' and customer_id <> '(unknown)'""")
    assert counts == (392_692, 18_532, 4_338, Decimal("8887208.89"))


def test_customer_days_hold_the_same(retail: Warehouse) -> None:
    (counts,) = retail.query("""
        select sum(sale_lines), sum(sale_orders), round(sum(gross_amount), 2)
        from core.customer_days where customer_id <> '(unknown)'""")
    assert counts == (392_692, 18_532, Decimal("8887208.89"))


def test_first_cohort(retail: Warehouse) -> None:
    cells = retail.query("""
        select customers_active, is_complete from marts.customer_cohort_analysis
        where cohort_month = date '2010-12-01' order by month_number""")
    assert [active for active, _ in cells[:3]] == [885, 324, 286]
    assert len(cells) == 13
    assert not cells[12][1]  # December 2011 ends on the 9th
