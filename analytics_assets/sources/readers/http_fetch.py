"""Fetching rows from an HTTP API, page by page, from where the last fetch ended.

Belongs here: requests, pages, the cursor, and when a pass over the pages is whole. Does not belong
here: where rows are kept (`landing`), reading them (`http`).

dlt's client does the requests: it turns the pages, waits as long as a server asks (Retry-After),
and tries again after errors of the server and of the network.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from analytics_assets.addresses import SecretError, secret
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import SourceError, UnreachableError
from analytics_assets.sources.readers.landing import UNDATED, Landing

PASSES = 5
ATTEMPTS = 5
BACKOFF = 1.0  # seconds before the second attempt, doubled for each further one
LONGEST_WAIT = 300.0  # seconds between two attempts
TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two bytes
AHEAD = timedelta(days=1)  # a time of change later than the server's clock by more is none


class Fetcher:
    """Fetches one source."""

    def __init__(self, config: SourceConfig, landing: Landing) -> None:
        self._config, self._landing = config, landing
        self._words = config.options
        self._changed, self._opened = (
            config.source_names[name] for name in ("updated_at", str(config.contract.time_column))
        )

    def fetch(self, seconds: float | None = None) -> None:
        """Land what is new since the cursor.

        Rows that change meanwhile move others across the borders of pages, and such a row is then
        on no page. So a pass over several pages is repeated until it finds none that the one before
        had missed. Only then the cursor moves.

        Args:
            seconds: give up when it takes longer; what was landed stays.

        Raises:
            SourceError: the API answers otherwise than declared, or refuses.
            UnreachableError: it does not answer, or the time is over.
        """
        deadline = time.monotonic() + seconds if seconds else None
        cursor = self._landing.state["cursor"]
        since = self._words.get("since")
        top_before = None
        for _ in range(PASSES):
            top, missed, count = cursor, False, 0
            for rows, now in self.pages(cursor, seconds):
                if deadline and count and time.monotonic() > deadline:
                    raise UnreachableError(
                        f"{self._config.source}: {self._place} is not fetched to its end within "
                        f"{seconds:.0f} seconds. Load it with analytics-assets run, which has no "
                        "such limit."
                    )
                count += bool(rows)
                new = self.land(rows, cursor)
                for row in rows:
                    changed = self._time_of_change(row, now)
                    if changed is not None and (top is None or _order(changed) > _order(top)):
                        top = changed
                    if top_before is not None and key_of(self._config, row) in new:
                        missed |= changed is None or _order(changed) <= _order(top_before)
            if not since or count <= 1 or (top_before is not None and not missed):
                self._landing.commit({}, set(), top if top_before is None else top_before)
                self._landing.clean()
                return
            top_before = top
        raise UnreachableError(
            f"{self._config.source}: {PASSES} passes over the pages of {self._place} each found "
            "rows that the one before had missed. What was found is kept. Load again; if it stays "
            "so, declare `pages` by a cursor, or `params` that sort by a column that does not "
            "change."
        )

    def land(self, rows: list[Any], cursor: Any) -> set[str]:
        """Commit the rows of a page; the keys of those that were not there."""
        by_day: dict[str, list[str]] = {}
        names: set[str] = set()
        for row in rows:
            by_day.setdefault(_day_of(row, self._opened), []).append(json.dumps(row))
            names |= row.keys() if isinstance(row, dict) else set()
        return self._landing.commit(by_day, names, cursor)

    def pages(self, cursor: Any, seconds: float | None = None) -> Iterator[tuple[list[Any], Any]]:
        """The rows of each page, and the time of the server.

        Raises:
            SourceError: as `fetch`.
        """
        try:
            from dlt.common.configuration.specs.runtime_configuration import RuntimeConfiguration
            from dlt.sources.helpers import requests
            from dlt.sources.helpers.rest_client import RESTClient
        except ImportError as error:
            raise SourceError(
                f"{self._config.source}: reading an API needs analytics_assets[http]."
            ) from error
        session = requests.Client(
            request_timeout=TIMEOUT,
            raise_for_status=False,
            status_codes=(429, *range(500, 600)),
            request_max_attempts=ATTEMPTS,
            request_backoff_factor=BACKOFF,
            request_max_retry_delay=min(LONGEST_WAIT, seconds or LONGEST_WAIT),
            retry_condition=_is_cut_off,
        ).session
        url, path = self._words["url"], self._words.get("rows", "$")
        client = RESTClient(url, session=session, config=RuntimeConfiguration())
        params = dict(self._words.get("params", {}))
        if cursor is not None and "since" in self._words:
            params[self._words["since"]] = self._since(cursor)
        before: list[Any] = []
        try:
            for page in client.paginate(
                url,
                params=params,
                auth=self._auth(),
                paginator=_paginator(self._words["pages"]),
                data_selector=path,
                hooks={"response": [_refuse]},
                allow_redirects=False,
            ):
                rows = next((one.value for one in _path(path).find(page.response.json())), None)
                if not isinstance(rows, list):
                    raise SourceError(
                        f"{self._config.source}: a page of {self._place} has no list at {path}. "
                        "Correct `rows` in the source configuration."
                    )
                self._require_progress(before, rows)
                goes_on = page.paginator.has_next_page
                if goes_on and urlsplit(page.request.url)[:2] != urlsplit(url)[:2]:
                    raise SourceError(
                        f"{self._config.source}: {self._place} names a next page on another host. "
                        "The secret is not sent there: check `url` in the source configuration."
                    )
                yield rows, page.response.headers.get("Date")
                before = rows
        except requests.RequestException as error:
            # Not chained: the message may have the address of a proxy, and so its password.
            raise self._error(error) from None
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(
                f"{self._config.source}: a page of {self._place} does not fit `pages` "
                f"({type(error).__name__}). Correct it in the source configuration."
            ) from None

    @property
    def _place(self) -> str:
        return str(self._words["url"])

    def _since(self, cursor: Any) -> Any:
        """The value of the parameter: somewhat before the cursor.

        Rows can become visible a little later than their time of change.
        """
        overlap = self._words.get("overlap_seconds", 300)
        if isinstance(cursor, int | float):
            return max(cursor - overlap, 0)
        moment = _order(cursor) - timedelta(seconds=overlap)
        if self._words.get("since_format") == "epoch":
            return int(moment.timestamp())
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    def _auth(self) -> Any:
        variable = self._words.get("token_env")
        if variable is None:
            return _Unchanged()
        try:
            token = secret(variable)
        except SecretError as error:
            way_out = str(error)
            raise SourceError(f"{self._config.source}: {way_out}") from None
        if not token:
            raise SourceError(
                f"{self._config.source}: the variable {variable} is not set. Set it to the secret "
                f"of the API, or {variable}_FILE to a file that contains it."
            )
        return _Token(token, self._words.get("token_as", "bearer"))

    def _require_progress(self, before: list[Any], rows: list[Any]) -> None:
        """Refuse a page that cannot follow the one before.

        Raises:
            SourceError: it is the same again, or comes after a page that was not full.
        """
        pages = self._words["pages"]
        if rows and rows == before:
            raise SourceError(
                f"{self._config.source}: {self._place} answers with the same page again. Correct "
                "`pages` in the source configuration."
            )
        if pages["by"] == "offset" and rows and 0 < len(before) < pages["limit"]:
            raise SourceError(
                f"{self._config.source}: {self._place} gives {len(before)} rows a page, not "
                f"{pages['limit']}, so rows between pages would be lost. Correct `limit` of `pages`"
                " in the source configuration."
            )

    def _time_of_change(self, row: Any, now: str | None) -> Any:
        """When a row was changed; None where that cannot be read, or lies in the future."""
        value = value_of(row, self._changed)
        try:
            order = _order(value)
        except (ValueError, TypeError, OverflowError):
            return None
        if isinstance(order, datetime):
            clock = parsedate_to_datetime(now) if now else datetime.now(UTC)
            return value if order <= clock + AHEAD else None
        return value

    def _error(self, error: Any) -> SourceError:
        status = getattr(error.response, "status_code", None)
        what = f"{self._config.source}: {self._place}"
        if status is None or status == 429 or status >= 500 or status < 300:
            why = f"status {status}" if status else type(error).__name__
            return UnreachableError(
                f"{what} does not answer as it should ({why}, tried {ATTEMPTS} times). What was "
                "fetched is kept. Look whether the API is up, then load again."
            )
        if status in (401, 403):
            return SourceError(
                f"{what} refuses the secret (status {status}). Set the variable of `token_env` to "
                "one that may read, and check `token_as`."
            )
        return SourceError(
            f"{what} answers with status {status}. Correct `url`, `params` or `pages` in the "
            "source configuration."
        )


class _Unchanged:
    """No authentication; without any, requests would look into the user's .netrc."""

    def __call__(self, request: Any) -> Any:
        return request


