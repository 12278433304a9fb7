"""Dagster's records in PostgreSQL, at the address of the settings.

Belongs here: how the storage gets its address. Does not belong here: dagster.yaml (`instance`).

dagster.yaml names this class and nothing else: no secret is in the file, and none has to be in the
environment, as `env:` references of Dagster would want. Every process that opens the instance
reads the settings of its own environment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from analytics_assets.addresses import without_password
from analytics_assets.compat.postgres import keep_connections
from analytics_assets.settings import Settings, SettingsError, load_settings

BATCH = 1000  # events written at once


class RecordsError(RuntimeError):
    """The database with Dagster's records does not answer; the message says what to do."""


class PostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in the database that the settings name."""

    @classmethod
    def config_type(cls) -> Any:
        """No words in dagster.yaml."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PostgresStorage":
        """Called by Dagster to create the storage from dagster.yaml."""
        # Dagster reads from its environment whether it may batch events.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH))
        storage = cls(postgres_address(load_settings()), inst_data=inst_data)
        keep_connections(storage)
        return storage


def postgres_address(settings: Settings) -> str:
    """The address for SQLAlchemy, with the password encoded as it has to be.

    Raises:
        SettingsError: the settings name no server.
    """
    if settings.dagster_storage != "postgres":
        raise SettingsError(
            "dagster.yaml has Dagster's records in PostgreSQL, and ANALYTICS_DAGSTER_STORAGE is "
            f"{settings.dagster_storage}. Set it to postgres, and ANALYTICS_DAGSTER_POSTGRES_HOST, "
            "_USER and _PASSWORD; or run `analytics-assets prepare` to write the file again."
        )
    host = settings.dagster_postgres_host or ""
    socket = host.startswith("/")
    return URL.create(
        "postgresql+psycopg2",
        settings.dagster_postgres_user,
        settings.dagster_postgres_password,
        None if socket else host,
        settings.dagster_postgres_port,
        settings.dagster_postgres_database,
        {"host": host} if socket else {},
    ).render_as_string(hide_password=False)


@contextmanager
def clear_errors(settings: Settings) -> Iterator[None]:
    """Turn errors of the database into one that names it and says what to do.

    Raises:
        RecordsError: the database does not answer, or refuses what was asked.
    """
    try:
        yield
    except (DagsterPostgresException, DBAPIError) as error:
        cause = error.__cause__ if isinstance(error, DagsterPostgresException) else error
        first = next(iter(str(cause or error).splitlines()), type(error).__name__)
        words = without_password(first, postgres_address(settings))
        # Not chained: the statement and its parameters would follow.
        raise RecordsError(
            f"Dagster's database {settings.dagster_postgres_database} at "
            f"{settings.dagster_postgres_host}:{settings.dagster_postgres_port} does not answer as "
            f"it should: {words}. Check that it runs, and the settings "
            "ANALYTICS_DAGSTER_POSTGRES_*; then run the command again."
        ) from None
