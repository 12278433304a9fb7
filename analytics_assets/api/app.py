"""The application: routes, errors, and what goes around them.

Belongs here: composition. Does not belong here: any one answer.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from analytics_assets.api.gate import Gate
from analytics_assets.api.problems import ProblemError
from analytics_assets.api.service import MOST_BODY, Service
from analytics_assets.api.tables import list_tables, read_table
from analytics_assets.settings import Settings

log = logging.getLogger(__name__)
KINDS = {404: "unknown-address", 405: "wrong-method", 413: "body-too-large"}
DETAILS = {
    404: "There is nothing at this address; GET /openapi.json describes what there is.",
    405: "This address does not know the method; the header Allow has those that it does.",
    413: f"The body has more than {MOST_BODY} bytes; send fewer records.",
}
REFUSED = "The request is refused; GET /openapi.json has its form."


def create_app(settings: Settings, *, loopback: bool = True) -> FastAPI:
    """The API over the published builds of a home.

    Args:
        settings: the settings.
        loopback: whether it listens on the loopback alone; only then it answers without keys.
    """
    service = Service(settings, loopback)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    # Their pages load scripts from other sites.
    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        max_body_size=MOST_BODY,
    )
    app.state.service = service
    app.add_route("/v1/tables", list_tables, methods=["GET"])
    app.add_route("/v1/tables/{name}", read_table, methods=["GET"])
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(Gate, service=service)
    if settings.api_cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.api_cors,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match"],
            expose_headers=["ETag", "Link", "X-Build", "X-Next-Cursor", "X-Request-ID"],
        )
    return app


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return error.response()


async def _http_error(_: Request, error: Exception) -> Response:
    """Errors of the framework, such as an unknown address, in our form."""
    assert isinstance(error, HTTPException)
    kind = KINDS.get(error.status_code, "refused")
    detail = DETAILS.get(error.status_code, REFUSED)
    return ProblemError(error.status_code, kind, detail, error.headers).response()


async def _unexpected(request: Request, error: Exception) -> Response:
    """What nobody foresaw: the log has it, the answer does not."""
    log.error("a request to %s failed", request.scope.get("path"), exc_info=error)
    return ProblemError(
        500, "failed", "The request failed in a way nobody foresaw; the operator's log has it."
    ).response()
