"""The declared tables: their list, and their rows.

Belongs here: `/v1/tables` and `/v1/tables/{name}`. Does not belong here: questions that read
several tables (`questions`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.access import Caller
from analytics_assets.api.columns import columns_of, readable_tables
from analytics_assets.api.cursors import Cursor
from analytics_assets.api.formats import JSON, Format, Page, chosen
from analytics_assets.api.limits import Deadline
from analytics_assets.api.problems import ProblemError, bad_request
from analytics_assets.api.query import TableQuery, parse_query
from analytics_assets.api.service import Record, Service, record_of, service_of
from analytics_assets.schemas import Table
from analytics_assets.warehouse.builds import (
    BuildGoneError,
    Builds,
    NothingPublishedError,
    OpenBuild,
)

MOST_PARAMETERS = 60


async def list_tables(request: Request) -> Response:
    """The tables that the caller may read, with their columns and numbers of rows."""
    service, record = service_of(request.scope), record_of(request.scope)
    refuse_parameters(request)
    with build_of(service.builds) as build:
        record.build = build.name
        etag = etag_of(build, "tables", sorted(record.caller.scopes))
        if is_known(request, etag):
            return not_modified(etag)
        tables = [
            table
            for name, table in readable_tables().items()
            if name in build.columns and record.caller.columns(table)
        ]
        counts = await service.queries.run(partial(_counts, build, tables))
        listed = [_described(table, record.caller, build, counts) for table in tables]
        record.rows = len(listed)
        body = orjson.dumps({"build": build.name, "tables": listed})
        return Response(body, headers=answer_headers(etag, build.name), media_type=JSON.media_type)


async def read_table(request: Request) -> Response:
    """Rows of a table."""
    service, record = service_of(request.scope), record_of(request.scope)
    table = named_table(request.path_params["name"])
    record.table = table.name
    caller = record.caller
    caller.require_table(table)
    form = chosen(request.headers.get("accept", ""))
    pairs = parameters_of(request)
    allowed = list(caller.columns(table).values())
    query = parse_query(table, pairs, allowed, service.settings.api_page_rows)
    cursor = service.cursors.read(query.cursor) if query.cursor is not None else None
    if cursor and query.build not in (None, cursor.build):
        raise bad_request(
            "wrong-cursor", "The cursor is of another build than build names; leave build out."
        )
    name, mark = (cursor.build, cursor.mark) if cursor else (query.build, None)
    with build_of(service.builds, name, mark) as build:
        query = in_build(query, build, named="columns" in dict(pairs))
        if cursor and cursor.query != query.fingerprint:
            raise bad_request(
                "wrong-cursor",
                "The cursor is of another query. Repeat the filters, columns and sort of the page "
                "before, or start again without the cursor.",
            )
        record_query(record, query, build)
        place = cursor.place if cursor else -1
        etag = etag_of(build, query.fingerprint, query.limit, place, form.media_type)
        if is_known(request, etag):
            return not_modified(etag)
        page = await service.queries.run(
            partial(_page, build, query, place, form, service.most_bytes)
        )
        record.rows = page.rows
        return _answer(request, service, build, query, form, page, etag)


def named_table(name: str) -> Table:
    """A table by its name.

    Raises:
        ProblemError: there is none.
    """
    table = readable_tables().get(name)
    if table is None:
        raise ProblemError(
            404, "unknown-table", "There is no such table; GET /v1/tables lists them."
        )
    return table


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


def in_build(query: TableQuery, build: OpenBuild, *, named: bool) -> TableQuery:
    """The query over the columns that the build has.

    Raises:
        ProblemError: the build has not got the table, or a column that was named.
    """
    present = build.columns.get(query.table.name)
    if present is None:
        raise ProblemError(
            404,
            "table-not-published",
            f"Build {build.name} has no {query.table.name}: nothing supplies it. GET /v1/tables "
            "lists the tables of the build.",
        )
    asked = {condition.column.name for condition in query.conditions}
    asked |= {column.name for column, _ in query.sort}
    asked |= {column.name for column in query.columns} if named else set()
    if missing := sorted(asked - present.keys()):
        raise bad_request(
            "column-not-published",
            f"Build {build.name} has no column {', '.join(missing)}: it is older than the column. "
            "Publish again, or leave it out.",
        )
    if all(column.name in present for column in query.columns):
        return query
    return replace(query, columns=tuple(c for c in query.columns if c.name in present))


def record_query(record: Record, query: TableQuery, build: OpenBuild) -> None:
    """Note what is read, without values of personal columns."""
    record.build = build.name
    record.columns = [column.name for column in query.columns]
    record.filters = [
        f"{c.column.name} {c.operator or 'eq'}"
        + ("" if c.column.personal else f" {', '.join(map(str, c.values))[:200]}")
        for c in query.conditions
    ]


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


def refuse_parameters(request: Request) -> None:
    """Refuse all parameters: one that is not known would be silently of no effect.

    Raises:
        ProblemError: there are some.
    """
    if request.scope["query_string"]:
        raise bad_request("unknown-parameter", "This address has no parameters; leave them out.")


def etag_of(build: OpenBuild, *query: Any) -> str:
    """The name of an answer: the build, and what was asked of it."""
    asked = hashlib.sha256(repr(query).encode()).hexdigest()[:16]
    return f'"{build.name}-{build.mark}-{asked}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the caller has the answer already."""
    header = request.headers.get("if-none-match", "")
    return bool(header) and (
        header.strip() == "*"
        or etag in (part.strip().removeprefix("W/") for part in header.split(","))
    )


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


