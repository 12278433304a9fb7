"""What one value may look like in an export, and what it becomes."""

from typing import Any

import pytest

from analytics_assets.sources.config import SourceConfigError
from analytics_assets.sources.load import DayLoad, LoadResult
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.cases.test_text_files import configured, gross, rejected
from analytics_assets_tests.sources.conftest import Source

HEADER = "order_id,ordered_at,customer_id,product_id"


def load(source: Source, text: str, path: str = "orders.csv", **words: Any) -> LoadResult:
    source.write(path, text)
    return source.load(configured(source, path, **words))


def column(source: Source, name: str) -> list[Any]:
    return [value for (value,) in source.rows(
        f"SELECT {name} FROM raw.raw_orders ORDER BY order_id, source_row")]  # fmt: skip


PIECES = f"""{HEADER},sale_price
A1,2024-01-04 09:00,K1,MUG,12.5
A1,2024-01-04 09:00,K1,BOWL,7.25
"""


def test_a_row_that_is_one_piece(source: Source) -> None:
    columns: dict[str, Any] = {"unit_price": "sale_price"}
    with pytest.raises(SourceError, match=r"no column 'quantity'.*`quantity: \{value: 1\}`"):
        load(source, PIECES, columns=columns)
    result = load(source, PIECES, columns={**columns, "quantity": {"value": 1}})
    assert result.total == DayLoad(2, 2, 0)
    assert gross(source) == 19.75
    assert result.warnings == ()


def test_a_constant_takes_the_place_of_a_column_of_that_name(source: Source) -> None:
    text = f"{HEADER},quantity,unit_price\nA1,2024-01-04,K1,MUG,x,3\n"
    result = load(source, text, columns={"quantity": {"value": 2}, "country": {"value": "SE"}})
    assert result.warnings == ("columns that nothing reads: quantity",)
    assert (gross(source), column(source, "country")) == (6.0, ["SE"])


SALES = f"""{HEADER},Sales,Pieces,kind
A1,2024-01-04,K1,MUG,"1.000,00",3,sale
A2,2024-01-05,K1,MUG,"7,00",2,refund
A3,2024-01-05,K2,MUG,free,2,sale
"""


def test_expressions_over_the_row(source: Source) -> None:
    result = load(source, SALES, decimal=",", thousands=".", columns={
        "unit_price": {"sql": "sales / Pieces"},
        "quantity": {"sql": "CASE WHEN kind = 'refund' THEN -pieces ELSE pieces END"},
        "product_name": {"sql": "lower(product_id) || '-' || customer_id"},
    })  # fmt: skip
    assert result.total == DayLoad(3, 2, 1)
    assert column(source, "unit_price::VARCHAR") == ["333.3333", "3.5000"]
    assert column(source, "quantity::INT") == [3, -2]
    assert column(source, "product_name") == ["mug-K1", "mug-K1"]
    ((_, _, reasons, row),) = rejected(source)
    assert reasons == "unit_price: missing"
    assert '"Sales":"free"' in row
    assert "_computed" not in row


@pytest.mark.parametrize("sql", [
    "(SELECT 1)", "sum(sales)", "sales FROM x", "sales; DROP TABLE y", "sales, pieces",
    "count(*) OVER ()", "random()", "today()", "current_setting('memory_limit')", "getenv('HOME')",
    "x) FROM read_text('/etc/hosts') WHERE (true", "*", "nextval('x')", "approx_quantile(x, 0.5)",
    "sales +", "unnest([1])",
])  # fmt: skip
def test_only_expressions_over_one_row(source: Source, sql: str) -> None:
    with pytest.raises(SourceConfigError, match=r"line \d+: orders.columns.unit_price.sql: no exp"):
        configured(source, "orders.csv", columns={"unit_price": {"sql": sql}})


def test_an_expression_names_columns_that_there_are(source: Source) -> None:
    with pytest.raises(SourceError, match="no column 'total', which unit_price is computed from"):
        load(source, PIECES, columns={"quantity": {"value": 1}, "unit_price": {"sql": "total * 1"}})


def test_expressions_read_json_too(source: Source) -> None:
    text = (
        '{"order_id": 1, "ordered_at": "2024-01-04", "customer_id": 7, "product_id": "MUG", '
        '"sales": 7, "n": 2}\n'
    )
    load(source, text, "orders.jsonl", columns={
        "quantity": "n", "unit_price": {"sql": "sales / n"}})  # fmt: skip
    assert gross(source) == 7.0


TOTALS = f"""{HEADER},Sales,Quantity
A1,2024-01-04,K1,MUG,100.00,3
A2,2024-01-05,K1,MUG,21.93,2
A3,2024-01-05,K2,MUG,,2
A4,2024-01-05,K2,MUG,5,0
"""


def test_totals_of_lines_without_a_price_of_a_piece(source: Source) -> None:
    result = load(source, TOTALS, columns={"amount": "Sales"})
    assert result.total == DayLoad(4, 3, 1)
    assert column(source, "unit_price::VARCHAR") == ["33.3333", "10.9650", "5.0000"]
    assert column(source, "amount::VARCHAR") == ["100.0000", "21.9300", "5.0000"]
    assert column(source, "amount_is_total") == [True, True, True]
    assert [row[2] for row in rejected(source)] == ["amount: missing"]


def test_an_amount_beside_a_price_is_what_was_billed(source: Source) -> None:
    text = f"{HEADER},quantity,unit_price,amount\nA1,2024-01-04,K1,MUG,3,33.33,100\n"
    load(source, text)
    assert column(source, "amount_is_total") == [False]
    text = f"{HEADER},quantity,amount\nA1,2024-01-04,K1,MUG,3,100\n"
    load(source, text)
    assert column(source, "amount_is_total") == [True]


def test_date_and_time_in_two_columns(source: Source) -> None:
    text = """order_id,Day,Clock,customer_id,product_id,quantity,unit_price
A1,31/01/2024,14:30:00,K1,MUG,1,3
"""
    forms = ["%d/%m/%Y %H:%M:%S"]
    columns = {"ordered_at": ["Day", "Clock"]}
    result = load(
        source, text, columns=columns, timestamp_formats=forms, time_zone="America/New_York"
    )
    assert column(source, "ordered_at::VARCHAR") == ["2024-01-31 19:30:00"]
    assert result.warnings == ()
    with pytest.raises(SourceConfigError, match="only a time can be read from several columns"):
        configured(source, "orders.csv", columns={"quantity": ["a", "b"]})
