"""Dagster's records in PostgreSQL, at the address of the settings.

Belongs here: how the storage gets its address. Does not belong here: dagster.yaml (`instance`).

dagster.yaml names this class and nothing else: no secret is in the file, and none has to be in the
environment, as `env:` references of Dagster would want. Every process that opens the instance
reads the settings of its own environment.
"""

from typing import Any

from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import URL

from analytics_assets.settings import Settings, SettingsError, load_settings


class PostgresStorage(DagsterPostgresStorage):
    """Runs, events and schedules in the database that the settings name."""

    @classmethod
    def config_type(cls) -> Any:
        """No words in dagster.yaml."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PostgresStorage":
        """Called by Dagster to create the storage from dagster.yaml."""
        return cls(postgres_address(load_settings()), inst_data=inst_data)


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
