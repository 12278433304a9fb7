"""What one value may look like in an export, and what it becomes."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourceConfigError
from analytics_assets.sources.config_file import load_sources
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


def test_functions_that_duckdb_has_as_macros(source: Source) -> None:
    text = f"{HEADER},sales,n\nA1,2024-01-04,K1,MUG/red,9,2\nA2,2024-01-04,K1,MUG,9,0\n"
    result = load(source, text, columns={
        "quantity": "n", "unit_price": {"sql": "sales / nullif(n, 0)"},
        "product_id": {"sql": "split_part(product_id, '/', 1)"}})  # fmt: skip
    assert source.rows("SELECT product_id, unit_price FROM raw.raw_orders") == [
        ("MUG", Decimal("4.5"))
    ]
    assert result.reasons == {"unit_price: missing": 1}


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
    assert [said for said in result.warnings if "Clock" in said] == []
    with pytest.raises(
        SourceConfigError, match="only a time or an identifier can be of several columns"
    ):
        configured(source, "orders.csv", columns={"quantity": ["a", "b"]})


PURCHASES = """customer,date,amount
1,1997-01-01,11.77
1,1997-01-01,11.77
1,1997-01-12,12.00
2,1997-01-12,0.00
,1997-01-12,5.00
"""


def test_a_log_of_purchases_is_enough(source: Source) -> None:
    columns = {
        "order_id": ["customer", "date"],
        "customer_id": "customer",
        "ordered_at": "date",
        "quantity": {"value": 1},
    }
    source.write("orders.csv", PURCHASES)
    config = configured(source, "orders.csv", columns=columns, duplicates="keep")
    calendar = Calendar(date(1997, 1, 1))
    result = source.load(config, Window(date(1997, 1, 1), date(1997, 2, 1)), calendar)
    assert column(source, "order_id") == ["1/1997-01-01"] * 2 + ["1/1997-01-12", "2/1997-01-12"]
    assert source.rows("SELECT sum(amount) FROM raw.raw_orders") == [(Decimal("35.54"),)]
    assert result.reasons == {"order_id: missing": 1}
    assert result.warnings == ("product_id: the source has none; every row is of an unknown one",)
    with pytest.raises(SourceError, match=r"Where orders have no number.*`order_id: \[customer"):
        load(source, PURCHASES)


@pytest.mark.parametrize(("date", "time"), [("Order Date", "order time"), ("date", "Time")])
def test_a_time_of_day_that_nothing_reads_is_a_warning(
    source: Source, date: str, time: str
) -> None:
    text = f"order_id,{date},{time},customer_id,product_id,quantity,unit_price,Notes\n"
    result = load(source, f"{text}A1,2024-01-31,14:30,K1,MUG,1,3,\n", columns={"ordered_at": date})
    assert result.warnings == (
        f"columns that nothing reads: {time}, Notes",
        f"ordered_at: {time} may be the time of day of {date}. If it is, name both: "
        f"`ordered_at: [{date}, {time}]`",
    )


PRICES = f"""{HEADER},quantity,unit_price
A1,2024-01-04,K1,MUG,2,$19.00
A2,2024-01-05,K1,MUG,1,"$1,018.50"
A3,2024-01-06,K2,MUG,1,($7.25)
"""


def test_money_with_a_sign_or_in_parentheses(source: Source) -> None:
    load(source, PRICES, thousands=",")
    assert [row[2] for row in rejected(source)] == [
        "unit_price: a currency sign that is not named in `currency_signs`",
        "unit_price: a currency sign that is not named in `currency_signs`",
        "unit_price: a currency sign that is not named in `currency_signs`; "
        "unit_price: in parentheses; see `parentheses_are_negative`",
    ]
    result = load(source, PRICES, thousands=",", currency_signs=["$"])
    assert result.reasons == {"unit_price: in parentheses; see `parentheses_are_negative`": 1}
    words = {"currency_signs": ["$"], "parentheses_are_negative": True}
    assert load(source, PRICES, thousands=",", **words).total == DayLoad(3, 3, 0)
    assert column(source, "unit_price::VARCHAR") == ["19.0000", "1018.5000", "-7.2500"]


@pytest.mark.parametrize(
    ("text", "signs", "value"),
    [('"12,50 €"', ["€"], "12.5000"), ('"R$ 12,50"', ["R$"], "12.5000"),
     ('"AU $3,00"', ["AU $"], "3.0000"), ('"-€ 4"', ["€"], "-4.0000"),
     ('"€ -4"', ["€"], "-4.0000"), ('"USD 1.250,5"', ["USD"], "1250.5000"),
     ('"5,00\u00a0kr"', ["kr"], "5.0000"), ('"(6,00 €)"', ["€"], "-6.0000"),
     ('"7"', ["€"], "7.0000")],
)  # fmt: skip
def test_signs_before_and_after(source: Source, text: str, signs: list[str], value: str) -> None:
    row = f"{HEADER},quantity,unit_price\nA1,2024-01-04,K1,MUG,1,{text}\n"
    words: dict[str, Any] = {"currency_signs": signs, "parentheses_are_negative": True}
    load(source, row, decimal=",", thousands=".", **words)
    assert column(source, "unit_price::VARCHAR") == [value]


def test_another_sign_is_no_number(source: Source) -> None:
    result = load(source, PRICES, thousands=",", currency_signs=["€"])
    assert result.total.rejected == 3


WEIGHTS = f"""{HEADER},quantity,unit_price
A1,2024-01-04,K1,MUG,2.0,3
A2,2024-01-05,K1,MUG,1.00000,3
A3,2024-01-06,K2,TEA,0.35,40
A4,2024-01-06,K2,TEA,many,40
A5,2024-01-07,K2,TEA,1.000,40
"""


def test_quantities_with_decimals(source: Source) -> None:
    result = load(source, WEIGHTS)
    assert column(source, "quantity::VARCHAR") == ["2.0000", "1.0000"]
    assert result.reasons == {
        "quantity: a fraction; `decimal_quantity: true` accepts quantities with decimals": 1,
        # It may be a thousand.
        "quantity: not a whole number of 32 bits": 2,
    }
    result = load(source, WEIGHTS, decimal_quantity=True)
    assert column(source, "quantity::VARCHAR") == ["2.0000", "1.0000", "0.3500", "1.0000"]
    assert result.reasons == {"quantity: not a number of at most 4 decimals": 1}


def of_customers(*ids: str) -> str:
    rows = "".join(f"A{n},2024-01-04,{id_},MUG,1,3\n" for n, id_ in enumerate(ids))
    return f"{HEADER},quantity,unit_price\n{rows}"


def test_identifiers_that_a_frame_made_floats(source: Source) -> None:
    result = load(source, of_customers("13085.0", "7.0 ", "7", "1.50", "x.0"))
    assert column(source, "customer_id") == ["13085", "7", "7", "1.50", "x.0"]
    (whole, trimmed) = sorted(result.warnings)
    assert whole.startswith("customer_id: .0 left out in 2 rows; 1 identifiers then equal one")
    assert trimmed.startswith("customer_id: white space trimmed in 1 rows")


@pytest.mark.parametrize("id_", ["1.30E+04", "4E+12"])
def test_identifiers_that_have_lost_digits(source: Source, id_: str) -> None:
    with pytest.raises(SourceError, match="customer_id: in scientific notation: the export has lo"):
        load(source, of_customers("7", id_))


def test_codes_that_only_look_so(source: Source) -> None:
    load(source, of_customers("1e3", "E+", "CAFE+BAR", "00123"))
    assert column(source, "customer_id") == ["1e3", "E+", "CAFE+BAR", "00123"]


WORDS = ("NULL", "null", "None", "nan", "NaN", "\\N", "n/a", "N/A", "#N/A", "  ")


def test_nobody_is_no_customer(source: Source) -> None:
    result = load(source, of_customers(*WORDS, "NULLER", "nano"))
    customers = column(source, "customer_id")
    assert len(customers) == 12
    assert sorted(filter(None, customers)) == ["NULLER", "nano"]
    (warning,) = result.warnings
    assert warning.startswith("customer_id: a word for a missing value")
    assert "in 9 rows, read as missing; `null_words: {customer_id: []}`" in warning


def test_a_customer_may_be_called_null_where_it_is_said(source: Source) -> None:
    result = load(source, of_customers("Null", "K1"), null_words={"customer_id": []})
    assert (column(source, "customer_id"), result.warnings) == (["Null", "K1"], ())


def test_words_are_missing_in_the_column_they_are_given_for(source: Source) -> None:
    text = f"""{HEADER},quantity,unit_price
