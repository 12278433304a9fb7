"""What people ask: one customer, cohorts, the newest figures, churn by contract, quality.

Belongs here: answers that read several tables or arrange their rows. Does not belong here: rows as
they are (`tables`).

A part of an answer whose table is not in the caller's scopes, or not in the build, is left out. A
question of which nothing is left is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from analytics_assets.api.access import Caller
from analytics_assets.api.answers import answered, build_of, known_parameters
from analytics_assets.api.columns import Column, columns_of
from analytics_assets.api.formats import objects
from analytics_assets.api.problems import ProblemError, bad_request
from analytics_assets.api.service import record_of, service_of
from analytics_assets.api.tables import row_by_key
from analytics_assets.questions.churn import bands
from analytics_assets.questions.customers import month_ends, segment_changes, segments
from analytics_assets.questions.quality import newest_scores
from analytics_assets.questions.sales import AMOUNTS, amounts_between, days_before, newest_day
from analytics_assets.schemas import TABLES
from analytics_assets.warehouse.builds import OpenBuild
from analytics_assets.warehouse.session import Session

CUSTOMERS, PREDICTIONS = "user_analytics", "churn_predictions"
ORDERS, SNAPSHOTS = "customer_sales", "customer_analytics_daily"
COHORTS, CONTRACTS = "customer_cohort_analysis", "churn_by_contract"
SALES, SCORES, CHECKS = "sales_daily", "data_quality_scores", "data_quality_metrics"
PERIOD = 30  # days
MOST_ROWS = 10_000
OF_COHORT = ("cohort_month", "customers_in_cohort")


async def customer(request: Request) -> Response:
    """One customer: snapshot, prediction with reasons, segments and orders by month."""
    service, record = service_of(request.scope), record_of(request.scope)
    known_parameters(request)
    record.table = CUSTOMERS
    record.caller.require_columns(TABLES[CUSTOMERS], ["customer_id"])
    customer_id = request.path_params["customer_id"]
    if len(customer_id) > 1000 or "\0" in customer_id:
        raise _no_customer()
    with build_of(service.builds) as build:
        work = partial(_customer, build, record.caller, customer_id)
        return await answered(request, build, "customer", customer_id, work)


async def cohorts(request: Request) -> Response:
    """Retention and revenue of each cohort, month by month."""
    record_of(request.scope).table = COHORTS
    return await _of_tables(request, (COHORTS,), _cohorts)


async def summary(request: Request) -> Response:
    """The newest figures: customers, sales, churn, quality."""
    return await _of_tables(request, (CUSTOMERS, SALES, PREDICTIONS, SCORES), _summary)


async def by_contract(request: Request) -> Response:
    """Subscribers and how many left, by the kind of contract."""
    record_of(request.scope).table = CONTRACTS
    return await _of_tables(request, (CONTRACTS,), _contracts)


async def quality(request: Request) -> Response:
    """Scores of tables and results of checks by day."""
    service, record = service_of(request.scope), record_of(request.scope)
    record.table = SCORES
    words = known_parameters(request, "asset", "since", "until")
    since, until = (
        columns_of(TABLES[SCORES])["day"].parse(words[word]) if word in words else None
        for word in ("since", "until")
    )
    asset = words.get("asset")
    if asset is not None and asset not in TABLES:
        raise bad_request("wrong-value", "asset names no table; use one that GET /v1/tables lists.")
    with build_of(service.builds) as build:
        tables = _readable(record.caller, build, (SCORES, CHECKS))
        work = partial(_quality, tables, asset, since, until)
        return await answered(request, build, "quality", (asset, since, until), work)


Readable = dict[str, list[Column]]


async def _of_tables(request: Request, names: Sequence[str], work: Any) -> Response:
    """The answer to a question without parameters that reads some tables."""
    service, record = service_of(request.scope), record_of(request.scope)
    known_parameters(request)
    with build_of(service.builds) as build:
        tables = _readable(record.caller, build, names)
        return await answered(request, build, work.__name__, None, partial(work, tables))


def _readable(caller: Caller, build: OpenBuild, names: Iterable[str]) -> Readable:
    """The columns that the caller may read, of the tables that the build has.

    Raises:
        ProblemError: that is nothing.
    """
    allowed = [name for name in names if caller.columns(TABLES[name])]
    if not allowed:
        caller.require_table(TABLES[next(iter(names))])
    found = {
        name: [
            column
            for column in caller.columns(TABLES[name]).values()
            if column.name in build.columns[name]
        ]
        for name in allowed
        if name in build.columns
    }
    if not found:
        raise ProblemError(
            404,
            "table-not-published",
            f"Build {build.name} has no {' and no '.join(allowed)}: nothing supplies it. GET "
            "/v1/tables lists the tables of the build.",
        )
    return found


def _has(tables: Readable, table: str, *names: str) -> bool:
    return {*names} <= {column.name for column in tables.get(table, ())}


def _no_customer() -> ProblemError:
    return ProblemError(
        404,
        "unknown-customer",
        "The build has no such customer. Look for the id in GET /v1/tables/user_analytics.",
    )


def _customer(
    build: OpenBuild, caller: Caller, customer_id: str, session: Session
) -> tuple[dict[str, Any], int]:
    tables = _readable(caller, build, (CUSTOMERS, PREDICTIONS, ORDERS, SNAPSHOTS))
    snapshot = _newest(build, session, CUSTOMERS, tables.get(CUSTOMERS, []), customer_id)
    if snapshot is None:
        raise _no_customer()
    answer: dict[str, Any] = {"customer_id": customer_id, "snapshot": snapshot}
    if PREDICTIONS in tables:
        scored = _newest(build, session, PREDICTIONS, tables[PREDICTIONS], customer_id)
        answer["prediction"] = scored and with_reasons(scored)
    if _has(tables, SNAPSHOTS, "snapshot_date", "segment", "customer_id"):
        answer["segments"] = _segments(build, session, customer_id)
    if _has(tables, ORDERS, "month", "customer_id"):
        columns = [column for column in tables[ORDERS] if column.name != "customer_id"]
        answer["months"] = objects(
            session,
            TABLES[ORDERS],
            columns,
            "WHERE t.customer_id = ? ORDER BY t.month",
            [customer_id],
        )
    return answer, 1


def _newest(
    build: OpenBuild, session: Session, name: str, columns: list[Column], customer_id: str
) -> dict[str, Any] | None:
    """The newest row of a customer, from the rows by key or from the table."""
    table = TABLES[name]
    if build.lookup and name in build.lookup.columns:
        return row_by_key(build, table, customer_id, columns)
    rows = objects(
        session,
        table,
        columns,
        "WHERE t.customer_id = ? AND t.snapshot_date = (SELECT max(snapshot_date) FROM "
        f"{table.relation})",
        [customer_id],
    )
    return rows[0] if rows else None


def with_reasons(scored: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of scores with its reasons as a list."""
    rest = {n: v for n, v in scored.items() if not n.startswith(("reason_", "push_"))}
    reasons = [
        {"feature": scored[f"reason_{n}"], "push": scored.get(f"push_{n}")}
        for n in (1, 2, 3)
        if scored.get(f"reason_{n}") is not None
    ]
    return {**rest, "reasons": reasons}