class _Token(_Unchanged):
    def __init__(self, token: str, kind: str) -> None:
        self._token, self._kind = token, kind

    def __call__(self, request: Any) -> Any:
        if self._kind == "basic":
            from requests.auth import HTTPBasicAuth

            return HTTPBasicAuth(*self._token.partition(":")[::2])(request)
        bearer = self._kind == "bearer"
        name, prefix = ("Authorization", "Bearer ") if bearer else (self._kind, "")
        request.headers[name] = prefix + self._token
        return request


def value_of(row: Any, name: str) -> Any:
    """The value of a member, or at a JSON path; None where there is none."""
    if not isinstance(row, dict):
        return None
    if not name.startswith("$"):
        return row.get(name)
    return next((match.value for match in _path(name).find(row)), None)


@cache
def _path(name: str) -> Any:
    from dlt.common.jsonpath import compile_path

    return compile_path(name)


def key_of(config: SourceConfig, row: Any) -> str:
    """What identifies a version of a row: its identifiers and its time of change, or all of it."""
    names = (*config.declared.identity, "updated_at")
    values = [value_of(row, config.source_names[name]) for name in names]
    return json.dumps(row if None in values else values)


def _day_of(row: Any, name: str) -> str:
    """The day of a row as its text begins."""
    text = str(value_of(row, name))[:10]
    try:
        return date.fromisoformat(text).isoformat() if re.match(r"\d{4}-\d\d-", text) else UNDATED
    except ValueError:
        return UNDATED


