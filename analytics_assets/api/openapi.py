"""The description of the API for programs, as OpenAPI 3.1, made from the declared tables.

Belongs here: the document. Each table has an address of its own in it, with its columns as
parameters and as the schema of its rows. Does not belong here: the answers themselves.
"""

from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.answers import known_parameters
from analytics_assets.api.columns import columns_of, readable_tables
from analytics_assets.api.features import FEATURES_ANSWER
from analytics_assets.api.formats import FORMATS, JSON
from analytics_assets.api.json_schemas import (
    Json,
    filters,
    nullable,
    parameter,
    row_schema,
    value_schema,
)
from analytics_assets.api.live import LIVE_ANSWER
from analytics_assets.api.problems import PROBLEM_TYPE
from analytics_assets.api.query import DEFAULT_LIMIT
from analytics_assets.api.scoring import MOST_RECORDS, feature_columns
from analytics_assets.schemas import Table

TITLE, VERSION = "analytics_assets", "1"
DESCRIPTION = """Read-only access to the published build of customer analytics.

A build never changes: its number is in each answer, in `ETag` and in cursors. A page's cursor leads
to the next page of the same build, also after a newer one has been published; once the build is
gone, the answer is 410. Errors are `application/problem+json` and say what to do."""
PROBLEMS = {
    400: "A parameter is wrong",
    401: "The key or token is missing or not valid",
    403: "The scopes of the caller do not allow it",
    404: "There is no such thing in the build",
    406: "None of the types in Accept is known",
    410: "The build is gone",
    413: "The body is too large",
    414: "The query is too long",
    415: "The body is of another type",
    421: "Without keys, only names of the loopback are answered",
    422: "A record is wrong",
    429: "Too many requests; Retry-After says when to ask again",
    503: "Nothing is published, or the query took too long; Retry-After says when to ask again",
}
OF_ALL = (400, 401, 403, 406, 414, 421, 429, 503)


async def description(request: Request) -> Response:
    """The document."""
    known_parameters(request)
    return Response(_encoded(), media_type=JSON.media_type)


@cache
def _encoded() -> bytes:
    return orjson.dumps(document())


def document() -> Json:
    """The whole document."""
    paths: Json = {
        "/v1/tables": _get("Tables of the build", _object({"tables": _list_of(_ANY)})),
        "/v1/customers/{customer_id}": _get(
            "One customer: snapshot, prediction with reasons, segments, orders by month",
            _customer_schema(),
            [_CUSTOMER],
            (404, 410),
        ),
        "/v1/features/{customer_id}": _get(
            "Features of a customer for models, the newest or those of a date",
            FEATURES_ANSWER,
            [_CUSTOMER, parameter("as_of", _DATE)],
            (404,),
        ),
        "/v1/cohorts": _get(
            "Retention and revenue of each cohort",
            _object({"cohorts": _list_of(_cohort_schema())}),
            problems=(404,),
        ),
        "/v1/summary": _get("The newest figures", _SUMMARY, problems=(404,)),
        "/v1/churn/by-contract": _get(
            "Subscribers, and how many left, by the kind of contract",
            _object({"contracts": _list_of(_row("churn_by_contract"))}),
            problems=(404,),
        ),
        "/v1/quality": _get(
            "Scores of tables and results of checks by day",
            _object(
                {
                    "since": _DATE,
                    "until": _DATE,
                    "scores": _list_of(_row("data_quality_scores")),
                    "checks": _list_of(_row("data_quality_metrics")),
                }
            ),
            [
                parameter("asset", {"type": "string", "enum": sorted(readable_tables())}),
                parameter("since", _DATE),
                parameter("until", _DATE),
            ],
            (404,),
        ),
        "/v1/live": _get("Live numbers of the stream, and how old they are", LIVE_ANSWER),
        "/v1/predictions": {"post": _predict()},
        "/health": _get("Whether the process lives", _ANY, secured=False),
        "/ready": _get("Whether there is a build, and its age", _ANY, secured=False),
    }
    for name, table in readable_tables().items():
        paths[f"/v1/tables/{name}"] = {"get": _table(table)}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {
                "Problem": _PROBLEM,
                **{name: row_schema(table) for name, table in readable_tables().items()},
            },
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `analytics-assets api-keys`, or an OIDC token",
                }
            },
        },
        "security": [{"bearer": []}, {}],
    }


_ANY: Json = {"type": "object"}
_DATE: Json = {"type": "string", "format": "date", "examples": ["2024-01-31"]}
_CUSTOMER = parameter("customer_id", {"type": "string", "minLength": 1}, "path", "C000017")
_COUNT: Json = {"type": "integer", "minimum": 0}
_PROBLEM: Json = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do"},
    },
}


def _list_of(schema: Json) -> Json:
    return {"type": "array", "items": schema}


def _row(table: str) -> Json:
    return {"$ref": f"#/components/schemas/{table}"}


def _object(properties: Json, required: tuple[str, ...] = ()) -> Json:
    return {
        "type": "object",
        "properties": {"build": {"type": "string", "examples": ["000012"]}, **properties},
        "required": ["build", *required],
    }


_MONEY: Json = nullable({"type": "string", "examples": ["1234.5000"]})
_SUMMARY = _object(
    {
        "customers": {
            "type": "object",
            "properties": {"day": nullable(_DATE), "known": _COUNT, "segments": _list_of(_ANY)},
        },
        "sales": _list_of(
            {
                "type": "object",
                "properties": {
                    "since": nullable(_DATE),
                    "until": nullable(_DATE),
                    **dict.fromkeys(
                        ("gross_amount", "returned_amount", "net_amount", "margin_amount"), _MONEY
                    ),
                },
            }
        ),
        "churn": {
            "type": "object",
            "properties": {"day": nullable(_DATE), "bands": _list_of(_ANY)},
        },
        "quality": _list_of(_ANY),
    }
)
_REASON: Json = {
    "type": "object",
    "properties": {
        "feature": {"type": "string", "examples": ["days_since_last_order"]},
        "push": {"type": ["number", "null", "string"], "description": "In log-odds"},
    },
}


