"""The gate that every request passes: who asks, how often, how much; what was answered is recorded.

Belongs here: authentication, limits of requests, the audit log and the metrics, around the
application. Does not belong here: what a caller may read (`access`).
"""

import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from analytics_assets.api.access import LOCAL, Caller
from analytics_assets.api.keys import PREFIX, KeyFileError
from analytics_assets.api.problems import ProblemError
from analytics_assets.api.service import Record, Service

log = logging.getLogger(__name__)
FAILED = ProblemError(
    500, "failed", "The request failed in a way nobody foresaw; the operator's log has it."
)
NOT_RECORDED = ProblemError(
    503,
    "not-recorded",
    "The audit log cannot be written, so nothing is answered. The operator checks the disk of "
    "ANALYTICS_HOME.",
)
OPEN = ("/health", "/ready")
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
LONGEST_QUERY = 16_000


class Gate:
    """Middleware around the application.

    Args:
        app: the application.
        service: what its requests share.
        templates: path template of each endpoint: a path itself may have the id of a customer.
    """

    def __init__(self, app: ASGIApp, service: Service, templates: Mapping[Any, str]) -> None:
        self._app, self._service, self._templates = app, service, templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        record = scope["analytics"] = Record()
        request_id = uuid.uuid4().hex
        status, size, started, withheld = 500, 0, False, False
        monitor = self._service.monitor

        async def recorded(message: Message) -> None:
            nonlocal status, size, started, withheld
            if withheld:
                return
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                if not self._audit(scope, record, status, began, request_id):
                    # What is not recorded is not answered.
                    status, withheld, record.rows = NOT_RECORDED.status, True, 0
                    await NOT_RECORDED.response()(scope, receive, send)
                    return
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            elif message["type"] == "http.response.body":
                size += len(message.get("body", b""))
            await send(message)

        monitor.busy.inc()
        try:
            try:
                headers = Headers(scope=scope)
                record.caller = await self._admitted(scope, headers)
                await self._app(scope, receive, recorded)
            except ProblemError as problem:
                if started:
                    raise
                await problem.response()(scope, receive, recorded)
            except Exception:
                # The log has it, the answer does not.
                log.exception("a request to %s failed", self._route(scope))
                if started:
                    raise
                await FAILED.response()(scope, receive, recorded)
        finally:
            monitor.busy.dec()
            seconds = time.perf_counter() - began
            monitor.count(self._route(scope), status, seconds, record.rows, size)

    async def _admitted(self, scope: Scope, headers: Headers) -> Caller:
        """Who asks.

        Raises:
            ProblemError: nobody who may, or too often.
        """
        service = self._service
        if len(scope["query_string"]) > LONGEST_QUERY:
            raise ProblemError(
                414, "url-too-long", f"The query has more than {LONGEST_QUERY} bytes; shorten it."
            )
        if scope["path"] in OPEN:
            return LOCAL
        if service.open_to_all:
            _require_local_host(headers)
            return LOCAL
        kind, _, token = headers.get("authorization", "").partition(" ")
        address = (scope.get("client") or ("",))[0]
        caller = None
        if kind.lower() == "bearer" and token:
            if token.startswith(f"{PREFIX}_"):
                try:
                    caller = service.keys.caller(token)
                except KeyFileError as error:
                    raise ProblemError(
                        503,
                        "keys-unreadable",
                        "The keys cannot be read; the operator checks keys.json.",
                    ) from error
            elif service.tokens:
                # It may ask the issuer for its keys.
                caller = await anyio.to_thread.run_sync(service.tokens.caller, token)
        if caller is None:
            service.failures.take(address)
            raise ProblemError(
                401,
                "not-authenticated",
                "Send a valid key or token as `Authorization: Bearer ...`. Keys are made with "
                "`analytics-assets api-keys create`.",
                {"WWW-Authenticate": 'Bearer realm="analytics-assets"'},
            )
        service.rate.take(caller.id, caller.rate)
        return caller

    def _route(self, scope: Scope) -> str:
        return self._templates.get(scope.get("endpoint"), "unknown")

    def _audit(
        self, scope: Scope, record: Record, status: int, began: float, request_id: str
    ) -> bool:
        """Write the line of a request; whether that was possible."""
        if scope["path"] in OPEN:
            return True
        line: dict[str, Any] = {
            "request": request_id,
            "caller": record.caller.id,
            "client": (scope.get("client") or ("",))[0],
            "method": scope["method"],
            "route": self._route(scope),
            "status": status,
            "milliseconds": round((time.perf_counter() - began) * 1000, 2),
        }
        if record.build:
            line |= {"build": record.build, "rows": record.rows}
        if record.table:
            line |= {"table": record.table, "columns": record.columns, "filters": record.filters}
        try:
            self._service.audit.write(line)
        except OSError:
            log.exception("the audit log cannot be written")
            return False
        return True


def _require_local_host(headers: Headers) -> None:
    """Without keys, refuse requests that a browser sends for a page of another site.

    A name of that site may lead to this machine; the header Host then has the name.

    Raises:
        ProblemError: the host is no name of the loopback.
    """
    host = headers.get("host", "").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name not in LOCAL_HOSTS:
        raise ProblemError(
            421,
            "wrong-host",
            "Without keys, the API answers only to the host names localhost and 127.0.0.1. Make a "
            "key with `analytics-assets api-keys create`.",
        )
