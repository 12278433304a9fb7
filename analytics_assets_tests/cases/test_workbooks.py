"""Excel: sheets as people keep them."""
# ruff: noqa: DTZ001  (a sheet has no time zones)

import json
import sys
from datetime import date, datetime
from typing import Any

import pytest

from analytics_assets.sources.load import DayLoad, LoadResult
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.cases.test_text_files import configured, gross, rejected, zipped
from analytics_assets_tests.sources.conftest import ORDERS, Source
from analytics_assets_tests.sources.forms import workbook

DAY, TIME = date(2024, 1, 4), datetime(2024, 1, 5, 10, 30)
ROWS: list[list[Any]] = [
    ["A1", DAY, 13085, "MUG", 2, 3.5],
    ["A2", TIME, 4006381333931, "a\nb <c>", 1, 30.299999999999997],
]


def load(source: Source, sheets: dict[str, Any], **words: Any) -> LoadResult:
    source.write("orders.xlsx", workbook(**sheets))
    return source.load(configured(source, "orders.xlsx", **words))


def refused(source: Source, sheets: dict[str, Any], *said: str, **words: Any) -> None:
    with pytest.raises(SourceError) as caught:
        load(source, sheets, **words)
    for word in said:
        assert word in str(caught.value)


def test_numbers_dates_and_texts_are_what_the_sheet_shows(source: Source) -> None:
    result = load(source, {"Orders": [ORDERS, *ROWS]})
    assert result.total == DayLoad(2, 2, 0)
    assert source.rows(
        "SELECT ordered_at, customer_id, product_id, unit_price::VARCHAR, source_row "
        "FROM raw.raw_orders ORDER BY 1"
    ) == [
        (datetime(2024, 1, 4), "13085", "MUG", "3.5000", 1),
        (TIME, "4006381333931", "a\nb <c>", "30.3000", 2),
    ]


def test_dates_are_dates_whatever_form_texts_have_and_numbers_whatever_mark(
    source: Source,
) -> None:
    words = {"timestamp_formats": ["%d/%m/%Y"], "decimal": ",", "thousands": "."}
    load(source, {"Orders": [ORDERS, *ROWS]}, **words)
    assert source.rows("SELECT min(ordered_at), max(ordered_at) FROM raw.raw_orders") == [
        (datetime(2024, 1, 4), TIME)
    ]
    assert gross(source) == 37.3


def test_a_date_among_texts_is_iso_8601(source: Source) -> None:
    texts = [["A3", "never", "C", "P", 1, 1], ["A4", "2024-01-07", "C", "P", 1, 1]]
    result = load(source, {"Orders": [ORDERS, *ROWS, *texts]})
    assert result.total == DayLoad(4, 3, 1)
    assert source.rows("SELECT max(ordered_at) FROM raw.raw_orders") == [(datetime(2024, 1, 7),)]


def test_a_column_is_of_dates_only_where_it_is_in_all_files(source: Source) -> None:
    source.write("b.xlsx", workbook(O=[ORDERS, ["B1", "2024-01-09", "C", "P", 1, 1]]))
    source.write("a.xlsx", workbook(O=[ORDERS, *ROWS]))
    source.load(configured(source, "*.xlsx"))
    assert source.rows("SELECT order_id, ordered_at::VARCHAR FROM raw.raw_orders ORDER BY 1") == [
        ("A1", "2024-01-04 00:00:00"), ("A2", "2024-01-05 10:30:00"),
        ("B1", "2024-01-09 00:00:00")]  # fmt: skip


def test_the_sheet_is_chosen_by_name_and_never_guessed(source: Source) -> None:
    sheets = {"Notes": [["x"]], "Orders": [ORDERS, *ROWS]}
    refused(source, sheets, "has 2 sheets. Write `sheet`", "Notes, Orders")
    refused(source, sheets, "has no sheet 'orders'", "Notes, Orders", sheet="orders")
    load(source, sheets, sheet="Orders")
    assert gross(source) == 37.3
    load(source, {"hidden": ["Notes"], **sheets})  # the only one that shows
    assert gross(source) == 37.3


def test_lines_are_those_of_the_sheet(source: Source) -> None:
    sheet = [[], ["Report of January"], [], ORDERS, ROWS[0], ["x\ny", DAY, "C", "P", "z", 1], [],
             ROWS[1], ["Total", None, None, None, 3, 37.3]]  # fmt: skip
    result = load(source, {"Orders": sheet})
    assert result.total == DayLoad(4, 2, 2)
    assert "`skip_lines: 3`" in result.warnings[0]
    found = rejected(source)
    assert [row[:2] for row in found] == [(2, 6), (4, 9)]
    assert json.loads(found[0][3])["order_id"] == "x\ny"
    assert found[1][2] == "a line of totals (`skip_last` leaves it out)"
    result = load(source, {"Orders": sheet}, skip_last=1, skip_lines=3)
    assert result.total == DayLoad(3, 2, 1)


def test_without_its_reader_the_error_names_the_extra(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    refused(source, {"Orders": [ORDERS]}, "needs analytics_assets[excel]")


def test_what_is_no_workbook_is_an_error(source: Source) -> None:
    whole = workbook(Orders=[ORDERS, *ROWS])
    for content, said in (
        (whole[:-50], "cut off or broken"),
        (whole[:60] + b"?" * 40 + whole[100:], "Deliver it again"),
        (b"", "an empty file"),
        (b"a,b\n", "no zip archive"),
        (zipped(**{"o.csv": "a,b\n"}), r"a zip archive of o.csv. Let its name end in .zip"),
    ):
        source.write("orders.xlsx", content)
        with pytest.raises(SourceError, match=f"no whole Excel workbook.*{said}"):
            source.load(configured(source, "orders.xlsx"))


def test_an_empty_sheet_is_an_error(source: Source) -> None:
    refused(source, {"Orders": []}, "the file is empty")
