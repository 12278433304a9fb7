"""Scores of posted records, by the champion.

Belongs here: checking the features of a record. Does not belong here: the maths of a score
(`churn.model`), or scores of the build's customers (`tables`).
"""

import math
from functools import cache
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.access import PREDICT
from analytics_assets.api.answers import known_parameters
from analytics_assets.api.champion import Champion
from analytics_assets.api.columns import Column, columns_of
from analytics_assets.api.limits import Deadline
from analytics_assets.api.problems import ProblemError
from analytics_assets.api.questions import with_reasons
from analytics_assets.api.service import record_of, service_of
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.churn import FEATURE_COLUMNS, RULE_COLUMN

MOST_RECORDS = 1000
MOST_BYTES = 1_000_000


async def predict(request: Request) -> Response:
    """Score posted records."""
    service, record = service_of(request.scope), record_of(request.scope)
    record.caller.require(PREDICT)
    known_parameters(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(
            415, "wrong-content-type", "Send application/json, and say so in Content-Type."
        )
    records = _records(await _body(request))
    answer = await service.queries.run(
        lambda deadline: _scored(service.champion, records, deadline)
    )
    record.rows = len(records)
    return Response(
        orjson.dumps(answer), headers={"Cache-Control": "no-store"}, media_type="application/json"
    )


@cache
def feature_columns() -> dict[str, Column]:
    """The features that a record may have, by name."""
    declared = columns_of(TABLES["churn_features"])
    return {name: declared[name] for name in (*FEATURE_COLUMNS, RULE_COLUMN)}


async def _body(request: Request) -> bytes:
    """The body; no more of it is read than is allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise ProblemError(
                413,
                "body-too-large",
                f"The body has more than {MOST_BYTES} bytes; send fewer records.",
                {"Connection": "close"},
            )
    return bytes(body)


def _wrong(detail: str) -> ProblemError:
    return ProblemError(422, "wrong-features", detail)


def _records(body: bytes) -> list[dict[str, Any]]:
    try:
        posted = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(400, "no-json", "The body is no JSON; correct it.") from error
    records = posted.get("records") if isinstance(posted, dict) else None
    if not isinstance(records, list) or len(posted) > 1 or not 0 < len(records) <= MOST_RECORDS:
        raise _wrong(
            f'Send {{"records": [...]}} with 1 to {MOST_RECORDS} records, and nothing else.'
        )
    for number, features in enumerate(records):
        if not isinstance(features, dict):
            raise _wrong(f"Record {number} is no object of features; correct it.")
    return records


def _scored(
    champion: Champion, records: list[dict[str, Any]], deadline: Deadline
) -> dict[str, Any]:
    import pandas as pd

    from analytics_assets.churn.model import reasons, risk_band

    model, version = champion.get()
    deadline.check()
    for number, features in enumerate(records):
        _check(number, features, model)
    frame = pd.DataFrame(records, columns=list(model.inputs), dtype=object)
    matrix = model.matrix(frame)
    probability = model.probability(matrix)
    rows = reasons(model, matrix, probability).assign(
        churn_probability=probability, risk_band=risk_band(probability)
    )
    return {
        "model": {
            "version": version.number,
            "model_version": model.version,
            "candidate": model.candidate,
            "trained_to": model.trained_to,
            "horizon_days": model.horizon_days,
        },
        "predictions": [with_reasons(row) for row in rows.to_dict("records")],
    }


def _check(number: int, features: dict[str, Any], model: Any) -> None:
    """Refuse a record whose features are not those of the model.

    Raises:
        ProblemError: one is missing, unknown, of another type or impossible.
    """
    missing = sorted({*model.inputs} - features.keys())
    if missing:
        raise _wrong(
            f"Record {number} lacks {', '.join(missing)}. Send every feature of the model; null "
            "where the customer has none."
        )
    known = feature_columns()
    if features.keys() - {*model.inputs, *known}:
        raise _wrong(
            f"Record {number} has features that there are not. The features are "
            f"{', '.join(model.inputs)}; leave others out."
        )
    for name in model.inputs:
        value, column = features[name], known.get(name)
        if value is None:
            if column and not column.nullable:
                raise _wrong(f"{name} of record {number} may not be null; give a number.")
            continue
        if name in model.categorical:
            if not isinstance(value, str):
                raise _wrong(f"{name} of record {number} has to be a text or null.")
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise _wrong(f"{name} of record {number} has to be a finite number or null.")
        least, most = column.bounds if column else (None, None)
        if (least is not None and value < least) or (most is not None and value > most):
            raise _wrong(
                f"{name} of record {number} is out of its range, "
                f"{'any' if least is None else least} to {'any' if most is None else most}."
            )


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
