"""Exports of systems: from their files to a configuration, without an edit, to cohorts.

The money that comes out is compared with what csv and Decimal make of the same files.
"""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from analytics_assets.cli import main
from analytics_assets.partitions import Window
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.load import load_source
from analytics_assets.sources.report import in_words
from analytics_assets.sources.systems import SYSTEMS
from analytics_assets.sources.systems.base import columns_of
from analytics_assets_tests.conftest import REPOSITORY
from analytics_assets_tests.dbt.conftest import Warehouse
from analytics_assets_tests.dbt.test_as_known import Memory
from analytics_assets_tests.sources.conftest import Source

from .exports import EXPORTS, SHOPIFY_HEADER, Export, Line, shopify_order, table

END = date(2025, 1, 1)
LOADED_AT = datetime(2025, 1, 1, 12)
PAGE = REPOSITORY / "docs" / "systems.md"
# Rows of the files that are no line of an order.
LINES = "raw.raw_orders WHERE NOT is_refund"


def teach(*files: Path, out: Path | None = None) -> Result:
    """Run `check-sources` on files."""
    options = ["--write", str(out)] if out else []
    return CliRunner().invoke(main, ["check-sources", *map(str, files), *options])


def written(folder: Path, export: Export) -> SourcesConfig:
    """The configuration that is written for an export."""
    result = teach(*export.write(folder), out=folder / "sources.yaml")
    assert result.exit_code == 0, result.output
    return load_sources(folder / "sources.yaml")


def sums(lines: Iterator[Line] | list[Line]) -> tuple[Decimal, Decimal]:
    lines = list(lines)
    gross, returned = (line.gross for line in lines), (line.returned for line in lines)
    return sum(gross, Decimal(0)), sum(returned, Decimal(0))


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_loads_whole(source: Source, name: str) -> None:
    sources = written(source.folder / "in", EXPORTS[name])
    window = Window(sources.calendar.start, END)
    result = source.load(sources.sources["orders"], window, sources.calendar, LOADED_AT)
    assert (result.total.rejected, result.reasons) == (0, {})
    money = "CASE WHEN amount_is_total THEN amount ELSE quantity * unit_price END"
    counted = f"({money} - CASE WHEN amount_is_total THEN 0 ELSE coalesce(discount, 0) END)"
    ((gross, returned),) = source.rows(
        "SELECT sum(CASE WHEN quantity > 0 AND NOT is_refund AND coalesce(status, '') <> "
        f"'cancelled' AND is_test IS NOT TRUE THEN {counted} END), coalesce(sum(CASE WHEN "
        f"quantity < 0 OR (is_refund AND status IS DISTINCT FROM 'cancelled') THEN {counted} END), "
        "0) FROM raw.raw_orders"
    )
    assert (gross, returned) == sums(EXPORTS[name].lines(source.folder / "in"))
    assert not source.rows("FROM raw.raw_orders WHERE contains(customer_id, '@')")


@pytest.fixture(scope="module")
def built(built_warehouse: Warehouse) -> Iterator[Memory]:
    """The compiled models over raw tables without a row, over all days."""
    memory = Memory(built_warehouse)
    for name in ("fact_orders", "customer_days"):
        sql = memory.compiled[name].replace("cast('2024-01-01' as date)", "date '2000-01-01'")
        memory.compiled[name] = sql.replace("cast('2024-03-01' as date)", "date '2030-01-01'")
    for table_ in ("raw_orders", "raw_customers", "raw_products", "source_loads", "rejected_rows"):
        memory.connection.execute(f"delete from raw.{table_}")
    memory.connection.execute("commit")
    yield memory
    memory.connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_becomes_cohorts(built: Memory, tmp_path: Path, name: str) -> None:
    sources = written(tmp_path, EXPORTS[name])
    connection = built.connection
    connection.execute("begin")
    connection.execute("set timezone = 'UTC'")
    window = Window(sources.calendar.start, END)
    orders = sources.sources["orders"]
    load_source(connection, orders, sources.calendar, window, LOADED_AT)
    built.make("fact_orders", "customer_days", "customer_cohort_analysis")
    cohorts = connection.execute(
        "select cohort_month, max(customers_in_cohort), sum(gross_amount), sum(returned_amount), "
        "sum(cohort_revenue) from marts.customer_cohort_analysis group by 1 order by 1"
    ).fetchall()
    by_day = connection.execute(
        "select order_date, sum(gross_amount), sum(returned_amount) from core.customer_days "
        "group by 1 having sum(gross_amount) <> 0 or sum(returned_amount) <> 0 order by 1"
    ).fetchall()
    connection.execute("rollback")
    lines = list(EXPORTS[name].lines(tmp_path))
    assert cohorts == expected_cohorts(lines)
    assert by_day == expected_days(lines)


def expected_days(lines: list[Line]) -> list[tuple[Any, ...]]:
    days: dict[date, list[Line]] = defaultdict(list)
    for line in lines:
        days[line.day].append(line)
    return [(day, *sums(some)) for day, some in sorted(days.items()) if any(sums(some))]


def expected_cohorts(lines: list[Line]) -> list[tuple[Any, ...]]:
    """Month of the first sale, customers, gross, returned, net: of everybody who is known."""
    firsts: dict[str, date] = {}
    for line in sorted(lines, key=lambda line: line.day):
        if line.customer and line.gross > 0:
            firsts.setdefault(line.customer, line.day.replace(day=1))
    cohorts = []
    for month in sorted({*firsts.values()}):
        gross, returned = sums([line for line in lines if firsts.get(line.customer) == month])
        customers = sum(first == month for first in firsts.values())
        cohorts.append((month, customers, gross, returned, gross + returned))
    return cohorts


