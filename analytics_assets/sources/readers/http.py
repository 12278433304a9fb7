"""An HTTP API: its words of the configuration, and reading what was fetched from it.

Belongs here: which fetched files have rows of a window. Does not belong here: fetching
(`http_fetch`), where rows are kept (`landing`).
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.entry import Entry
from analytics_assets.sources.readers.base import Sample, Scan, SourceFile, mapped_columns
from analytics_assets.sources.readers.http_fetch import Fetcher, key_of
from analytics_assets.sources.readers.json_lines import JsonLinesReader
from analytics_assets.sources.readers.landing import UNDATED, Landing
from analytics_assets.sources.readers.places import place_of_file

LOOKED_AT_PAGES = 5
# Words of each kind of pages: required and optional.
PAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "next_link": (("path",), ()),
    "link_header": ((), ()),
    "cursor": (("path", "param"), ("more",)),
    "number": (("param",), ("first",)),
    "offset": (("param", "limit"), ("limit_param",)),
    "none": ((), ()),
}


def _url(entry: Entry) -> str:
    url = place_of_file(entry)
    if not url.startswith(("http://", "https://")) or not urlsplit(url).hostname:
        raise entry.error(f"{url!r} is no address of an API; write https://...")
    return url


def _pages(entry: Entry) -> dict[str, Any]:
    given = entry.mapping()
    if "by" not in given:
        raise entry.error(f"there is no `by`; write one of {', '.join(PAGES)}.")
    kind = entry["by"].one_of(entry["by"].text(), PAGES, "is no kind of pages.")
    required, optional = PAGES[kind]
    entry.mapping(("by", *required, *optional))
    if missing := [word for word in required if word not in given]:
        raise entry.error(f"pages by {kind} need `{missing[0]}`.")
    numbers = {"first": 0, "limit": 1}
    return {
        word: entry[word].whole_number(numbers[word]) if word in numbers else entry[word].text()
        for word in given
    }


def _params(entry: Entry) -> dict[str, Any]:
    params = {name: entry[name].value() for name in entry.mapping()}
    for name, value in params.items():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise entry[name].error("write a text or a number; put quotes around true and false.")
    return params


def require_fetchable(source: str, entry: Entry, options: dict[str, Any]) -> None:
    """Require what fetching needs: pages, and rows that can be told apart.

    Raises:
        SourceConfigError: it is not there.
    """
    declared = SOURCES[source]
    if not declared.identity or declared.numbered or "updated_at" not in declared.contract.columns:
        raise entry.error(
            f"{source} cannot be fetched from an API. Write its rows into files, and name those."
        )
    if "pages" not in options["options"]:
        raise entry.error("there is no `pages`; write how the API turns pages, such as {by: none}.")
    for name in (*declared.identity, "updated_at", str(declared.contract.time_column)):
        if name in options["computed"]:
            raise entry.error(f"{name} of an API has to be one column of its rows.")


class HttpReader(JsonLinesReader):
    """Rows of an HTTP API that answers with pages of JSON.

    What is new is fetched before changes are looked for and before a load, into files by day. A
    source needs a column `updated_at`, by which the API finds what is new. Its rows are those of
    the files: all versions of a row that were fetched.
    """

    format = kind = "http"
    suffixes: ClassVar[tuple[str, ...]] = ()
    words = ("url",)
    place_word = "url"
    fetches = True
    own_words = {
        "url": _url,
        "rows": Entry.text,
        "pages": _pages,
        "params": _params,
        "since": Entry.text,
        "since_format": lambda value: value.one_of(
            value.text(), ("iso", "epoch"), "is no choice here."
        ),
        "overlap_seconds": lambda value: value.whole_number(0),
        "token_env": Entry.text,
        "token_as": Entry.text,
    }

    @property
    def place(self) -> str:
        """The address."""
        return str(self.config.options["url"])

    @property
    def reads_whole(self) -> bool:
        """A window is in the files of its days."""
        return False

    def fetch(self, seconds: float | None = None) -> None:
        """Land what is new."""
        landing = self._landing(Path(self.config.path))
        with landing.locked(seconds or 600):
            Fetcher(self.config, landing).fetch(seconds)

    def files_of(self, window: Window | None, calendar: Calendar) -> list[SourceFile]:
        """The files with rows of a window. The first day also has the rows without a usable day."""
        begins = window is not None and window.start <= calendar.start
        return self.files(None if begins else window)

    def files(self, window: Window | None = None) -> list[SourceFile]:
        """The files of the days of a window; a row's text can be of a day next to the shop's."""
        landed = self._landing(Path(self.config.path)).files()
        near = timedelta(days=2)
        return [
            SourceFile(str(path), day, None, path.name)
            for day, path in landed.items()
            if window is None
            or day == UNDATED
            or window.start - near <= date.fromisoformat(day) < window.end + near
        ]

    @contextmanager
    def scan_files(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[SourceFile],
        scratch: Path,
        *,
        careful: bool = True,
    ) -> Iterator[Scan]:
        """The rows of some files.

        Raises:
            SourceError: no row that was ever fetched has a column that is needed.
        """
        if files:
            names = self._landing(Path(files[0].path).parent).state["names"]
            paths = [name for name in self._mapped.values() if name.startswith("$")]
            known = [path for path in paths if path.lstrip("$.").split(".")[0] in names]
            mapped_columns(self.config, [*names, *known], self.place)
        with super().scan_files(connection, files, scratch, careful=careful) as scan:
            yield scan

    def sample(self, calendar: Calendar) -> Sample:
        """The first pages, fetched for this."""

        @contextmanager
        def scanner(connection: duckdb.DuckDBPyConnection, scratch: Path) -> Iterator[Scan]:
            config = replace(self.config, path=str(scratch / "landed"))
            reader = HttpReader(config)
            fetcher = Fetcher(config, reader._landing(Path(config.path)))
            for rows, _ in islice(fetcher.pages(None), LOOKED_AT_PAGES):
                fetcher.land(rows, None)
            with reader.scan_files(connection, reader.files(), scratch) as scan:
                yield scan

        return Sample("an API", scanner, f"its first {LOOKED_AT_PAGES} pages, or all if fewer")

    def _landing(self, folder: Path) -> Landing:
        return Landing(folder, lambda text: key_of(self.config, json.loads(text)))

    def _state(self, path: str) -> str:
        """A file that was written is never changed."""
        return Path(path).name

    def _require_columns(self, columns: Sequence[str], where: str) -> None:
        """Rows of one day may lack a column that others have."""
