"""The word `currency` of the source configuration: the reporting currency, and rates to it.

Belongs here: reading rates from YAML and CSV. Does not belong here: what is converted with them
(`currencies`).
"""

import csv
from datetime import date
from decimal import Decimal

from analytics_assets.sources.config import Currency, Rate
from analytics_assets.sources.entry import Entry


def currency_of(entry: Entry) -> Currency:
    """The reporting currency, with fixed rates or those of a file."""
    given = entry.mapping(("reporting", "rates", "rates_file"))
    if "reporting" not in given:
        raise entry.error("there is no `reporting`; name the currency of reports, such as USD.")
    rates = []
    if "rates" in given:
        for code in entry["rates"].mapping():
            value = entry["rates"][code].value()
            if type(value) not in (int, float) or not 0 < value < 1e8:
                raise entry["rates"][code].error(f"{value!r} is no rate above 0.")
            rates.append(Rate(code.upper(), f"{Decimal(str(value)):f}"))
    if "rates_file" in given:
        rates += _rates_of(entry["rates_file"])
    return Currency(entry["reporting"].text().upper(), tuple(rates))


def _rates_of(entry: Entry) -> list[Rate]:
    """The rates of a CSV file with the columns day, currency and rate."""
    path = entry.file.parent / entry.text()
    rates = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file), 2):
                rate = Decimal(row["rate"])
                if not 0 < rate < 10**8:
                    raise ValueError(f"line {number}: {rate} is no rate above 0")
                code = row["currency"].strip().upper()
                rates.append(Rate(code, f"{rate:f}", date.fromisoformat(row["day"].strip())))
    except KeyError as error:
        raise entry.error(
            f"{path} has no column {error}; it needs day, currency and rate."
        ) from None
    except (OSError, ValueError, ArithmeticError, TypeError) as error:
        raise entry.error(f"{path} cannot be read as rates: {error}") from None
    return rates
