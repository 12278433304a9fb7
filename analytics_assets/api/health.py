"""Whether the API lives, whether it can answer, and its metrics.

Belongs here: `/health`, `/ready`, `/metrics`.
"""

import time
from datetime import UTC, datetime

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.access import METRICS
from analytics_assets.api.answers import build_of, known_parameters
from analytics_assets.api.service import record_of, service_of


async def health(request: Request) -> Response:
    """The process answers."""
    return _json({"status": "ok"})


async def ready(request: Request) -> Response:
    """There is a build, and it can be opened."""
    with build_of(service_of(request.scope).builds) as build:
        at = datetime.fromtimestamp(build.published_at, UTC)
        return _json(
            {
                "status": "ready",
                "build": build.name,
                "published_at": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
                "age_seconds": max(round(time.time() - build.published_at), 0),
            }
        )


async def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    record_of(request.scope).caller.require(METRICS)
    known_parameters(request)
    text = service_of(request.scope).monitor.text()
    return Response(
        text, headers={"Cache-Control": "no-store", "Content-Type": CONTENT_TYPE_LATEST}
    )


def _json(body: dict[str, object]) -> Response:
    return Response(
        orjson.dumps(body), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )
