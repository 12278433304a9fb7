"""The site: its pages, and what surrounds each of them.

Belongs here: the list of pages, and opening the build once for a page. Does not belong here: any
one page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st

from analytics_assets.dashboards import (
    churn,
    cohorts,
    customer,
    customers,
    overview,
    quality,
    subscriptions,
)
from analytics_assets.dashboards.filters import Filters, chosen
from analytics_assets.dashboards.labels import written
from analytics_assets.dashboards.links import CUSTOMER_PATH
from analytics_assets.dashboards.reader import Reader
from analytics_assets.settings import Settings, load_settings
from analytics_assets.warehouse.builds import Builds, NothingPublishedError

NAME = "Customer analytics"
# Our own: Streamlit fetches its icons for tabs of a browser from outside.
MARK = Path(__file__).with_name("mark.svg")


@dataclass(frozen=True)
class Page:
    """A page of the site.

    Attributes:
        title: what it is called.
        icon: a Material symbol.
        path: the end of its address.
        draw: draws it.
        filters: the shared filters that it uses.
        needs: a table without which it is not in the menu.
    """

    title: str
    icon: str
    path: str
    draw: Callable[[Reader, Filters, Settings], None]
    filters: tuple[str, ...] = ()
    needs: str | None = None


PAGES = (
    Page("Overview", "monitoring", "overview", overview.draw, ("period", "country")),
    Page("Cohorts", "grid_on", "cohorts", cohorts.draw, ("period", "country")),
    Page("Customers", "group", "customers", customers.draw, ("period", "country", "segment")),
    Page("One customer", "person", CUSTOMER_PATH, customer.draw),
    Page("Churn", "trending_down", "churn", churn.draw, ("country", "segment")),
    Page("Quality", "verified", "quality", quality.draw, ("period",)),
    Page(
        *("Subscriptions", "autorenew", "subscriptions", subscriptions.draw),
        needs="churn_by_contract",
    ),
)


@st.cache_resource(show_spinner=False)
def _settings() -> Settings:
    return load_settings()


@st.cache_resource(show_spinner=False)
def _builds() -> Builds:
    settings = _settings()
    return Builds(settings.published_dir, settings.memory_limit, settings.threads)


def show() -> None:
    """Draw the page that is asked for."""
    st.set_page_config(page_title=NAME, page_icon=str(MARK), layout="wide")
    st.logo(str(MARK), size="large")
    try:
        with _builds().use() as build:
            reader = Reader(build)
            _draw(_asked(reader), reader)
    except NothingPublishedError as error:
        _asked(None)
        st.title(NAME)
        st.warning(f"{error} `analytics-assets run` builds everything.", icon=":material/info:")


def _asked(reader: Reader | None) -> Page:
    """Draw the menu; the page that is asked for."""
    st.session_state["pages"] = {
        page.path: st.Page(
            partial(_drawn_by_the_site, page.path),
            title=page.title,
            icon=f":material/{page.icon}:",
            url_path=page.path,
            default=page is PAGES[0],
            visibility="hidden" if page.needs and _lacks(reader, page.needs) else "visible",
        )
        for page in PAGES
    }
    asked = st.navigation([*st.session_state["pages"].values()])
    return next(page for page in PAGES if page.title == asked.title)


def _lacks(reader: Reader | None, table: str) -> bool:
    return reader is None or bool(reader.lacks(table))


def _draw(page: Page, reader: Reader) -> None:
    with st.sidebar:
        filters = chosen(reader, page.filters)
        st.caption(
            f"Build {reader.build.name}, published {written(reader.published_at, 'time')}. "
            f"Data up to {written(reader.newest, 'date')}. Money is in the currency of the shop."
        )
    page.draw(reader, filters, _settings())


def _drawn_by_the_site(path: str) -> None:
    """What Streamlit would run for a page; the site draws it itself, with a build."""
