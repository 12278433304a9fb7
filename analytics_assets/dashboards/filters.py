"""Filters that hold across pages: a link to a page carries them.

Belongs here: what can be chosen, and what the choice means. Does not belong here: filters of one
page alone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

import streamlit as st

from analytics_assets.dashboards.labels import between
from analytics_assets.dashboards.reader import Reader
from analytics_assets.questions.customers import countries
from analytics_assets.questions.sales import first_day
from analytics_assets.schemas.marts import SEGMENTS

ALL = "all"
DAYS = {"30 days": 30, "90 days": 90}
MONTHS = {"12 months": 12}
PERIODS = [*DAYS, *MONTHS, ALL]
UNUSED = "This page does not use it."


@dataclass(frozen=True)
class Filters:
    """What a reader has chosen.

    Attributes:
        since: first day.
        until: last day, the newest of the build.
        before: first and last day of the same length before; None if there is no such.
        country: a country; None for all.
        segment: a segment; None for all.
    """

    since: date
    until: date
    before: tuple[date, date] | None
    country: str | None
    segment: str | None

    @property
    def days(self) -> str:
        """The days as text."""
        return between(self.since, self.until)

    @property
    def where(self) -> str:
        """The country as text, for captions."""
        return f"country {self.country}" if self.country else "all countries"


def chosen(reader: Reader, used: Collection[str]) -> Filters:
    """Draw the filters; those that a page does not use cannot be changed on it.

    Args:
        reader: the reader.
        used: names of the filters that the page uses: period, country, segment.
    """
    newest = reader.newest or date(1970, 1, 1)
    oldest = (reader.newest and reader.ask(first_day)) or newest
    known = [] if reader.lacks("dim_customers") else reader.ask(countries)
    period = _choice("period", "Days", PERIODS, 2, used)
    country = _choice("country", "Country", [ALL, *known], 0, used)
    segment = _choice("segment", "Segment", [ALL, *SEGMENTS], 0, used)
    since, before = days_of(period, oldest, newest)
    return Filters(
        *(since, newest, before),
        None if country == ALL else country,
        None if segment == ALL else segment,
    )


def days_of(period: str, oldest: date, newest: date) -> tuple[date, tuple[date, date] | None]:
    """The first day of a period, and the period before; months are whole calendar months."""
    if period in DAYS:
        since = newest - timedelta(DAYS[period] - 1)
        before = (since - timedelta(DAYS[period]), since - timedelta(1))
    elif period in MONTHS:
        since = _first(newest, MONTHS[period] - 1)
        before = (_first(since, MONTHS[period]), _a_year_before(newest))
    else:
        return oldest, None
    return max(since, oldest), before if before[0] >= oldest else None


def _first(day: date, months: int) -> date:
    """The first day of the month that is some months before."""
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


def _a_year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28)


def _choice(name: str, label: str, options: list[str], default: int, used: Collection[str]) -> str:
    texts = {ALL: {"period": "all days"}.get(name, "all"), **{o: f"last {o}" for o in PERIODS[:-1]}}
    found: str = st.selectbox(
        label,
        options,
        index=default,
        format_func=lambda option: texts.get(option, option),
        key=name,
        bind="query-params",
        disabled=name not in used,
        help=None if name in used else UNUSED,
    )
    return found if name in used else options[default]
