"""Amounts of several currencies are never added."""

from datetime import date

import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.sources.conftest import ORDERS, Source, csv_of

QUARTER = Calendar(date(2024, 1, 1), date(2024, 4, 1))
FEBRUARY = Window(date(2024, 2, 1), date(2024, 3, 1))


def orders(*rows: dict[str, str]) -> str:
    return csv_of(*rows, columns=(*ORDERS, "Currency"))


def test_two_currencies_in_one_file_are_an_error_that_names_both(source: Source) -> None:
    """The column is taken by its name, without a word of the configuration."""
    source.write("orders.csv", orders({"Currency": "EUR"}, {"Currency": "SEK"}))
    with pytest.raises(SourceError, match=r"amounts are in EUR and SEK\. .* never added"):
        source.load(source.config("orders.csv"))


def test_a_second_currency_in_a_later_load_is_an_error_too(source: Source) -> None:
    source.write("orders.csv", orders({"Currency": "EUR"}))
    source.load(source.config("orders.csv"), calendar=QUARTER)
    february = "2024-02-03 10:00:00"
    source.write("later.csv", orders({"Currency": "usd", "ordered_at": february}))
    with pytest.raises(SourceError, match="EUR and USD"):
        source.load(source.config("later.csv"), FEBRUARY, QUARTER)
    assert source.rows("SELECT currency FROM raw.raw_orders") == [("EUR",)]


def test_one_currency_in_any_case_is_one(source: Source) -> None:
    source.write("orders.csv", orders({"Currency": "EUR"}, {"Currency": "eur"}, {"Currency": ""}))
    assert source.load(source.config("orders.csv")).total.accepted == 3
