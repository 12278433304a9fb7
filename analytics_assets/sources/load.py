"""Loading a source: one pass over its rows, accepted and rejected ones written together.

Belongs here: the transaction of a load, its limits and its ledger. Does not belong here: reading
(`readers`), typing and row rules (`typed`), counting rows (`stage`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources import contents
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.limits import require_within_limits
from analytics_assets.sources.readers import FileReader, reader_of
from analytics_assets.sources.stage import Staged, staged
from analytics_assets.warehouse.connection import Warehouse, relation_kind
from analytics_assets.warehouse.windows import replace_window, window_predicate


@dataclass(frozen=True)
class DayLoad:
    """What became of the rows of one day (of the whole source, where it has no days)."""

    read: int
    accepted: int
    rejected: int


@dataclass(frozen=True)
class LoadResult:
    """Outcome of a load: per day, the rejected rows by reason, and what a person should know."""

    days: dict[date | None, DayLoad]
    reasons: dict[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> DayLoad:
        """Sums over the days."""
        loads = self.days.values()
        return DayLoad(
            sum(day.read for day in loads),
            sum(day.accepted for day in loads),
            sum(day.rejected for day in loads),
        )


def load_source(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    calendar: Calendar,
    window: Window | None,
    loaded_at: datetime,
    *,
    cache: Path | None = None,
    any_volume: bool = False,
) -> LoadResult:
    """Replace a window of a source's raw table, its rejected rows and its ledger.

    One statement reads the whole window, whatever its length. The caller holds the transaction.

    Args:
        connection: a connection within a transaction.
        config: the source.
        calendar: the days that the sources cover.
        window: the days; None for a source without days.
        loaded_at: stamped on every row.
        cache: where it is remembered what files hold, and copies of files are made beside.
        any_volume: load even where the volume has changed by more than the source allows.

    Raises:
        SourceError: the source is missing, unreadable or malformed, or passes a limit; nothing is
            written.
    """
    reader = reader_of(config)
    scratch = cache.parent if cache else None
    with staged(
        connection,
        config,
        calendar,
        window,
        lambda connection, folder: reader.scan(connection, window, calendar, folder),
        scratch,
    ) as stage:
        days, versions = _days(connection, config, calendar, window, stage)
        reasons = dict(
            connection.execute(
                "SELECT reason, count(*) FROM (SELECT unnest(_reasons) AS reason FROM load WHERE "
                f"{_in(window)}) GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()
        )
        result = LoadResult(days, reasons, stage.warnings)
        total = result.total
        require_within_limits(
            connection,
            config,
            window,
            {day: load.read for day, load in days.items()},
            total.rejected,
            reasons,
            any_volume,
        )
        _write(connection, config, window, stage, loaded_at)
        _write_ledger(connection, config.source, days, versions, window, loaded_at)
        if cache and isinstance(reader, FileReader) and stage.complete:
            contents.remember(connection, cache, config, calendar, stage.scan.parts)
    return result


def loaded_versions(connection: duckdb.DuckDBPyConnection, source: str) -> dict[date | None, str]:
    """Data version of what was last loaded of a source, for each day; none before any load."""
    if relation_kind(connection, TABLES["source_loads"]) is None:
        return {}
    return dict(
        connection.execute(
            "SELECT window_date, source_version FROM raw.source_loads WHERE source = ?", [source]
        ).fetchall()
    )


def loaded_to(warehouse: Warehouse) -> date | None:
    """Exclusive end of the days of orders that have been loaded; None before the first load."""
    if not warehouse.path.exists():
        return None
    with warehouse.read() as connection:
        if relation_kind(connection, TABLES["source_loads"]) is None:
            return None
        row = connection.execute(
            "SELECT max(window_date) + 1 FROM raw.source_loads WHERE source = 'orders'"
        ).fetchone()
    return row[0] if row else None


def _in(window: Window | None) -> str:
    return "TRUE" if window is None else window_predicate("_window_date", window)


def _days(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    calendar: Calendar,
    window: Window | None,
    stage: Staged,
) -> tuple[dict[date | None, DayLoad], dict[date | None, str]]:
    """Rows of each day that was delivered, and the data version of each."""
    rows = connection.execute(
        "SELECT _window_date, sum(rows), sum(rows - rejected), sum(rejected), "
        f"sum(hashes) & {contents.MASK}::HUGEINT FROM load_contents WHERE {_in(window)} GROUP BY 1"
    ).fetchall()
    loads = {row[0]: DayLoad(*map(int, row[1:4])) for row in rows}
    versions: Mapping[date | None, str]
    if stage.scan.versions is not None:
        versions = stage.scan.versions
    else:
        held = {row[0]: contents.Content(int(row[1]), int(row[4])) for row in rows}
        delivered = contents.delivered(config, window, [part.day for part in stage.scan.parts])
        versions = contents.versions_of(config, held, delivered)
    return {day: loads.get(day, DayLoad(0, 0, 0)) for day in versions}, dict(versions)


def _write(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    window: Window | None,
    stage: Staged,
    loaded_at: datetime,
) -> None:
    table = config.contract.table
    listed = [f'"{name}"' for name in config.contract.columns]
    if table.window_column:
        listed.append(f"_window_date AS {table.window_column}")
    if "line_key" in table.columns:
        listed.append(f"{_line_key(config)} AS line_key")
    stamp = f"TIMESTAMP '{loaded_at:%Y-%m-%d %H:%M:%S.%f}' AS loaded_at"
    replace_window(
        connection,
        table,
        f"(SELECT {', '.join(listed)}, source_file, source_row, {stamp} "
        f"FROM {stage.relation} WHERE _reasons IS NULL AND {_in(window)})",
        window,
    )
    replace_window(
        connection,
        TABLES["rejected_rows"],
        f"(SELECT '{config.source}' AS source, _window_date AS window_date, source_file, "
        "source_row, source_line, array_to_string(_reasons, '; ') AS reasons, _json AS row, "
        f"{stamp} FROM {stage.relation} WHERE _reasons IS NOT NULL AND {_in(window)})",
        None,
        where=_of_source(config.source, window),
    )


def _line_key(config: SourceConfig) -> str:
    """What tells lines apart that bear no number, where the source says so."""
    if config.duplicates == "keep":
        key = "source_file || ':' || source_row"
    elif config.line_identity:
        columns = ", ".join(f"coalesce(\"{name}\"::VARCHAR, '')" for name in config.line_identity)
        key = f"concat_ws(chr(31), {columns})"
    else:
        return "NULL::VARCHAR"
    return f"CASE WHEN line_number IS NULL THEN {key} END"


def _of_source(source: str, window: Window | None) -> str:
    of_source = f"source = '{source}'"
    return (
        of_source
        if window is None
        else f"{of_source} AND {window_predicate('window_date', window)}"
    )


def _write_ledger(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    days: dict[date | None, DayLoad],
    versions: dict[date | None, str],
    window: Window | None,
    loaded_at: datetime,
) -> None:
    connection.execute(f"DELETE FROM raw.source_loads WHERE {_of_source(source, window)}")
    connection.execute(
        "INSERT INTO raw.source_loads BY NAME "
        "SELECT ? AS source, unnest(?::DATE[]) AS window_date, "
        "unnest(?::VARCHAR[]) AS source_version, unnest(?::BIGINT[]) AS rows_read, "
        "unnest(?::BIGINT[]) AS rows_accepted, unnest(?::BIGINT[]) AS rows_rejected, "
        "?::TIMESTAMP AS loaded_at",
        [
            source,
            list(days),
            [versions[day] for day in days],
            [load.read for load in days.values()],
            [load.accepted for load in days.values()],
            [load.rejected for load in days.values()],
            loaded_at,
        ],
    )
