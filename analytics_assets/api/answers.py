"""Answers from a build: their ETag, their headers, and those that are kept.

Belongs here: what all answers from a build share. Does not belong here: what they say.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.formats import JSON, JSON_OPTIONS, too_large
from analytics_assets.api.limits import Deadline
from analytics_assets.api.problems import ProblemError, bad_request
from analytics_assets.api.service import Service, record_of, service_of
from analytics_assets.warehouse.builds import (
    BuildGoneError,
    Builds,
    NothingPublishedError,
    OpenBuild,
)
from analytics_assets.warehouse.session import Session

MOST_PARAMETERS = 250
Work = Callable[[Session], tuple[dict[str, Any], int]]


class build_of:  # noqa: N801 (a context manager, used as a function)
    """A build that answers a request; its errors are answers.

    Raises:
        ProblemError: nothing is published, or the named build is gone.
    """

    def __init__(self, builds: Builds, name: str | None = None, mark: str | None = None) -> None:
        self._used = builds.use(name, mark)

    def __enter__(self) -> OpenBuild:
        try:
            return self._used.__enter__()
        except NothingPublishedError as error:
            raise ProblemError(
                503,
                "nothing-published",
                "Nothing is published yet. Materialize published_warehouse, then ask again.",
                {"Retry-After": "60"},
            ) from error
        except BuildGoneError as error:
            raise ProblemError(410, "build-gone", str(error)) from error

    def __exit__(self, *error: Any) -> None:
        self._used.__exit__(*error)


async def answered(
    request: Request, build: OpenBuild, question: str, parameters: Any, work: Work
) -> Response:
    """The answer to a question, from those that are kept or from the build.

    Args:
        request: the request.
        build: the build.
        question: name of the question.
        parameters: what it is about.
        work: gives the answer without its build, and its number of rows; runs in a thread.
    """
    service, record = service_of(request.scope), record_of(request.scope)
    record.build = build.name
    etag = etag_of(build, question, parameters, sorted(record.caller.scopes))
    if is_known(request, etag):
        return not_modified(etag)
    found = service.kept.get(etag)
    if found is None:
        found = await service.queries.run(partial(_body, service, build, work))
        service.kept.keep(etag, *found)
    body, record.rows = found
    return Response(body, headers=answer_headers(etag, build.name), media_type=JSON.media_type)


def within(build: OpenBuild, deadline: Deadline, work: Callable[[Session], Any]) -> Any:
    """What a function gives for a session that the deadline watches; runs in a thread."""
    with build.session() as session:
        deadline.watch(session)
        try:
            return work(session)
        finally:
            deadline.forget()


def parameters_of(request: Request) -> list[tuple[str, str]]:
    """Names and values of the URL's query, in order.

    Raises:
        ProblemError: there are too many, or they are no UTF-8.
    """
    text = request.scope["query_string"].decode("latin-1")
    if not text:
        return []
    try:
        return parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError as error:
        raise bad_request(
            "wrong-query",
            f"The query cannot be read; write at most {MOST_PARAMETERS} parameters, as UTF-8.",
        ) from error


def known_parameters(request: Request, *names: str) -> dict[str, str]:
    """The parameters of a question, each at most once.

    Raises:
        ProblemError: another is given, which would be silently of no effect, or one twice.
    """
    found: dict[str, str] = {}
    for name, value in parameters_of(request):
        if name not in names or name in found:
            there = f"has the parameters {', '.join(names)}, each once" if names else "has none"
            raise bad_request("unknown-parameter", f"This address {there}; leave others out.")
        found[name] = value
    return found


def etag_of(build: OpenBuild, *query: Any) -> str:
    """The name of an answer: the build, and what was asked of it."""
    asked = hashlib.sha256(repr(query).encode()).hexdigest()[:16]
    return f'"{build.name}-{build.mark}-{asked}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the caller has the answer already."""
    header = request.headers.get("if-none-match", "")
    return etag in (part.strip().removeprefix("W/") for part in header.split(","))


def not_modified(etag: str) -> Response:
    """The answer to a caller that has it already."""
    return Response(status_code=304, headers={"ETag": etag, "Cache-Control": "private, no-cache"})


def answer_headers(etag: str, build: str) -> dict[str, str]:
    """Headers of every answer from a build: it may be kept, and asked for again by its ETag."""
    return {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Vary": "Accept, Authorization",
        "X-Build": build,
    }


def _body(service: Service, build: OpenBuild, work: Work, deadline: Deadline) -> tuple[bytes, int]:
    answer, rows = within(build, deadline, work)
    body = orjson.dumps({"build": build.name, **answer}, option=JSON_OPTIONS)
    if len(body) > service.most_bytes:
        raise too_large(service.most_bytes)
    return body, rows
