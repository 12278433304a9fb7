"""The application: routes, errors, and what goes around them.

Belongs here: composition. Does not belong here: any one answer.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from analytics_assets.api.features import features
from analytics_assets.api.gate import Gate
from analytics_assets.api.health import health, metrics, ready
from analytics_assets.api.live import live
from analytics_assets.api.openapi import description
from analytics_assets.api.problems import ProblemError
from analytics_assets.api.questions import by_contract, cohorts, customer, quality, summary
from analytics_assets.api.scoring import predict
from analytics_assets.api.service import Service
from analytics_assets.api.tables import list_tables, read_table
from analytics_assets.settings import Settings

KINDS = {404: "unknown-address", 405: "wrong-method"}
DETAILS = {
    404: "There is nothing at this address; GET /openapi.json describes what there is.",
    405: "This address does not know the method; the header Allow has those that it does.",
}
ROUTES = {
    "/v1/customers/{customer_id:path}": customer,
    "/v1/features/{customer_id:path}": features,
    "/v1/tables/{name}": read_table,
    "/v1/tables": list_tables,
    "/v1/cohorts": cohorts,
    "/v1/summary": summary,
    "/v1/churn/by-contract": by_contract,
    "/v1/quality": quality,
    "/v1/live": live,
    "/health": health,
    "/ready": ready,
    "/metrics": metrics,
    "/openapi.json": description,
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

    # The description is ours; the pages that FastAPI has for it load scripts from other sites.
    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False},
        redirect_slashes=False,
    )
    app.state.service = service
    for path, answer in ROUTES.items():
        app.add_route(path, answer, methods=["GET"])
    app.add_route("/v1/predictions", predict, methods=["POST"])
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http_error)
    templates = {answer: path for path, answer in ROUTES.items()}
    app.add_middleware(Gate, service=service, templates={**templates, predict: "/v1/predictions"})
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
