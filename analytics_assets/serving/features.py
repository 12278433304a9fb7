"""Features of customers for models elsewhere: the newest, and those of the past.

Belongs here: which columns are features, how long they are valid, and reading them from a build.
Does not belong here: how they are computed (dbt), or the copy in Redis (`feature_store`).

The newest are in the rows by key next to each build, so one is found without a query. Those of the
past are of churn_features, which models are trained on, and of the daily snapshots between two
months; both come from one macro.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics_assets.schemas import TABLES
from analytics_assets.schemas.churn import FEATURE_COLUMNS, RULE_COLUMN
from analytics_assets.warehouse.lookup import FILE, Lookup, json_value
from analytics_assets.warehouse.publish import current_build, open_build
from analytics_assets.warehouse.session import Session

if TYPE_CHECKING:
    import pyarrow as pa

NEWEST = TABLES["user_analytics"]
MONTHLY = TABLES["churn_features"]
DAILY = TABLES["customer_analytics_daily"]
FEATURES = (*FEATURE_COLUMNS, RULE_COLUMN)
ASKED = "asked_features"


class FeatureError(ValueError):
    """What was asked for cannot be answered; the message says what to do."""


def expires_at(as_of: date, valid_days: int) -> datetime:
    """When features are too old to be used."""
    return datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC) + timedelta(valid_days)


def described(
    customer: str, row: Mapping[str, Any], build: str, valid_days: int, names: Sequence[str]
) -> dict[str, Any]:
    """The features of a customer with what they are of; whether they are expired is not in it.

    Args:
        customer: the customer.
        row: values as JSON has them, `as_of` among them.
        build: the build.
        valid_days: days that they are valid from as_of on.
        names: the features to tell.
    """
    until = expires_at(date.fromisoformat(row["as_of"]), valid_days)
    return {
        "customer_id": customer,
        "as_of": row["as_of"],
        "expires_at": until.isoformat().replace("+00:00", "Z"),
        "build": build,
        "features": {name: row[name] for name in names if name in row},
    }


def is_expired(found: Mapping[str, Any], now: datetime) -> bool:
    """Whether features are too old at some time."""
    return now >= datetime.fromisoformat(found["expires_at"])


def newest_features(build: Path, valid_days: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """The newest features of every customer of a build.

    Args:
        build: file of the build.
        valid_days: days that they are valid from as_of on.

    Raises:
        FeatureError: the build has no rows by key.
    """
    path = build.with_name(FILE)
    lookup = Lookup(path) if path.exists() else None
    try:
        if lookup is None or NEWEST.name not in lookup.columns:
            raise FeatureError(
                f"The build {build.parent.name} has no features by customer. Publish again: "
                "materialize published_warehouse."
            )
        columns = lookup.columns[NEWEST.name]
        for customer, text in lookup.rows(NEWEST.name):
            row = dict(zip(columns, json.loads(text), strict=True))
            yield customer, described(customer, row, build.parent.name, valid_days, FEATURES)
    finally:
        if lookup:
            lookup.close()


def get_historical_features(
    published_dir: Path, customers: Sequence[str], as_of: date | Sequence[date]
) -> "pa.Table":
    """Features of customers as they were known, to train a model elsewhere.

    Args:
        published_dir: the folder of the published builds.
        customers: the customers; one may be there several times.
        as_of: one date for all, or one for each: nothing from that day on is used.

    Returns:
        A row for each customer asked for, in that order: customer_id, as_of, features_as_of (the
        newest date, up to as_of, that there are features of) and the features, all null where
        there are none.

    Raises:
        FeatureError: there are not as many dates as customers, or the build has no features.
        WarehouseError: nothing is published.
    """
    dates = [as_of] * len(customers) if isinstance(as_of, date) else [*as_of]
    if len(dates) != len(customers):
        raise FeatureError(
            f"{len(customers):,} customers and {len(dates):,} dates: give one date for all, or one "
            "for each."
        )
    import pyarrow as pa

    with open_build(current_build(published_dir)) as session:
        columns = _columns_of(session)
        session.register(
            ASKED,
            pa.table(
                {
                    "place": pa.array(range(len(dates)), pa.int64()),
                    "customer_id": pa.array([*customers], pa.string()),
                    "as_of": pa.array(dates, pa.date32()),
                }
            ),
        )
        select = ", ".join(["customer_id", "as_of", "features_as_of", *columns])
        sql = f"SELECT {select} FROM ({_as_known(session, columns)}) ORDER BY place"
        batches = list(session.batches(sql, 100_000))
        if not batches:
            raise FeatureError("No customers are named. Name at least one.")
        return pa.Table.from_batches(batches)


def features_as_of(session: Session, customer: str, as_of: date) -> dict[str, Any] | None:
    """The features of a customer as of a date, as JSON has them; None where there are none."""
    columns = _columns_of(session)
    session.execute(
        f"CREATE OR REPLACE TEMP TABLE {ASKED} AS "
        "SELECT 0 AS place, ?::VARCHAR AS customer_id, ?::DATE AS as_of",
        [customer, as_of],
    )
    values = ", ".join(json_value(name, MONTHLY.sql_types[name]) for name in columns)
    (row,) = session.rows(
        f"SELECT features_as_of, json_array({values})::VARCHAR FROM ({_as_known(session, columns)})"
    )
    if row[0] is None:
        return None
    return {"as_of": str(row[0]), **dict(zip(columns, json.loads(row[1]), strict=True))}


def _columns_of(session: Session) -> list[str]:
    """The features that the build has.

    Raises:
        FeatureError: it has none.
    """
    present = session.columns(MONTHLY) if session.exists(MONTHLY) else {}
    if not present:
        raise FeatureError(
            "The build has no churn_features. Materialize churn_features, then publish again."
        )
    return [name for name in FEATURES if name in present]


def _as_known(session: Session, columns: Sequence[str]) -> str:
    """Query of what was known of each customer asked for: the newest features up to the date."""
    select = ", ".join(["customer_id", "as_of", *columns])
    asked = f"customer_id IN (SELECT customer_id FROM {ASKED})"
    parts = f"SELECT {select} FROM {MONTHLY.relation} WHERE {asked}"
    daily = session.columns(DAILY) if session.exists(DAILY) else {}
    if {*columns} <= daily.keys():
        parts += (
            f" UNION ALL SELECT {select} FROM {DAILY.relation} AS daily WHERE {asked} AND NOT "
            f"EXISTS (SELECT 1 FROM {MONTHLY.relation} AS monthly WHERE "
            "monthly.customer_id = daily.customer_id AND monthly.as_of = daily.as_of)"
        )
    shown = ", ".join(f"known.{name}" for name in columns)
    return (
        f"SELECT asked.place, asked.customer_id, asked.as_of, known.as_of AS features_as_of, "
        f"{shown} FROM {ASKED} AS asked ASOF LEFT JOIN ({parts}) AS known "
        "ON asked.customer_id = known.customer_id AND asked.as_of >= known.as_of"
    )
