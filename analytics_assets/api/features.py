"""Features of a customer for models elsewhere: the newest, or those of a date.

Belongs here: `/v1/features/{customer_id}`. Does not belong here: which features there are
(`serving.features`).
"""

from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.answers import (
    answer_headers,
    build_of,
    etag_of,
    is_known,
    known_parameters,
    not_modified,
    within,
)
from analytics_assets.api.columns import columns_of
from analytics_assets.api.formats import JSON, JSON_OPTIONS
from analytics_assets.api.json_schemas import Json, row_schema
from analytics_assets.api.problems import ProblemError
from analytics_assets.api.service import record_of, service_of
from analytics_assets.api.tables import row_by_key
from analytics_assets.schemas import Table
from analytics_assets.serving.features import (
    FEATURES,
    MONTHLY,
    NEWEST,
    described,
    features_as_of,
    is_expired,
)
from analytics_assets.warehouse.builds import OpenBuild

_TIME: Json = {"type": "string", "format": "date-time", "examples": ["2024-01-31T12:00:00Z"]}
_COLUMNS: Json = row_schema(MONTHLY)["properties"]
FEATURES_ANSWER: Json = {
    "type": "object",
    "required": ["build", "customer_id", "as_of", "expires_at", "is_expired", "features"],
    "properties": {
        "build": {"type": "string", "examples": ["000012"]},
        "customer_id": {"type": "string"},
        "as_of": {"type": "string", "format": "date", "description": "They see nothing from it on"},
        "expires_at": _TIME,
        "is_expired": {"type": "boolean", "description": "Too old, now or at the date asked for"},
        "features": {
            "type": "object",
            "properties": {name: _COLUMNS[name] for name in FEATURES},
            "additionalProperties": False,
        },
    },
}


async def features(request: Request) -> Response:
    """The newest features of a customer, or those that were known at a date."""
    service, record = service_of(request.scope), record_of(request.scope)
    words = known_parameters(request, "as_of")
    asked = columns_of(MONTHLY)["as_of"].parse(words["as_of"]) if "as_of" in words else None
    table = NEWEST if asked is None else MONTHLY
    record.table = table.name
    allowed = record.caller.columns(table)
    record.caller.require_columns(table, ["customer_id", "as_of"])
    names = record.columns = [name for name in FEATURES if name in allowed]
    customer = request.path_params["customer_id"]
    if len(customer) > 1000 or "\0" in customer:
        raise _unknown(asked)
    with build_of(service.builds) as build:
        record.build = build.name
        _require(build, table)
        if asked is None:
            row = _newest(build, customer)
        else:
            work = partial(features_as_of, customer=customer, as_of=asked)
            row = await service.queries.run(partial(within, build, work=work))
        if row is None:
            raise _unknown(asked)
        found = described(customer, row, build.name, service.settings.feature_days, names)
        at = datetime.now(UTC) if asked is None else _midnight(asked)
        expired = is_expired(found, at)
        etag = etag_of(build, "features", customer, asked, expired, names, found["expires_at"])
        if is_known(request, etag):
            return not_modified(etag)
        record.rows = 1
        body = {**found, "is_expired": expired}
        headers = answer_headers(etag, build.name)
        return Response(
            orjson.dumps(body, option=JSON_OPTIONS), headers=headers, media_type=JSON.media_type
        )


def _newest(build: OpenBuild, customer: str) -> dict[str, Any] | None:
    present = [c for c in columns_of(NEWEST).values() if c.name in build.columns[NEWEST.name]]
    return row_by_key(build, NEWEST, customer, present)


def _require(build: OpenBuild, table: Table) -> None:
    """Refuse if the build has no such features.

    Raises:
        ProblemError: nothing supplies them, or the build is of an older release.
    """
    by_key = build.lookup is not None and table.name in build.lookup.columns
    if table.name not in build.columns or (table is NEWEST and not by_key):
        raise ProblemError(
            404,
            "features-not-published",
            f"Build {build.name} has no {table.name} to take features from. The operator "
            "materializes it, and publishes again.",
        )


def _unknown(asked: date | None) -> ProblemError:
    when = "" if asked is None else " as of that date, or before it"
    return ProblemError(
        404,
        "unknown-customer",
        f"The build has no features of such a customer{when}. Look for the id in GET "
        "/v1/tables/user_analytics.",
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