def _page(
    build: OpenBuild,
    query: TableQuery,
    place: int,
    form: Format,
    most_bytes: int,
    deadline: Deadline,
) -> Page:
    """A page, in some format; runs in a thread."""
    with build.session() as session:
        deadline.watch(session)
        try:
            after = None
            if place >= 0:
                after = (session.row(query.anchor_sql(), [place]), place)
                deadline.check()
            sql, parameters = query.page_sql(form.selected(query.columns), after)
            return form.write(session, sql, parameters, query.columns, query.limit, most_bytes)
        finally:
            deadline.forget()


def _answer(
    request: Request,
    service: Service,
    build: OpenBuild,
    query: TableQuery,
    form: Format,
    page: Page,
    etag: str,
) -> Response:
    headers = answer_headers(etag, build.name)
    cursor = None
    if page.last is not None:
        cursor = service.cursors.write(Cursor(build.name, build.mark, query.fingerprint, page.last))
        pairs = [pair for pair in parameters_of(request) if pair[0] != "cursor"]
        following = urlencode([*pairs, ("cursor", cursor)])
        headers["Link"] = f'<{request.url.path}?{following}>; rel="next"'
        headers["X-Next-Cursor"] = cursor
    body = page.body
    if form is JSON:
        end = orjson.dumps(cursor)
        body = [b'{"build":"', build.name.encode(), b'","rows":[', *body, b'],"next":', end, b"}"]
    return Response(b"".join(body), headers=headers, media_type=form.media_type + form.parameters)


def _counts(build: OpenBuild, tables: Sequence[Table], deadline: Deadline) -> dict[str, int]:
    with build.session() as session:
        deadline.watch(session)
        try:
            return {table.name: session.count(table.relation) for table in tables}
        finally:
            deadline.forget()


def _described(
    table: Table, caller: Caller, build: OpenBuild, counts: dict[str, int]
) -> dict[str, Any]:
    return {
        "name": table.name,
        "group": table.group,
        "description": table.description,
        "key": list(table.key),
        "rows": counts[table.name],
        "href": f"/v1/tables/{table.name}",
        "columns": [
            {
                "name": column.name,
                "type": column.kind,
                "nullable": column.nullable,
                "personal": column.personal,
                "description": column.description,
            }
            for column in columns_of(table).values()
            if column.name in caller.columns(table) and column.name in build.columns[table.name]
        ],
    }
