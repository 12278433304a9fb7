"""Errors as answers: a status, a sentence on what is wrong, and what to do (RFC 9457).

Belongs here: the form of an error. Does not belong here: the errors themselves. No detail contains
SQL, a path of this machine or a value of a row.
"""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.responses import Response

PROBLEM_TYPE = "application/problem+json"


class ProblemError(Exception):
    """A request that is answered with an error.

    Args:
        status: HTTP status.
        kind: short name of the error, for programs.
        detail: what is wrong and what to do, for people.
        headers: further headers of the answer.
    """

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer."""
        body = {
            "type": f"urn:analytics-assets:{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(orjson.dumps(body), self.status, headers, PROBLEM_TYPE)


def bad_request(kind: str, detail: str) -> ProblemError:
    """An error of the caller's in the query."""
    return ProblemError(400, kind, detail)