def _order(value: Any) -> Any:
    """A time of change in a form that can be compared.

    Raises:
        ValueError: a text is no time in ISO 8601.
        TypeError: it is neither text nor a number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(type(value).__name__)
    if not isinstance(value, str):
        return value
    moment = datetime.fromisoformat(value)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def _paginator(pages: dict[str, Any]) -> Any:
    from dlt.sources.helpers.rest_client import paginators

    match pages["by"]:
        case "next_link":
            return paginators.JSONLinkPaginator(pages["path"])
        case "link_header":
            return paginators.HeaderLinkPaginator()
        case "cursor":
            more = pages.get("more")
            return paginators.JSONResponseCursorPaginator(
                pages["path"], pages["param"], stop_after_empty_page=not more, has_more_path=more
            )
        case "number":
            return paginators.PageNumberPaginator(
                pages.get("first", 1), page_param=pages["param"], total_path=None
            )
        case "offset":
            return paginators.OffsetPaginator(
                pages["limit"],
                offset_param=pages["param"],
                limit_param=pages.get("limit_param", "limit"),
                total_path=None,
            )
    return paginators.SinglePagePaginator()


def _refuse(response: Any, *_: Any, **__: Any) -> None:
    """Raise for every answer that is no page, also for a redirection: it would get the secret."""
    if response.status_code >= 300:
        from requests import HTTPError

        raise HTTPError(response=response)


def _is_cut_off(response: Any, error: BaseException | None) -> bool:
    """Whether an answer is no whole JSON, so that it is asked for again."""
    if response is None or response.status_code >= 300:
        return False
    try:
        response.json()
    except ValueError:
        return True
    return False
