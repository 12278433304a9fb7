"""Deliveries whose marker has not come: what was loaded before stays until it has.

Belongs here: which loaded files are being delivered again, the days that they have rows of, and the
refusal to load these days. Does not belong here: the markers themselves (`readers.markers`).

A file without its marker that was never loaded does not exist yet: no day waits for it.
"""

from collections.abc import Collection
from datetime import date, timedelta

from analytics_assets.partitions import Window
from analytics_assets.quoting import literal
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.readers import reader_of
from analytics_assets.sources.readers.base import Reader, SourceError, SourceFile
from analytics_assets.warehouse.session import Session

REJECTED = TABLES["rejected_rows"]


def delivered_again(
    session: Session, reader: Reader, window: Window | None = None
) -> list[SourceFile]:
    """The files that wait for their markers and have been loaded before."""
    config = reader.config
    waiting = {file.name: file for file in reader.waiting(window)}
    if not waiting:
        return []
    loaded: set[str] = set()
    of_source = f"source = {literal(config.source)}"
    for table, where in ((config.contract.table, "true"), (REJECTED, of_source)):
        if session.exists(table):
            rows = session.rows(
                f"SELECT DISTINCT source_file FROM {table.relation} "
                f"WHERE {where} AND source_file IN (SELECT unnest(?))",
                [list(waiting)],
            )
            loaded |= {name for (name,) in rows}
    return [file for name, file in waiting.items() if name in loaded]


def days_of(config: SourceConfig, files: Collection[SourceFile]) -> set[date]:
    """The days that files of a day can have rows of."""
    days = {file.day for file in files if file.day}
    return {day - timedelta(days=back) for day in days for back in range(config.late_days + 1)}


def require_whole(session: Session, reader: Reader, window: Window | None) -> None:
    """Do not replace rows by those of a file that is being delivered again.

    Raises:
        SourceError: the rows of the window are in such a file.
    """
    again = delivered_again(session, reader, window)
    if again:
        config = reader.config
        raise SourceError(
            f"{config.source}: {again[0].name} was loaded before and is being delivered again: its "
            f"marker ({config.marker}) is missing, or older than the file. Nothing was loaded; "
            "load again when the delivery has ended, or write the marker."
        )


def waiting_files(sources: SourcesConfig) -> list[str]:
    """The files that wait for their markers, in words."""
    found = []
    for config in sources.sources.values():
        files = reader_of(config).waiting() if config.marker else []
        if files:
            wait = f"and {len(files) - 1:,} more wait" if len(files) > 1 else "waits"
            found.append(f"{config.source}: {files[0].name} {wait} for {config.marker}")
    return found
