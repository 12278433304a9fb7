"""Staging a load: the rows of a source, typed, in a temporary table, before anything is written.

Belongs here: the tables `load` (rows), `load_parts` (files) and `load_contents` (what each part
holds for each day: rows, rejected ones, sum of their hashes), and the proof that no row was lost on
the way. Does not belong here: what is written to the warehouse (`load`), types (`typed`).
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import mkdtemp

import duckdb
import pyarrow as pa

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import Scan, SourceError, mapped_columns
from analytics_assets.sources.typed import typed_relation
from analytics_assets.warehouse.windows import window_predicate

# A source with one file for all days is read whole for any day. Of a short window only its own
# rows are kept; numbering those costs a pass without parallelism, which a long window is spared.
SHORT_WINDOW = 31

Scanner = Callable[[duckdb.DuckDBPyConnection, Path], AbstractContextManager[Scan]]


@dataclass(frozen=True)
class Staged:
    """What was staged.

    Attributes:
        relation: SQL relation of the staged rows: the contract's columns, source_file, source_row,
            source_line, `_window_date`, `_reasons`, `_json`, `_load_part`.
        scan: what was scanned; its parts are in the order of `_load_part`.
        complete: whether all rows of the parts are there, not only those of the window.
        warnings: what a person should know.
    """

    relation: str
    scan: Scan
    complete: bool
    warnings: tuple[str, ...]


@contextmanager
def staged(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    calendar: Calendar,
    window: Window | None,
    scanner: Scanner,
    scratch: Path | None,
) -> Iterator[Staged]:
    """Stage the rows that a scanner hands over, in temporary tables of the connection.

    Args:
        connection: the connection; it may be within a transaction.
        config: the source.
        calendar: the days that the sources cover.
        window: days that are wanted; None for all rows.
        scanner: opens the scan, given the connection and a folder for copies.
        scratch: where the folder for copies is made; the system's place without it.

    Raises:
        SourceError: the source cannot be read, or rows were lost on the way.
    """
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix="incoming-", dir=scratch))
    try:
        with scanner(connection, folder) as scan:
            complete = window is None or config.by_day or window.days > SHORT_WINDOW
            _fill(connection, config, scan, calendar, None if complete else window)
            if complete:
                _require_all_rows(connection, config, scan)
        # Whether the source stood still is known only now that the scan has ended.
        yield Staged(
            _rows_relation(complete),
            scan,
            complete,
            (*scan.warnings, *_collisions(connection, config)),
        )
        for table in ("load", "load_parts", "load_contents"):
            connection.execute(f"DROP TABLE {table}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    scan: Scan,
    calendar: Calendar,
    window: Window | None,
) -> None:
    mapped = mapped_columns(config, list(scan.types), config.source)
    inside, number = "TRUE", ""
    if window is not None:
        inside = window_predicate("_window_date", window)
        # Rows that the window leaves out are numbered too.
        number = ", row_number() OVER () - 1 AS _load_number"
    kept = ["_load_part", *(["_load_row", "_load_line"] if scan.numbered else [])]
    relation = f"(SELECT *{number} FROM {scan.relation})"
    rows = typed_relation(
        config, scan, relation, mapped, [*kept, *(["_load_number"] if number else [])], calendar
    )
    missing = [name for name in ("_load_row", "_load_line") if name not in kept]
    nulls = "".join(f", NULL::BIGINT AS {name}" for name in missing)
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE load AS SELECT *{nulls} FROM {rows} WHERE {inside}"
        )
    except duckdb.Error as error:
        # Not chained: DuckDB quotes the row.
        raise SourceError(f"{config.source}: {_sentence(str(error), scan)}") from None
    _add_parts(connection, scan)
    _add_malformed(connection, config, scan, calendar, window)
    columns = ", ".join(f'"{name}"' for name in config.contract.columns)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE load_contents AS SELECT _load_part, _window_date, "
        "count(*) AS rows, count(_reasons) AS rejected, "
        f"sum(hash({columns}, _json)::HUGEINT) AS hashes FROM load GROUP BY ALL"
    )


def _add_parts(connection: duckdb.DuckDBPyConnection, scan: Scan) -> None:
    """`load_parts`: name, day, and number of the first row among all that the relation gave."""
    well_formed = [part.rows or 0 for part in scan.parts]
    for row in scan.malformed:
        well_formed[row.part] -= 1
    firsts, total = [], 0
    for rows in well_formed:
        firsts.append(total)
        total += rows
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE load_parts AS SELECT unnest(?::BIGINT[]) AS part, "
        "unnest(?::VARCHAR[]) AS name, unnest(?::BIGINT[]) AS first, "
        "unnest(?::BIGINT[]) AS lines_before",
        [
            list(range(len(scan.parts))),
            [part.name for part in scan.parts],
            firsts,
            [part.lines_before for part in scan.parts],
        ],
    )


def _add_malformed(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    scan: Scan,
    calendar: Calendar,
    window: Window | None,
) -> None:
    """Rows without columns join the others, each accounted to the day of its file or the first."""
    rows = []
    for row in scan.malformed:
        day: date | None = None
        if config.contract.time_column:
            day = max(scan.parts[row.part].day or calendar.start, calendar.start)
        if window is None or (day and window.start <= day < window.end):
            rows.append({"part": row.part, "row": row.row, "line": row.line, "day": day,
                         "reason": row.reason, "text": row.text})  # fmt: skip
    if not rows:
        return
    schema = pa.schema(
        {"part": pa.int64(), "row": pa.int64(), "line": pa.int64(), "day": pa.date32(),
         "reason": pa.string(), "text": pa.string()}
    )  # fmt: skip
    connection.register("malformed", pa.Table.from_pylist(rows, schema))
    connection.execute(
        "INSERT INTO load BY NAME SELECT day AS _window_date, [reason] AS _reasons, "
        'to_json({"_text": text})::VARCHAR AS _json, part AS _load_part, "row" AS _load_row, '
        "line AS _load_line FROM malformed"
    )
    connection.unregister("malformed")


def _require_all_rows(
    connection: duckdb.DuckDBPyConnection, config: SourceConfig, scan: Scan
) -> None:
    """What was staged of each part is what was counted in it before."""
    found = dict(connection.execute("SELECT _load_part, count(*) FROM load GROUP BY 1").fetchall())
    for index, part in enumerate(scan.parts):
        if part.rows is not None and found.get(index, 0) != part.rows:
            raise SourceError(
                f"{config.source}: {part.name} has {part.rows:,} rows, of which "
                f"{found.get(index, 0):,} were read. Nothing was loaded; look whether the file is "
                "being written to."
            )


def _collisions(connection: duckdb.DuckDBPyConnection, config: SourceConfig) -> list[str]:
    """Identifiers that white space alone told apart."""
    names = connection.execute("SELECT DISTINCT unnest(_trimmed) FROM load ORDER BY 1").fetchall()
    warnings = []
    for (name,) in names:
        cut = f"list_contains(_trimmed, '{name}')"
        row = connection.execute(
            f'SELECT count(*) FILTER ({cut}), count(DISTINCT "{name}") FILTER ({cut} AND "{name}" '
            f'IN (SELECT "{name}" FROM load WHERE _trimmed IS NULL OR NOT {cut})) FROM load'
        ).fetchone()
        assert row is not None
        warnings.append(
            f"{name}: white space trimmed in {row[0]:,} rows; {row[1]:,} identifiers then equal "
            "one that stands without it"
        )
    return warnings


def _rows_relation(complete: bool) -> str:
    """The staged rows with the names and numbers that they have in their files.

    Rows that bear no number were staged in the order of their files, so that their place numbers
    them.
    """
    # Within a transaction DuckDB numbers new rows from a high number on.
    place = "load.rowid - (SELECT min(rowid) FROM load)" if complete else "_load_number"
    number = "" if complete else ", _load_number"
    return (
        f"(SELECT * EXCLUDE (_load_row, _load_line, lines_before), _load_row AS source_row, "
        "coalesce(_load_line, _load_row + lines_before) AS source_line FROM ("
        f"SELECT load.* EXCLUDE (_load_row{number}), load_parts.name AS source_file, lines_before, "
        f"coalesce(_load_row, {place} - first + 1) AS _load_row "
        "FROM load JOIN load_parts ON load._load_part = load_parts.part))"
    )


def _sentence(message: str, scan: Scan) -> str:
    """What DuckDB says of a file, without the row that it quotes."""
    files = re.findall(r"^  file = (.+)$", message, re.MULTILINE)
    line = re.search(r"CSV Error on Line: (\d+)", message)
    why = re.search(
        r"^(Invalid unicode|Invalid Input Error: Invalid unicode)", message, re.MULTILINE
    )
    if not files and not line:
        names = ", ".join(part.name for part in scan.parts[:3])
        more = f" and {len(scan.parts) - 3} more" if len(scan.parts) > 3 else ""
        sentence = re.sub(r'"[^"]*/', '"', message.splitlines()[0])[:200]
        return f"{names}{more}: {sentence}. Nothing was loaded."
    name = next((part.name for part in scan.parts if files and files[-1].endswith(part.name)), "")
    return (
        f"{name or 'a file'}"
        + (f", line {line[1]}" if line else "")
        + (
            ": not UTF-8. Declare `encoding` in the source configuration, or deliver UTF-8."
            if why
            else ": the rows do not fit the header."
        )
        + " Nothing was loaded."
    )
