"""What the commands share: settings, the instance, and readable errors.

Libraries are imported only when a command needs them, so `--help` is fast.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from analytics_assets.settings import Settings, SettingsError, load_settings


def read_settings() -> Settings:
    """Read the settings from the environment; a wrong one ends the command with its message."""
    with clear_errors(SettingsError):
        return load_settings()


def read_sources(settings: Settings) -> Any:
    """The configured sources."""
    from analytics_assets.sources.configured import configured_sources

    return configured_sources(settings)


def prepare(settings: Settings) -> None:
    """Create DAGSTER_HOME and dbt's manifest, and point this process at them."""
    from analytics_assets.assets.dbt.command import prepare_manifest
    from analytics_assets.automation.instance import prepare_instance

    os.environ["DAGSTER_HOME"] = str(prepare_instance(settings))
    os.environ["ANALYTICS_HOME"] = str(settings.home)
    prepare_manifest(settings)


@contextmanager
def open_instance(settings: Settings) -> Iterator[Any]:
    """Set up and open the project's Dagster instance."""
    from dagster import DagsterInstance

    prepare(settings)
    with ExitStack() as stack:
        if settings.dagster_storage == "postgres":
            from analytics_assets.automation.postgres_storage import RecordsError
            from analytics_assets.automation.postgres_storage import clear_errors as of_postgres

            stack.enter_context(clear_errors(RecordsError))
            stack.enter_context(of_postgres(settings))
        yield stack.enter_context(DagsterInstance.get())


@contextmanager
def project_errors() -> Iterator[None]:
    """Print errors that tell a user what to do as one line instead of a traceback."""
    from analytics_assets.assets.dbt.command import DbtProjectError
    from analytics_assets.sources.config import SourceConfigError
    from analytics_assets.sources.readers.base import SourceError
    from analytics_assets.warehouse.connection import WarehouseError

    with (
        _storage_errors(),
        clear_errors(
            SettingsError, SourceConfigError, SourceError, WarehouseError, DbtProjectError
        ),
    ):
        yield


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Errors of SQLite files, Dagster's or MLflow's, with what to do."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not (_is_damage(cause) or _is_of_the_disk(cause)):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        if _is_of_the_disk(cause):
            raise click.ClickException(
                f"The files of Dagster's runs and events cannot be read or written ({cause}). Is "
                "the disk full, or does the folder dagster of ANALYTICS_HOME belong to somebody "
                "else? Then run again."
            ) from error
        raise click.ClickException(
            f"A file of Dagster's runs and events is damaged ({cause}). Run analytics-assets "
            "doctor, which names it, and doctor --mend, which sets it aside; then run again."
        ) from error


def _is_damage(error: BaseException) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError | sqlite3.IntegrityError
    )


def _is_of_the_disk(error: BaseException) -> bool:
    """Whether SQLite could not read or write; a lock or a missing table is something else."""
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorname.startswith(
        ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
    )


@contextmanager
def clear_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Print errors of some kinds as one line instead of a traceback."""
    try:
        yield
    except kinds as error:
        raise click.ClickException(str(error)) from error
