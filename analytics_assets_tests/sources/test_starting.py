"""Starting configurations of files that no system is known by: tried on the values, or refused."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from analytics_assets.cli import main
from analytics_assets.partitions import Window
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.readers import SourceError
from analytics_assets.sources.starting.draft import drafted, tried
from analytics_assets_tests.sources.conftest import Source

HEADER = "Order No,Order Date,Customer,SKU,Qty,Price"
YEAR = Window(date(2024, 1, 1), date(2025, 1, 1))


def text_of(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def started(source: Source, content: str | bytes, name: str = "orders.csv") -> tuple[str, Any]:
    """What is written for one file, as text and as it is read."""
    path = source.write(name, content)
    draft = drafted([path])
    tried(draft)
    file = path.with_name("sources.yaml")
    file.write_text(draft.text(path.parent), encoding="utf-8")
    return file.read_text(encoding="utf-8"), load_sources(file)


def loaded(source: Source, sources: Any, columns: str) -> list[Any]:
    source.load(sources.sources["orders"], YEAR, sources.calendar)
    return source.rows(f"SELECT {columns} FROM raw.raw_orders ORDER BY ALL")


def test_guesses_are_marked(source: Source) -> None:
    text, sources = started(source, text_of("1,2024-03-05,C1,P1,2,3.50"))
    assert sources.calendar.start == date(2024, 3, 1)
    assert sources.sources["orders"].columns["order_id"] == "Order No"
    mapped = text.partition("columns:")[2].splitlines()[1:]
    assert len(mapped) == 6
    assert all("# guess: look at it" in line for line in mapped)


TIMES = [
    ("2024-01-31 10:00:00", None),
    ("2024-01-31T10:00:00Z", None),
    ("31/01/2024", "%d/%m/%Y"),
    ("1/31/2024 9:05", "%m/%d/%Y %H:%M"),
    ("31.01.24 21:05", "%d.%m.%y %H:%M"),
    ("Jan-31-24", "%b-%d-%y"),
    ('"Jan 31, 2024, 09:05 PM"', "%b %d, %Y, %I:%M %p"),
    ("01/31/2024 21:05:00 PST", "%m/%d/%Y %H:%M:%S %Z"),
    ("20240131", "%Y%m%d"),
]


@pytest.mark.parametrize(("value", "form"), TIMES)
def test_the_form_of_times_is_tried(source: Source, value: str, form: str | None) -> None:
    _, sources = started(source, text_of(f"1,{value},C1,P1,2,3.50", "2,,C1,P1,1,1"))
    assert sources.sources["orders"].timestamp_formats == ((form,) if form else ())
    assert str(loaded(source, sources, "order_date")[0][0]) in ("2024-01-31", "2024-02-01")


def test_dates_that_do_not_say_the_month_are_a_guess_with_both_forms(source: Source) -> None:
    rows = [f"{n},0{n}/0{n + 1}/2024,C1,P1,2,3.50" for n in range(1, 4)]
    text, sources = started(source, text_of(*rows))
    assert sources.sources["orders"].timestamp_formats == ("%m/%d/%Y",)
    line = text.partition("  timestamp_formats")[0].rpartition("  columns")[2]
    assert "guess: look at it. The values do not say whether day or month comes first" in line
    assert "['%d/%m/%Y']" in line.replace("\n  # ", " ")


def test_a_date_and_a_time_in_two_columns_are_read_together(source: Source) -> None:
    header = HEADER.replace("Order Date", "Order Date,Time")
    _, sources = started(source, text_of("1,2024-03-05,23:10,C1,P1,2,3.50", header=header))
    ((at,),) = loaded(source, sources, "ordered_at::VARCHAR")
    assert at == "2024-03-05 23:10:00"


@pytest.mark.parametrize(
    ("value", "words", "amount"),
    [
        ("12,50", {"decimal": ","}, "12.5"),
        ("1.012,50", {"decimal": ",", "thousands": "."}, "1012.5"),
        ("1,012.50", {"thousands": ","}, "1012.5"),
        ("12,50 €", {"decimal": ",", "currency_signs": ("€",)}, "12.5"),
        ("R$ 1.012,50", {"decimal": ",", "thousands": ".", "currency_signs": ("R$",)}, "1012.5"),
        ("$12.50", {"currency_signs": ("$",)}, "12.5"),
        ("AU $12.50", {"currency_signs": ("AU $",)}, "12.5"),
        ("1.23456", {"rounding": "half_up"}, "1.2346"),
    ],
)
def test_marks_of_numbers_are_tried(
    source: Source, value: str, words: dict[str, Any], amount: str
) -> None:
    _, sources = started(source, text_of(f'1,2024-03-05,C1,P1,2,"{value}"'))
    orders = sources.sources["orders"]
    plain = SourceConfig("orders")
    names = ("decimal", "thousands", "currency_signs", "rounding", "parentheses_are_negative")
    changed = {n: getattr(orders, n) for n in names if getattr(orders, n) != getattr(plain, n)}
    assert changed == words
    assert loaded(source, sources, "unit_price::DOUBLE") == [(float(amount),)]


def test_parentheses_and_parts_of_pieces_are_noticed(source: Source) -> None:
    header = "order_id,ordered_at,customer_id,sku,quantity,amount"
    rows = ("1,2024-03-05,C1,P1,0.35,$4.00", "2,2024-03-05,C1,P1,-1.0,($18.00)")
    _, sources = started(source, text_of(*rows, header=header))
    found = loaded(source, sources, "quantity::DOUBLE, amount::DOUBLE")
    assert found == [(-1.0, -18.0), (0.35, 4.0)]


@pytest.mark.parametrize(
    ("encoding", "name", "words"),
    [
        ("utf-8-sig", "orders.csv", {}),
        ("cp1252", "orders.csv", {"encoding": "cp1252"}),
        ("utf-16", "orders.csv", {"encoding": "utf-16"}),
        ("utf-16-le", "orders.csv", {"encoding": "utf-16-le"}),
    ],
)
def test_the_encoding_is_found(
    source: Source, encoding: str, name: str, words: dict[str, str]
) -> None:
    header = HEADER.replace("Price", "Price,Country")
    content = text_of("1,2024-03-05,C1,P1,2,3.50,Curaçao", header=header).encode(encoding)
    _, sources = started(source, content, name)
    assert sources.sources["orders"].encoding == words.get("encoding", "utf-8")
    assert loaded(source, sources, "country") == [("Curaçao",)]


@pytest.mark.parametrize("mark", [";", "\t", "|"])
@pytest.mark.parametrize("above", ["", "Orders of March\n\nby Ana\n", "sep={mark}\n"])
def test_separator_and_header_are_found(source: Source, mark: str, above: str) -> None:
    content = above.format(mark=mark) + text_of("1,2024-03-05,C1,P1,2,3.50").replace(",", mark)
    _, sources = started(source, content)
    orders = sources.sources["orders"]
    named = above.startswith("sep")
    assert (orders.delimiter, orders.options.get("skip_lines")) == (
        None if named else mark,
        3 if above.startswith("Orders") else None,
    )
    assert len(loaded(source, sources, "order_id")) == 1


def test_an_address_is_never_a_customer_without_its_code(source: Source) -> None:
    header = HEADER.replace("Customer", "E-Mail")
    _, sources = started(source, text_of("1,2024-03-05,a@mail.example,P1,2,3.50", header=header))
    assert sources.sources["orders"].customer_key == "email"
    # Whatever the column is called.
    _, sources = started(source, text_of("1,2024-03-05,a@mail.example,P1,2,3.50"))
    assert sources.sources["orders"].customer_key == "email"
    assert "@" not in str(loaded(source, sources, "customer_id"))


def test_what_stands_on_one_line_of_an_order_is_carried(source: Source) -> None:
    header = f"{HEADER},Status"
    rows = ("1,2024-03-05,C1,P1,2,3.50,shipped", "1,,,P2,1,1.00,", "2,2024-03-06,C2,P1,1,1,void")
    _, sources = started(source, text_of(*rows, header=header))
    orders = sources.sources["orders"]
    assert orders.order_level == ("ordered_at", "customer_id", "status")
    assert orders.status_map == {"shipped": "completed", "void": "cancelled"}
    found = loaded(source, sources, "order_id, customer_id, status")
    assert found == [("1", "C1", "completed"), ("1", "C1", "completed"), ("2", "C2", "cancelled")]


def test_a_line_without_pieces_is_one_piece(source: Source) -> None:
    text, sources = started(
        source, text_of("1,2024-03-05,C1,P1,3.50", header=HEADER.replace(",Qty", ""))
    )
    assert "quantity: {value: 1}  # guess: look at it" in text
    assert loaded(source, sources, "quantity::INT") == [(1,)]


def test_a_log_of_purchases_is_enough(source: Source) -> None:
    rows = ("C1,2024-03-05,9.90", "C1,2024-03-06,4.00", "C2,2024-03-05,1.00") * 2
    text, sources = started(source, text_of(*rows, header="customer,date,amount"))
    assert "order_id: [customer, date]" in text
    found = loaded(source, sources, "order_id, amount::DOUBLE")
    assert [amount for _, amount in found] == [9.9, 9.9, 4.0, 4.0, 1.0, 1.0]
    # An address is no part of an order's number.
    for name in ("email", "customer"):
        content = text_of("a@mail.example,2024-03-05,1", header=f"{name},date,amount")
        path = source.write("mails.csv", content)
        with pytest.raises(SourceError, match="no column for order_id"):
            drafted([path])


def test_several_currencies_are_named_and_do_not_load(source: Source) -> None:
    header = f"{HEADER},Currency"
    rows = ("1,2024-03-05,C1,P1,2,3.50,usd", "2,2024-03-05,C1,P1,2,350,JPY")
    text, sources = started(source, text_of(*rows, header=header))
    assert "currency: {reporting: JPY, rates: {USD: ...}}" in text.replace("\n# ", " ")
    with pytest.raises(SourceError, match="several currencies are never added"):
        loaded(source, sources, "order_id")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            HEADER.replace("Customer", "Who"),
            ["1,2024-03-05,C1,P1,2,3"],
            "no column for customer_id",
        ),
        (HEADER.replace("Price", "Total"), ["1,2024-03-05,C1,P1,2,3"], "no column for unit_price"),
        (HEADER, ["1,soon,C1,P1,2,3"], "No order has a time that can be read"),
        (HEADER, ["1,2024-03-05,C1,P1,many,3"], "No configuration was found that loads the files"),
    ],
)
def test_what_would_not_load_is_not_written(
    source: Source, header: str, rows: list[str], message: str
) -> None:
    path = source.write("orders.csv", text_of(*rows, header=header))
    out = path.with_name("sources.yaml")
    result = CliRunner().invoke(main, ["check-sources", str(path), "--write", str(out)])
    assert result.exit_code == 1
    assert message in result.output
    assert not out.exists()


def test_the_report_of_amazon_without_buyers_is_refused(source: Source) -> None:
    header = "amazon-order-id\tpurchase-date\torder-status\tsku\tquantity\titem-price"
    row = "113-1\t2024-01-05T10:00:00+00:00\tShipped\tS1\t1\t9.99"
    path = source.write("report.txt", f"{header}\n{row}\n")
    with pytest.raises(SourceError, match="which has buyer-email"):
        drafted([path])


def test_files_of_different_tables_are_refused(source: Source) -> None:
    one = source.write("orders.csv", text_of("1,2024-03-05,C1,P1,2,3.50"))
    other = source.write("people.csv", "id,city\nC1,Lima\n")
    with pytest.raises(SourceError, match="The files have different columns"):
        drafted([one, other])


def test_an_existing_file_is_not_overwritten(source: Source) -> None:
    path = source.write("orders.csv", text_of("1,2024-03-05,C1,P1,2,3.50"))
    out = source.write("sources.yaml", "mine")
    result = CliRunner().invoke(main, ["check-sources", str(path), "--write", str(out)])
    assert (result.exit_code, out.read_text()) == (1, "mine")
    assert "is not overwritten" in result.output
    result = CliRunner().invoke(main, ["check-sources", "--write", str(path.with_name("new.yaml"))])
    assert "Name the files" in result.output


def test_without_a_file_to_write_the_configuration_is_printed(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source.write("orders.csv", text_of("1,2024-03-05,C1,P1,2,3.50"))
    monkeypatch.chdir(path.parent)
    before = sorted(source.folder.rglob("*"))
    result = CliRunner().invoke(main, ["check-sources", "orders.csv"])
    assert result.exit_code == 0
    assert sorted(source.folder.rglob("*")) == before
    Path("mine.yaml").write_text(result.output)
    assert load_sources(Path("mine.yaml")).sources["orders"].path == str(path)


def test_a_compressed_file_is_looked_at(source: Source) -> None:
    import gzip

    content = gzip.compress(
        text_of("1;05.03.2024;C1;P1;2;3,50", header=HEADER.replace(",", ";")).encode()
    )
    _, sources = started(source, content, "orders.csv.gz")
    assert loaded(source, sources, "unit_price::DOUBLE") == [(3.5,)]
