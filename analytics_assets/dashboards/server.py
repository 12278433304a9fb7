"""The web server of the dashboards: Streamlit, closed to the outside.

Belongs here: the options of Streamlit and the headers of its answers. Does not belong here: pages
(`site`), or the command (`cli.dashboards`).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import streamlit
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.starlette import App
from streamlit.web.bootstrap import load_config_options

from analytics_assets.compat.streamlit import never_ask_for_the_own_address
from analytics_assets.dashboards.theme import theme_options

SCRIPT = Path(__file__).with_name("app.py")
LOOPBACK = ["localhost", "127.0.0.1", "::1"]
# The browser refuses what would leave this server, whatever a page says. Vega compiles expressions.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' ws: wss: blob: data:; worker-src 'self' blob:; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'self'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


class _Headers:
    """Adds headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in HEADERS}
                others = [pair for pair in message["headers"] if pair[0].lower() not in ours]
                message["headers"] = [*others, *HEADERS]
            await send(message)

        await self._app(scope, receive, with_headers)


def create_app(paths: Sequence[str], *, loopback: bool) -> App:
    """The application.

    Args:
        paths: the addresses of its pages.
        loopback: whether it listens on the loopback alone. Then it answers to no other host name,
            so that no web page can ask it under one.
    """
    load_config_options(
        {
            "browser.gatherUsageStats": False,
            "client.allowedOrigins": [],
            "client.disableDataExport": True,  # its CSV has formulas in it; each table has ours
            "client.showErrorDetails": "none",
            "client.showErrorLinks": False,
            "client.toolbarMode": "minimal",
            "global.developmentMode": False,
            "runner.magicEnabled": False,
            "server.allowedHosts": LOOPBACK if loopback else [],
            "server.fileWatcherType": "none",
            "server.headless": True,
            "server.maxUploadSize": 1,
            **theme_options(),
        }
    )
    never_ask_for_the_own_address()
    return App(
        SCRIPT,
        routes=[Route(f"/{path}", _document) for path in ("", *paths)],
        middleware=[Middleware(_Headers)],
    )


async def _document(request: Request) -> HTMLResponse:
    """Streamlit's document, told where its server is: otherwise each page asks below itself first.

    It finds out, but the browser logs an error for each address that is not there.
    """
    return HTMLResponse(_document_text(), headers={"cache-control": "no-cache"})


@cache
def _document_text() -> str:
    text = Path(streamlit.__file__).with_name("static").joinpath("index.html").read_text("utf-8")
    head = "<head>"
    assert text.count(head) == 1
    told = "<script>window.__streamlit = {BACKEND_BASE_URL: location.origin + '/'}</script>"
    return text.replace(head, head + told)