def _of_rows(table: str, leave_out: tuple[str, ...] = (), more: Json | None = None) -> Json:
    properties = row_schema(readable_tables()[table])["properties"]
    kept = {name: schema for name, schema in properties.items() if not name.startswith(leave_out)}
    return {"type": "object", "properties": {**kept, **(more or {})}}


def _customer_schema() -> Json:
    reasons = {"reasons": _list_of(_REASON)}
    segment = readable_tables()["customer_analytics_daily"]
    return _object(
        {
            "customer_id": {"type": "string"},
            "snapshot": _row("user_analytics"),
            "prediction": nullable(_of_rows("churn_predictions", ("reason_", "push_"), reasons)),
            "segments": _list_of(
                {
                    "type": "object",
                    "properties": {
                        "day": _DATE,
                        "segment": value_schema(columns_of(segment)["segment"]),
                    },
                }
            ),
            "months": _list_of(_of_rows("customer_sales", ("customer_id",))),
        },
        ("customer_id", "snapshot"),
    )


def _cohort_schema() -> Json:
    of_cohort = ("cohort_month", "customers_in_cohort")
    rows = _of_rows("customer_cohort_analysis")["properties"]
    return {
        "type": "object",
        "properties": {
            **{name: rows[name] for name in of_cohort},
            "months": _list_of(_of_rows("customer_cohort_analysis", of_cohort)),
        },
    }


def _table(table: Table) -> Json:
    columns = list(columns_of(table).values())
    names = [column.name for column in columns]
    parameters = [
        parameter(
            "columns",
            {
                "type": "array",
                "items": {"type": "string", "enum": names},
                "minItems": 1,
                "uniqueItems": True,
            },
        ),
        {
            **parameter(
                "sort",
                {
                    "type": "array",
                    "items": {"type": "string", "enum": [*names, *(f"-{n}" for n in names)]},
                    "minItems": 1,
                    "maxItems": 1,
                },
            ),
            "description": "Columns, separated by commas; a - before one sorts it downwards. Nulls "
            "come last. The key follows by itself.",
        },
        parameter(
            "limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": DEFAULT_LIMIT}
        ),
        {
            **parameter("cursor", {"type": "string"}),
            "description": "`next` of the page before, with the same filters, columns and sort",
        },
        {
            **parameter("build", {"type": "string", "pattern": "^[0-9]{6,12}$"}),
            "description": "Number of a build, to read several tables of one build",
        },
        *(one for column in columns for one in filters(column)),
    ]
    page = _object(
        {
            "rows": _list_of(_row(table.name)),
            "next": nullable({"type": "string", "description": "Cursor of the next page"}),
        },
        ("rows", "next"),
    )
    described = _operation(f"Rows of {table.name}", page, parameters, (404, 410))
    described["description"] = table.description
    described["responses"]["200"]["content"] = {
        JSON.media_type: {"schema": page},
        **{name: {"schema": {"type": "string"}} for name in FORMATS if name != JSON.media_type},
    }
    return described


def _get(
    summary: str,
    answer: Json,
    parameters: list[Json] | None = None,
    problems: tuple[int, ...] = (),
    *,
    secured: bool = True,
) -> Json:
    described = _operation(summary, answer, parameters or [], problems)
    if not secured:
        described["security"] = []
    return {"get": described}


def _operation(
    summary: str, answer: Json, parameters: list[Json], problems: tuple[int, ...]
) -> Json:
    return {
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": summary, "content": {JSON.media_type: {"schema": answer}}},
            **{
                str(status): {
                    "description": PROBLEMS[status],
                    "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status in sorted({*OF_ALL, *problems})
            },
            "304": {"description": "The caller has the answer already, by If-None-Match"},
        },
    }


def _predict() -> Json:
    properties = {}
    for name, column in feature_columns().items():
        least, most = column.bounds
        schema: Json = {"type": ["number", "null"] if column.nullable else "number"}
        schema |= {} if least is None else {"minimum": least}
        schema |= {} if most is None else {"maximum": most}
        properties[name] = {
            **schema,
            "description": column.description,
            "examples": [1 if least is None or least <= 1 else least],
        }
    record = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    answer = {
        "type": "object",
        "required": ["model", "predictions"],
        "properties": {
            "model": {
                "type": "object",
                "properties": {
                    "version": {"type": "integer", "description": "Version in the registry"},
                    "model_version": {"type": "string"},
                    "candidate": {"type": "string"},
                    "trained_to": {"type": "string"},
                    "horizon_days": {"type": "integer", "x-unit": "days"},
                },
            },
            "predictions": _list_of(
                {
                    "type": "object",
                    "properties": {
                        "churn_probability": {"type": "number", "minimum": 0, "maximum": 1},
                        "risk_band": {"type": "string"},
                        "reasons": _list_of(_REASON),
                    },
                }
            ),
        },
    }
    described = _operation(
        "Scores of posted records, by the champion", answer, [], (404, 413, 415, 422)
    )
    described["responses"].pop("304")
    body = {
        "type": "object",
        "required": ["records"],
        "additionalProperties": False,
        "properties": {
            "records": {
                "type": "array",
                "items": record,
                "minItems": 1,
                "maxItems": MOST_RECORDS,
            }
        },
    }
    return {
        **described,
        "requestBody": {"required": True, "content": {JSON.media_type: {"schema": body}}},
    }
