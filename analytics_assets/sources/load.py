"""Loading a source: one pass over its rows, accepted and rejected ones written together.

Belongs here: the transaction of a load and its ledger. Does not belong here: typing and row rules
(`typed`), files (`files`).
"""

import re
from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources import files
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.files import SourceError
from analytics_assets.sources.typed import typed_relation
from analytics_assets.warehouse.connection import Warehouse, relation_kind
from analytics_assets.warehouse.windows import replace_window, window_predicate

_CSV_FAULTS = (
    r"^(Expected Number of Columns: \d+ Found: \d+|Invalid unicode|"
    r"Value with unterminated quote found|Maximum line size of \d+ bytes exceeded)"
)


@dataclass(frozen=True)
class DayLoad:
    """What became of the rows of one day (of the whole source, where it has no days)."""

    read: int
    accepted: int
    rejected: int


@dataclass(frozen=True)
class LoadResult:
    """Outcome of a load: per day, and the rejected rows by reason."""

    days: dict[date | None, DayLoad]
    reasons: dict[str, int]

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
) -> LoadResult:
    """Replace a window of a source's raw table, its rejected rows and its ledger.

    One statement reads the whole window, whatever its length. The caller holds the transaction.

    Args:
        connection: a connection within a transaction.
        config: the source.
        calendar: the days that the sources cover.
        window: the days; None for a source without days.
        loaded_at: stamped on every row.

    Raises:
        SourceError: a file is missing, unreadable or malformed; nothing is written.
    """
    table = config.contract.table
    found = files.files_of(config, window)
    versions: dict[date | None, str] = (
        {None: files.fingerprint(config)}
        if window is None
        else dict(files.fingerprints(config, window).items())
    )
    in_window = "TRUE" if window is None else window_predicate("_window_date", window)
    stamp = f"TIMESTAMP '{loaded_at:%Y-%m-%d %H:%M:%S.%f}' AS loaded_at"
    if found:
        columns = files.source_columns(config, found)
        rows = typed_relation(config, files.text_relation(config, found), columns, calendar)
        try:
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE load AS SELECT * FROM {rows} WHERE {in_window}"
            )
        except duckdb.Error as error:
            # Not chained: DuckDB quotes the row.
            raise SourceError(f"{config.source}: {_sentence(str(error))}") from None
    else:
        types = ", ".join(
            f'"{name}" {type_}'
            for name, type_ in table.sql_types.items()
            if name in config.contract.columns or name in ("source_file", "source_row")
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE load ({types}, _window_date DATE, "
            "_reasons VARCHAR[], _json VARCHAR)"
        )

    dated = "" if window is None else f", _window_date AS {table.window_column}"
    replace_window(
        connection,
        table,
        f"(SELECT * EXCLUDE (_window_date, _reasons, _json){dated}, {stamp} "
        "FROM load WHERE len(_reasons) = 0)",
        window,
    )
    of_source = f"source = '{config.source}'"
    if window is not None:
        of_source += f" AND {window_predicate('window_date', window)}"
    replace_window(
        connection,
        TABLES["rejected_rows"],
        f"(SELECT '{config.source}' AS source, _window_date AS window_date, source_file, "
        f"source_row, array_to_string(_reasons, '; ') AS reasons, _json AS row, {stamp} "
        "FROM load WHERE len(_reasons) > 0)",
        None,
        where=of_source,
    )
    counts = {
        row[0]: DayLoad(*row[1:])
        for row in connection.execute(
            "SELECT _window_date, count(*), count(*) FILTER (len(_reasons) = 0), "
            "count(*) FILTER (len(_reasons) > 0) FROM load GROUP BY 1"
        ).fetchall()
    }
    days = {day: counts.get(day, DayLoad(0, 0, 0)) for day in versions}
    _write_ledger(connection, config.source, days, versions, of_source, stamp)
    reasons = connection.execute(
        "SELECT reason, count(*) FROM (SELECT unnest(_reasons) AS reason FROM load) "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    connection.execute("DROP TABLE load")
    return LoadResult(days, dict(reasons))


def loaded_versions(connection: duckdb.DuckDBPyConnection, source: str) -> dict[date | None, str]:
    """Fingerprint of what was last loaded of a source, for each day; none before any load."""
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


def _write_ledger(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    days: dict[date | None, DayLoad],
    versions: dict[date | None, str],
    of_source: str,
    stamp: str,
) -> None:
    connection.execute(f"DELETE FROM raw.source_loads WHERE {of_source}")
    connection.execute(
        "INSERT INTO raw.source_loads BY NAME "
        "SELECT ? AS source, unnest(?::DATE[]) AS window_date, "
        "unnest(?::VARCHAR[]) AS source_version, unnest(?::BIGINT[]) AS rows_read, "
        "unnest(?::BIGINT[]) AS rows_accepted, unnest(?::BIGINT[]) AS rows_rejected, " + stamp,
        [
            source,
            list(days),
            [versions[day] for day in days],
            [load.read for load in days.values()],
            [load.accepted for load in days.values()],
            [load.rejected for load in days.values()],
        ],
    )


def _sentence(message: str) -> str:
    """What DuckDB says of a file, without the row that it quotes."""
    file = re.findall(r'^  file = (.+)$|sniffing file "(.+)"\.$', message, re.MULTILINE)
    line = re.search(r"CSV Error on Line: (\d+)", message)
    why = re.findall(_CSV_FAULTS, message, re.MULTILINE)
    if not file and not line:
        return message.split("\n")[0][:300]
    return (
        (", ".join(filter(None, file[-1])) if file else "a file")
        + (f", line {line[1]}" if line else "")
        + f": {why[-1] if why else 'the rows do not fit the header'}. Look for a field too many or "
        "too few, a quote that is not closed, or line ends that differ. Nothing was loaded."
    )
