"""A server of support tickets: it turns pages, limits, fails, and changes meanwhile."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

SECRET = "s3cret-of-the-desk"
KINDS: dict[str, dict[str, Any]] = {
    "next_link": {"by": "next_link", "path": "links.next"},
    "link_header": {"by": "link_header"},
    "cursor": {"by": "cursor", "path": "meta.after", "param": "after"},
    "number": {"by": "number", "param": "page"},
    "offset": {"by": "offset", "param": "offset", "limit": 20},
}


def ticket(number: int, **words: Any) -> dict[str, Any]:
    """A ticket of January 2024: three a day."""
    opened = f"2024-01-{1 + number // 3 % 28:02d}T{8 + number % 3:02d}:00:00Z"
    return {
        "ticket_id": f"T{number}",
        "customer_id": f"C{number % 5}",
        "opened_at": opened,
        "resolved_at": None,
        "status": "open",
        "updated_at": opened,
        **words,
    }


class Api:
    """The server.

    Attributes:
        rows: all that it has.
        kind: how it turns pages.
        size: rows of a page.
        faults: what goes wrong with the request of a number, from 1: a status, or `dropped`,
            `cut` (an answer that ends early), `text` (no JSON), `elsewhere` (a redirection).
        meanwhile: is called after each page, with the number of the request.
        asked: the parameters of each request.
    """

    def __init__(self, url: str, kind: str = "cursor") -> None:
        self.url, self.kind, self.size = url, kind, 20
        self.rows: list[Any] = []
        self.faults: dict[int, Any] = {}
        self.meanwhile: Callable[[int], None] = lambda number: None
        self.asked: list[dict[str, str]] = []
        self.retry_after = "1"
        self.authorization = f"Bearer {SECRET}"
        self.next_host = url

    def page(self, params: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
        """The body and the headers of an answer."""
        since = params.get("updated_since", "")
        rows = [r for r in self.rows if not since or _changed(r) >= since]
        # Those that changed last come last, so a row that changes moves all after it.
        rows.sort(key=_changed)
        if self.kind in ("number", "offset"):
            first = int(params.get("offset", 0))
            first = first or (int(params.get("page", 1)) - 1) * self.size
        else:
            first = int(params.get("after", 0))
        body: dict[str, Any] = {"tickets": rows[first : first + self.size]}
        headers = {}
        if first + self.size < len(rows):
            after = {**params, "after": str(first + self.size)}
            link = f"{self.next_host}/api/tickets?{urlencode(after)}"
            body["meta"] = {"after": after["after"]}
            if self.kind == "next_link":
                body["links"] = {"next": link}
            if self.kind == "link_header":
                headers["Link"] = f'<{link}>; rel="next"'
        return body, headers

    @property
    def words(self) -> dict[str, Any]:
        """The configuration."""
        return {
            "url": f"{self.url}/api/tickets",
            "rows": "tickets",
            "pages": KINDS[self.kind],
            "since": "updated_since",
            "token_env": "DESK_TOKEN",
        }


def _changed(row: Any) -> str:
    return str(row.get("updated_at")) if isinstance(row, dict) else ""


@contextmanager
def served(kind: str = "cursor") -> Iterator[Api]:
    """The server, on a port of its own."""
    api = Api("", kind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            params = {name: values[0] for name, values in parse_qs(parts.query).items()}
            api.asked.append(params)
            number = len(api.asked)
            fault = api.faults.get(number, api.faults.get(0))
            if fault == "dropped":
                self.close_connection = True
                self.connection.close()
                return
            if self.headers.get("Authorization") != api.authorization:
                fault = 401
            if fault == "elsewhere":
                self.answer(302, b"", {"Location": "http://127.0.0.1:1/stolen"})
                return
            if isinstance(fault, int):
                body = f'{{"error": "{self.headers.get("Authorization")}"}}'.encode()
                self.answer(fault, body, {"Retry-After": api.retry_after} if fault == 429 else {})
                return
            page, headers = api.page(params)
            body = b"<html>Please log in" if fault == "text" else json.dumps(page).encode()
            self.answer(200, body, headers, cut=fault == "cut")
            api.meanwhile(number)

        def answer(
            self, status: int, body: bytes, headers: dict[str, str], cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            if cut:
                self.close_connection = True

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(timestamp or time.mktime((2024, 2, 1, 0, 0, 0, 0, 0, 0)), usegmt=True)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = api.next_host = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
