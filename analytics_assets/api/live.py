"""Live numbers of the stream, which are the only answer that no build has.

Belongs here: `/v1/live`. Does not belong here: reading Redis (`streaming.live_now`).
"""

from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.access import LIVE, READ_ALL
from analytics_assets.api.answers import known_parameters
from analytics_assets.api.formats import JSON, JSON_OPTIONS
from analytics_assets.api.json_schemas import Json, nullable
from analytics_assets.api.problems import ProblemError
from analytics_assets.api.service import record_of, service_of
from analytics_assets.streaming.live_now import Live, LiveAwayError

_TIME: Json = {"type": "string", "format": "date-time", "examples": ["2024-01-31T12:00:00Z"]}
_COUNT: Json = {"type": "integer", "minimum": 0}
_MONEY: Json = {"type": "string", "examples": ["1234.5000"]}
_WINDOW: Json = {"window_start": _TIME, "window_end": _TIME}
_AGE: Json = {
    "complete_to": {**nullable(_TIME), "description": "Later events are still counted"},
    "age_seconds": {**nullable(_COUNT), "x-unit": "seconds"},
}


def _object(properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": [*properties]}


LIVE_ANSWER = _object(
    {
        "status": {"type": "string", "enum": ["none", "waiting", "late", "running"]},
        "detail": {"type": "string", "description": "The status as a sentence, and what to do"},
        "seen_at": {**nullable(_TIME), "description": "When the stream was last seen at work"},
        "activity": _object(
            {
                **_AGE,
                "since": {**nullable(_TIME), "description": "Start of the oldest window"},
                "windows": {
                    "type": "array",
                    "items": _object(
                        {
                            **_WINDOW,
                            "event_type": {"type": "string"},
                            **dict.fromkeys(("events", "visitors", "sessions"), _COUNT),
                        }
                    ),
                },
            }
        ),
        "purchases": _object(
            {
                **_AGE,
                "hour": nullable(
                    _object({**_WINDOW, "purchases": _COUNT, "customers": _COUNT, "total": _MONEY})
                ),
            }
        ),
    }
)


async def live(request: Request) -> Response:
    """Events and purchases of the newest whole windows, and how old they are."""
    service, record = service_of(request.scope), record_of(request.scope)
    known_parameters(request)
    if READ_ALL not in record.caller.scopes:
        record.caller.require(LIVE)
    try:
        found = await service.queries.run(lambda _: service.live.read())
    except LiveAwayError as error:
        raise ProblemError(503, "live-away", str(error), {"Retry-After": "10"}) from error
    record.rows = len(found.activity) + (found.purchases is not None)
    body = orjson.dumps(_answer(found, datetime.now(UTC)), option=JSON_OPTIONS)
    return Response(body, headers={"Cache-Control": "no-store"}, media_type=JSON.media_type)


def _answer(found: Live, now: datetime) -> dict[str, Any]:
    return {
        "status": found.status,
        "detail": found.detail,
        "seen_at": _time(found.seen_at),
        "activity": {
            **_age(found.activity_to, now),
            "since": _time(found.activity_from),
            "windows": list(found.activity),
        },
        "purchases": {**_age(found.purchases_to, now), "hour": found.purchases},
    }


def _age(complete_to: datetime | None, now: datetime) -> dict[str, Any]:
    age = complete_to and max(round((now - complete_to).total_seconds()), 0)
    return {"complete_to": _time(complete_to), "age_seconds": age}


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None