A1,2024-01-04,5,MUG,1,10
A2,2024-01-05,0,MUG,1,0
A3,2024-01-05,Guest,MUG,1,20
"""
    result = load(source, text, null_words={"customer_id": ["0", "guest"]})
    assert result.total == DayLoad(3, 3, 0)
    assert column(source, "customer_id") == ["5", None, None]
    result = load(source, text, null_words=["0"])
    assert result.reasons == {"unit_price: missing": 1}
    with pytest.raises(SourceConfigError, match="'customer' is not known here"):
        configured(source, "orders.csv", null_words={"customer": ["0"]})


def at(*times: str) -> str:
    rows = "".join(f"A{n},{time},K1,MUG,1,3\n" for n, time in enumerate(times))
    return f"{HEADER},quantity,unit_price\n{rows}"


@pytest.mark.parametrize(
    ("time", "utc"),
    [
        ("2024-01-02 10:00:00 UTC", "2024-01-02 10:00:00"),
        ("2024-01-02 10:00:00 Z", "2024-01-02 10:00:00"),
        ("2024-01-02 10:00:00 -0500", "2024-01-02 15:00:00"),
        ("2024-01-02 10:00 +05:30", "2024-01-02 04:30:00"),
        ("2024-01-02 10:00:00 PST", "2024-01-02 18:00:00"),
        ("2024-01-02 10:00:00CEST", "2024-01-02 08:00:00"),
        ("2024-01-02T10:00:00.1234567", "2024-01-02 10:00:00.123456"),
        ("2024-01-02T10:00:00.123456789Z", "2024-01-02 10:00:00.123456"),
        ("2024/01/02", "2024-01-02 00:00:00"),
        ("2024/01/02 10:00:00 EST", "2024-01-02 15:00:00"),
    ],
)
def test_times_of_other_systems(source: Source, time: str, utc: str) -> None:
    load(source, at(time))
    assert column(source, "ordered_at::VARCHAR") == [utc]


def test_times_that_may_mean_another_day(source: Source) -> None:
    result = load(source, at("1/2/2024", "13.01.2024 10:00", "2024-01-02 10:00:00 CST"))
    assert result.reasons == {
        "ordered_at: of the form 1/2/2024, where day or month comes first: declare "
        "`timestamp_formats`, such as ['%m/%d/%Y'] or ['%d/%m/%Y']": 2,
        "ordered_at: not a time in the declared format": 1,
    }


def test_names_of_zones_in_a_declared_format(source: Source) -> None:
    forms = ["%b %d, %Y %I:%M:%S %p %Z"]
    load(source, at('"Jan 2, 2024 1:23:45 PM PST"'), timestamp_formats=forms)
    assert column(source, "ordered_at::VARCHAR") == ["2024-01-02 21:23:45"]


def of_shop(source: Source, text: str, zone: str, path: str = "orders.csv", **words: Any) -> Any:
    source.write(path.replace("{date}", "2024-01-31"), text)
    config = configured(source, path, **words)
    file = source.folder / "in" / "sources.yaml"
    file.write_text(f"reporting_time_zone: {zone}\n{file.read_text()}")
    config = load_sources(file).sources["orders"]
    return source.load(config)


def test_days_are_the_shops(source: Source) -> None:
    text = at("2024-01-31 21:30:00 -0500", "2024-01-01 01:00:00 -0500", "2024-01-01 03:00:00")
    result = of_shop(source, text, "America/New_York")
    assert column(source, "order_date::VARCHAR") == ["2024-01-31", "2024-01-01"]
    assert column(source, "ordered_at::VARCHAR") == ["2024-02-01 02:30:00", "2024-01-01 06:00:00"]
    assert result.reasons == {"ordered_at: outside the calendar": 1}


@pytest.mark.parametrize(
    ("words", "zone"),
    [
        ({"time_zone": "Europe/Berlin"}, "Europe/Berlin"),
        ({"timestamp_formats": ["%Y-%m-%d %H:%M:%S %z"]}, "America/New_York"),
    ],
)
def test_a_zone_of_times_without_a_zone_of_days_is_a_warning(
    source: Source, words: dict[str, Any], zone: str
) -> None:
    text = at("2024-01-31 21:30:00 -0500")
    (warning,) = load(source, text, **words).warnings
    assert f"days are those of UTC; `reporting_time_zone: {zone}` next to `calendar`" in warning
    assert of_shop(source, text, "UTC", **words).warnings == ()


def test_a_file_of_the_shops_day_loads_whole(source: Source) -> None:
    text = at("2024-01-31 00:10:00", "2024-01-31 23:50:00")
    zone = "America/New_York"
    result = of_shop(source, text, zone, "day_{date}.csv", time_zone=zone)
    assert result.total == DayLoad(2, 2, 0)
    assert column(source, "order_date::VARCHAR") == ["2024-01-31"] * 2


@pytest.mark.parametrize("reporting", ["UTC", "Asia/Tokyo", "America/New_York", "Africa/Cairo"])
@pytest.mark.parametrize("forms", [[], ["%Y-%m-%d"]])
def test_a_date_without_a_time_is_that_day(
    source: Source, reporting: str, forms: list[str]
) -> None:
    text = at("2024-01-01", "2024-01-31")
    of_shop(source, text, reporting, time_zone="Europe/Berlin", timestamp_formats=forms)
    assert column(source, "order_date::VARCHAR") == ["2024-01-01", "2024-01-31"]
