"""Hooks into dagster-postgres: its storages keep their connections open.

By default they open a connection for each statement, and its handshake takes longer than most
statements. The web server's own optimization keeps one open, but does not notice that the server
was restarted: the next statement fails.
"""

from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine

OPEN = 1  # connections of a process for each of the three storages; more while they are in use
MORE = 20
RENEWED_AFTER = 3600  # seconds


def keep_connections(storage: DagsterPostgresStorage) -> None:
    """Keep connections open, and try them before they are used."""
    for part in (storage._event_log_storage, storage._run_storage, storage._schedule_storage):
        part._engine = create_pg_engine(
            storage.postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=OPEN,
            max_overflow=MORE,
            pool_recycle=RENEWED_AFTER,
            pool_pre_ping=True,
        )