def _segments(build: OpenBuild, session: Session, customer_id: str) -> list[dict[str, Any]]:
    """The segment at the end of each month, and on the newest day, where it is another."""
    days = build.facts.get("month_ends")
    if days is None:
        # It reads the day of every row: once for a build.
        days = build.facts["month_ends"] = month_ends(session)
    return segment_changes(session, customer_id, days)


def _cohorts(tables: Readable, session: Session) -> tuple[dict[str, Any], int]:
    if not _has(tables, COHORTS, "cohort_month", "month_number"):
        raise ProblemError(
            403,
            "column-not-allowed",
            f"Cohorts need the columns cohort_month and month_number of {COHORTS}. Ask for a key "
            f"with the scope read:{COHORTS}.",
        )
    rows = objects(
        session, TABLES[COHORTS], tables[COHORTS], "ORDER BY t.cohort_month, t.month_number"
    )
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        of_cohort = {name: row.pop(name) for name in OF_COHORT if name in row}
        cohort = found.setdefault(of_cohort["cohort_month"], {**of_cohort, "months": []})
        cohort["months"].append(row)
    return {"cohorts": list(found.values())}, len(rows)


def _summary(tables: Readable, session: Session) -> tuple[dict[str, Any], int]:
    answer: dict[str, Any] = {}
    if _has(tables, CUSTOMERS, "snapshot_date", "segment"):
        found = segments(session)
        answer["customers"] = {
            "day": max((row["day"] for row in found), default=None),
            "known": sum(row["customers"] for row in found),
            "segments": [
                {"segment": row["segment"], "customers": row["customers"]} for row in found
            ],
        }
    if _has(tables, SALES, "order_date", *AMOUNTS):
        newest = newest_day(session)
        answer["sales"] = [_sales(session, newest, periods) for periods in (0, 1)]
    if _has(tables, PREDICTIONS, "snapshot_date", "risk_band", "churn_probability"):
        found = bands(session)
        answer["churn"] = {
            "day": found[0]["day"] if found else None,
            "bands": [{n: v for n, v in row.items() if n != "day"} for row in found],
        }
    if _has(tables, SCORES, "asset", "day", "score"):
        answer["quality"] = newest_scores(session)
    return answer, len(answer)


def _sales(session: Session, newest: date | None, periods: int) -> dict[str, Any]:
    """Amounts of the newest days with orders, or of as many days before."""
    if newest is None:
        return {"since": None, "until": None, **dict.fromkeys(AMOUNTS)}
    since, until = days_before(newest, PERIOD, periods)
    found = amounts_between(session, since, until)
    amounts = {name: None if value is None else str(value) for name, value in found.items()}
    return {"since": since, "until": until, **amounts}


def _contracts(tables: Readable, session: Session) -> tuple[dict[str, Any], int]:
    rows = objects(session, TABLES[CONTRACTS], tables[CONTRACTS], "ORDER BY t.contract")
    return {"contracts": rows}, len(rows)


def _quality(
    tables: Readable, asset: str | None, since: date | None, until: date | None, session: Session
) -> tuple[dict[str, Any], int]:
    if until is None:
        until = session.value("SELECT max(day) FROM quality.data_quality_scores") or date.max
    if since is None:
        since = max(until, date.min + timedelta(PERIOD)) - timedelta(PERIOD - 1)
    answer: dict[str, Any] = {"since": since, "until": until}
    rows = 0
    days = {SCORES: "t.day", CHECKS: "coalesce(t.day, t.evaluated_at::DATE)"}
    for name, key in ((SCORES, "scores"), (CHECKS, "checks")):
        if name not in tables:
            continue
        found = objects(
            session,
            TABLES[name],
            tables[name],
            f"WHERE {days[name]} BETWEEN ? AND ? AND (?::VARCHAR IS NULL OR t.asset = ?) "
            f"ORDER BY {days[name]}, t.asset LIMIT {MOST_ROWS + 1}",
            [since, until, asset, asset],
        )
        if len(found) > MOST_ROWS:
            raise bad_request(
                "answer-too-large",
                f"More than {MOST_ROWS} {key}. Ask for fewer days with since and until, or for one "
                "asset.",
            )
        answer[key] = found
        rows += len(found)
    return answer, rows