@pytest.mark.parametrize("name", EXPORTS)
def test_the_page_has_what_is_written(tmp_path: Path, name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    written(tmp_path, EXPORTS[name])
    assert block == (tmp_path / "sources.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXPORTS)
def test_every_mapping_says_why(tmp_path: Path, name: str) -> None:
    written(tmp_path, EXPORTS[name])
    lines = (tmp_path / "sources.yaml").read_text(encoding="utf-8").splitlines()
    mapped = [n for n, line in enumerate(lines) if re.match(r"    \w+:", line)]
    for number in mapped[mapped.index(lines.index("  columns:  # our name: theirs") + 1) :]:
        if lines[number].startswith("    ") and "columns" not in lines[number]:
            in_map = any(re.match("  status_map", line) for line in lines[:number])
            assert in_map or "#" in lines[number] or "#" in lines[number - 1], lines[number]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_no_header_is_that_of_two_systems(system: Any) -> None:
    columns = {name for m in system.columns for form in m.forms for name in columns_of(form)}
    header = {*columns, *system.signature}
    assert [one for one in SYSTEMS if one.fits(header)] == ([system] if system.signature else [])


def test_shopify_is_proposed_with_what_stands_on_every_line(tmp_path: Path) -> None:
    """The case `proposal_for_shopify`: Id and Total stand on the first line of an order only."""
    (tmp_path / "orders_export.csv").write_text(
        "Name,Email,Financial Status,Total,Created at,Lineitem quantity,Lineitem name,"
        "Lineitem price,Lineitem sku,Id\n"
        "#7,kim@mail.example,paid,48.50,2024-02-05 10:00:00 -0500,1,Jug,8.50,JUG,9001\n"
        "#7,kim@mail.example,,,2024-02-05 10:00:00 -0500,2,Plate,20.00,PLATE,\n"
    )
    file = tmp_path / "mine.yaml"
    file.write_text("calendar: {start: 2024-01-01}\norders:\n  path: orders_export.csv\n")
    (report,) = check_sources(load_sources(file))
    proposal = dict(report.proposal)
    assert proposal["order_id"] == "Name"
    assert "amount" not in proposal
    assert report.problem is not None
    proposed = "\n".join(in_words(report)).partition("if they are, add:\n")[2]
    assert "customer_key: email" in proposed
    # What is proposed loads, each row of it.
    columns = proposed.partition("columns:\n")[2]
    file.write_text(f"{file.read_text()}  customer_key: email\n  columns:\n{columns}\n")
    (report,) = check_sources(load_sources(file))
    assert (report.problem, report.rows, report.rejected) == (None, 2, 0)


def test_the_state_of_superstore_is_no_status(tmp_path: Path) -> None:
    orders = written(tmp_path, EXPORTS["Superstore"]).sources["orders"]
    assert not {"status", "unit_price"} & {*orders.columns, *orders.computed}
    # Nor where the system is not recognised.
    (tmp_path / "shop.csv").write_text(
        "Order ID,Order Date,State,Customer,SKU,Qty,Price\n1,2024-01-02,Kentucky,C1,S1,1,2\n"
    )
    result = teach(tmp_path / "shop.csv")
    assert result.exit_code == 0, result.output
    assert "status" not in result.output


def test_a_refunded_order_without_an_amount_is_returned(source: Source) -> None:
    header = "Name|Email|Financial Status|Created at|Lineitem quantity|Lineitem name|Lineitem price"
    row = {"Name": "#1", "Email": "a@mail.example", "Created at": "2024-01-05 10:00:00 -0500",
           "Lineitem quantity": "1", "Lineitem name": "Mug", "Lineitem price": "18.00"}  # fmt: skip
    content = table(header, [{**row, "Financial Status": "refunded"}, row]).encode()
    sources = written(source.folder / "in", Export({"orders.csv": content}, lambda folder: []))
    result = source.load(
        sources.sources["orders"], Window(date(2024, 1, 1), END), loaded_at=LOADED_AT
    )
    assert result.total.split == 2


def test_two_exports_that_overlap_are_snapshots(tmp_path: Path) -> None:
    head = {"Email": "a@mail.example", "Created at": "2024-01-05 10:00:00 -0500"}
    first = shopify_order({"Name": "#1", **head}, ("1", "Mug", "18.00", "MUG"))
    second = shopify_order({"Name": "#2", **head}, ("1", "Jug", "9.00", "JUG"))
    files = []
    for month, rows in (("01", first), ("02", [*first, *second])):
        files.append(tmp_path / f"orders_2024-{month}.csv")
        files[-1].write_text(table(SHOPIFY_HEADER, rows))
    result = teach(*files, out=tmp_path / "sources.yaml")
    assert result.exit_code == 0, result.output
    orders = load_sources(tmp_path / "sources.yaml").sources["orders"]
    assert (Path(orders.path).name, orders.order_snapshot) == ("orders_2024-0*.csv", True)
    # A pattern must name no other file.
    (tmp_path / "orders_2024-03.csv").write_text("something else\n")
    result = teach(*files)
    assert result.exit_code == 1
    assert "No pattern names orders_2024-01.csv" in result.output
