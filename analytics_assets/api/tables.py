"""The declared tables: their list, and their rows.

Belongs here: `/v1/tables` and `/v1/tables/{name}`. Does not belong here: questions that read
several tables (`questions`).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.access import Caller
from analytics_assets.api.answers import (
    answer_headers,
    answered,
    build_of,
    etag_of,
    is_known,
    known_parameters,
    not_modified,
    parameters_of,
    within,
)
from analytics_assets.api.columns import Column, columns_of, readable_tables
from analytics_assets.api.cursors import Cursor
from analytics_assets.api.formats import JSON, Format, Page, chosen
from analytics_assets.api.limits import Deadline
from analytics_assets.api.problems import ProblemError, bad_request
from analytics_assets.api.query import TableQuery, parse_query
from analytics_assets.api.service import Record, Service, record_of, service_of
from analytics_assets.schemas import Table
from analytics_assets.warehouse.builds import (
    OpenBuild,
)
from analytics_assets.warehouse.session import Session


async def list_tables(request: Request) -> Response:
    """The tables that the caller may read, with their columns and numbers of rows."""
    service, caller = service_of(request.scope), record_of(request.scope).caller
    known_parameters(request)
    with build_of(service.builds) as build:

        def listed(session: Session) -> tuple[dict[str, Any], int]:
            tables = [
                _described(table, caller, build, session.count(table.relation))
                for name, table in readable_tables().items()
                if name in build.columns and caller.columns(table)
            ]
            return {"tables": tables}, len(tables)

        return await answered(request, build, "tables", None, listed)


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
        page = looked_up(build, query) if form is JSON and place < 0 else None
        if page is None:
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
    """Note what is read, without values that say something of a person."""
    record.build = build.name
    record.columns = [column.name for column in query.columns]
    record.filters = [
        f"{c.column.name} {c.operator or 'eq'}"
        + ("" if c.column.person else f" {', '.join(map(str, c.values))[:200]}")
        for c in query.conditions
    ]


def looked_up(build: OpenBuild, query: TableQuery) -> Page | None:
    """The row of a key as JSON, where that is all that is asked; else None."""
    if len(query.conditions) != 1 or build.lookup is None:
        return None
    condition = query.conditions[0]
    if (
        condition.operator
        or (condition.column.name,) != query.table.key
        or query.table.name not in build.lookup.columns
    ):
        return None
    row = row_by_key(build, query.table, condition.values[0], query.columns)
    return Page([] if row is None else [orjson.dumps(row)], int(row is not None), None)


def row_by_key(
    build: OpenBuild, table: Table, key: str, columns: Sequence[Column]
) -> dict[str, Any] | None:
    """The row of a key in the lookup of a build that has one; None where there is none."""
    assert build.lookup
    text = build.lookup.row(table.name, key)
    if text is None:
        return None
    row = dict(zip(build.lookup.columns[table.name], orjson.loads(text), strict=True))
    return {column.name: row[column.name] for column in columns}


def _page(
    build: OpenBuild,
    query: TableQuery,
    place: int,
    form: Format,
    most_bytes: int,
    deadline: Deadline,
) -> Page:
    """A page, in some format; runs in a thread."""

    def read(session: Session) -> Page:
        after = None
        if place >= 0:
            after = (session.row(query.anchor_sql(), [place]), place)
            deadline.check()
        sql, parameters = query.page_sql(form.selected(query.columns), after)
        return form.write(session, sql, parameters, query.columns, query.limit, most_bytes)

    page: Page = within(build, deadline, read)
    return page


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


def _described(table: Table, caller: Caller, build: OpenBuild, rows: int) -> dict[str, Any]:
    return {
        "name": table.name,
        "group": table.group,
        "description": table.description,
        "key": list(table.key),
        "rows": rows,
        "href": f"/v1/tables/{table.name}",
        "columns": [
            {
                "name": column.name,
                "type": column.kind,
                "nullable": column.nullable,
                "person": column.person,
                "description": column.description,
            }
            for column in columns_of(table).values()
            if column.name in caller.columns(table) and column.name in build.columns[table.name]
        ],
    }
