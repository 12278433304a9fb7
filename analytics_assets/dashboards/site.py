"""The site: its pages, and what surrounds each of them.

Belongs here: the list of pages, and opening the build once for a page. Does not belong here: any
one page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import streamlit as st

from analytics_assets.dashboards import overview
from analytics_assets.dashboards.filters import Filters, chosen
from analytics_assets.dashboards.labels import written
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
    """

    title: str
    icon: str
    path: str
    draw: Callable[[Reader, Filters, Settings], None]
    filters: tuple[str, ...]


PAGES = (
    Page("Overview", ":material/monitoring:", "overview", overview.draw, ("period", "country")),
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
    pages = {
        page.path: st.Page(
            partial(_ignored, page.path),
            title=page.title,
            icon=page.icon,
            url_path=page.path,
            default=page is PAGES[0],
        )
        for page in PAGES
    }
    asked = st.navigation(list(pages.values()))
    page = next(page for page in PAGES if page.title == asked.title)
    try:
        with _builds().use() as build:
            _draw(page, Reader(build))
    except NothingPublishedError as error:
        st.title(page.title)
        st.warning(f"{error} `analytics-assets run` builds everything.", icon=":material/info:")


def _draw(page: Page, reader: Reader) -> None:
    with st.sidebar:
        filters = chosen(reader, page.filters)
        st.caption(
            f"Build {reader.build.name}, published {written(reader.published_at, 'time')}. "
            f"Data up to {written(reader.newest, 'date')}. Money is in the currency of the shop."
        )
    page.draw(reader, filters, _settings())


def _ignored(path: str) -> None:
    """What Streamlit would run for a page; the site draws it itself, with a build."""
