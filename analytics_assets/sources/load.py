"""Loading a source: accepted and rejected rows written together, and every row accounted for.

Belongs here: the transaction of a load. Does not belong here: reading (`readers`), typing and row
rules (`typed`), counting rows (`stage`), limits (`limits`), the ledger (`ledger`).

Rows go straight from the source into their table. If as many were inserted as the files have, all
were accepted and none was lost. Only otherwise is a verdict on each row computed (the table `load`
of `stage`), to see which are rejected and which belong to other days.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from analytics_assets.partitions import Calendar, Window
from analytics_assets.quoting import identifier, literal
from analytics_assets.schemas import TABLES
from analytics_assets.sources import contents
from analytics_assets.sources.arrivals import require_whole
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.currencies import require_rates
from analytics_assets.sources.declared.base import DERIVED
from analytics_assets.sources.ledger import DayLoad, of_source, with_not_due, write_ledger
from analytics_assets.sources.limits import require_all_digits, require_within_limits
from analytics_assets.sources.noted import noted_identifiers
from analytics_assets.sources.readers import reader_of
from analytics_assets.sources.readers.base import DoubtError, SourceError
from analytics_assets.sources.refund_rows import has_refund_rows, insert_refunds
from analytics_assets.sources.stage import PartDay, Stage, row_hash, staged
from analytics_assets.sources.whole_orders import SUPERSEDED, half_filled
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.duckdb_engine import DuckDBSession
from analytics_assets.warehouse.windows import window_predicate


@dataclass(frozen=True)
class LoadResult:
    """Outcome of a load: rows of each day, rejected rows by reason, and warnings."""

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
            sum(day.split for day in loads),
            sum(day.not_due for day in loads),
        )


def load(
    warehouse: Warehouse,
    config: SourceConfig,
    calendar: Calendar,
    window: Window | None,
    loaded_at: datetime,
    *,
    any_volume: bool = False,
    checked: Collection[str] = (),
) -> LoadResult:
    """Load a window of a source in a transaction of its own.

    The form of the files is trusted at first: most are flawless, and proving it costs a pass over
    them. If something does not fit, the transaction is rolled back and they are read with care.

    Raises:
        SourceError: as `load_source`.
    """

    def attempt(careful: bool) -> LoadResult:
        with warehouse.transaction() as session:
            return load_source(
                session.connection,
                config,
                calendar,
                window,
                loaded_at,
                cache=warehouse.source_cache,
                any_volume=any_volume,
                careful=careful,
                checked=checked,
            )

    reader_of(config).fetch()  # before the transaction: it may take long
    try:
        return attempt(careful=False)
    except DoubtError:
        return attempt(careful=True)


def load_source(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    calendar: Calendar,
    window: Window | None,
    loaded_at: datetime,
    *,
    cache: Path | None = None,
    any_volume: bool = False,
    careful: bool = True,
    checked: Collection[str] = (),
) -> LoadResult:
    """Replace a window of a source's raw table, its rejected rows and its ledger.

    One statement reads the whole window, whatever its length.

    Args:
        connection: a connection within a transaction.
        config: the source.
        calendar: the days that the sources cover.
        window: the days; None for a source without days.
        loaded_at: stamped on every row.
        cache: database that remembers the contents of files; copies of files are made next to it.
        any_volume: load even where the volume has changed by more than the source allows.
        careful: prove the form of files before they are read.
        checked: raw tables with blocking checks, which have to be evaluated after the load.

    Raises:
        DoubtError: the load has to be repeated with care; roll the transaction back.
        SourceError: the source is missing, unreadable or malformed, or exceeds a limit; roll the
            transaction back.
    """
    reader = reader_of(config)
    require_whole(DuckDBSession(connection), reader, window)
    given = window
    warnings: list[str] = []
    window, later = contents.due(reader, window)
    if later:
        _forget(connection, config, later, loaded_at, checked)
        why = f"{reader.not_due(connection):,} rows are not due yet, nor any day from"
        warnings = [f"{why} {later.start} on; they are loaded when the source has closed the day"]
        if later == given:
            return LoadResult({}, {}, tuple(warnings))
    with staged(
        connection,
        config,
        calendar,
        lambda connection, folder: reader.scan(
            connection, window, calendar, folder, careful=careful
        ),
        cache.parent if cache else None,
    ) as stage:
        accepted = _insert(stage, window, loaded_at)
        noted = noted_identifiers(stage, window)
        refunds = stage.refunds and has_refund_rows(stage, window)
        if accepted != stage.counted or stage.has_load or stage.scan.mixed or refunds:
            part_days = stage.contents()
        else:
            part_days = _inserted_contents(stage, window)
        _number(stage, window, accepted)
        beyond = 0
        if stage.refunds and stage.has_load:
            refunded, beyond = insert_refunds(stage, window, _line_key(config), _stamp(loaded_at))
            accepted += refunded
        days, versions = _days(stage, window, part_days)
        today = _shops_date(loaded_at, config)
        coming = None if reader.due_before is None else reader.not_due(connection)
        days = with_not_due(connection, config.source, days, part_days, window, today, coming)
        reasons = _reject(stage, window, loaded_at)
        require_all_digits(config, reasons)
        half = half_filled(connection, config, window)
        warnings += [*stage.scan.warnings, *noted, *half, *_days_of_utc(config)]
        warnings += [
            f"{name}: the source has none; every row is of an unknown one"
            for name in config.contract.expected
            if name not in stage.mapped
        ]
        if beyond:
            warnings.append(f"{beyond:,} refunds are of days outside the calendar: not counted")
        if SUPERSEDED in reasons:
            warnings.append(f"{reasons[SUPERSEDED]:,} lines are of orders that a later file has")
        result = LoadResult(days, reasons, tuple(warnings))
        if result.total.accepted != accepted:
            raise SourceError(
                f"{config.source}: of {result.total.accepted:,} accepted rows {accepted:,} were "
                "written. Nothing was loaded; check whether the source is being written to."
            )
        require_within_limits(
            DuckDBSession(connection),
            config,
            window,
            {day: load.read - load.not_due for day, load in days.items()},
            result.total.rejected - reasons.get(SUPERSEDED, 0),
            reasons,
            any_volume,
        )
        require_rates(connection, config)
        write_ledger(connection, config.source, days, versions, window, loaded_at, checked)
    # Only now, at the end of the scan, is it known that the source did not change meanwhile.
    if cache:
        contents.remember(cache, config, calendar, stage.scan.parts, part_days)
    return result


def _forget(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    later: Window,
    loaded_at: datetime,
    checked: Collection[str],
) -> None:
    """Remove the rows of days that are not due: only a source that was begun again has any."""
    day = window_predicate(str(config.contract.table.window_column), later)
    connection.execute(f"DELETE FROM {config.contract.table.relation} WHERE {day}")
    connection.execute(f"DELETE FROM raw.rejected_rows WHERE {of_source(config.source, later)}")
    write_ledger(connection, config.source, {}, {}, later, loaded_at, checked)


def _days_of_utc(config: SourceConfig) -> list[str]:
    """A warning where a source has a time zone and `reporting_time_zone` is not set."""
    zone = config.time_zone if config.time_zone != "UTC" else "America/New_York"
    named = config.time_zone != "UTC" or any("%z" in form for form in config.timestamp_formats)
    if config.reporting_time_zone or not named or not config.contract.time_column:
        return []
    return [
        f"days are those of UTC; `reporting_time_zone: {zone}` next to `calendar` makes "
        "them the shop's"
    ]


def _shops_date(time: datetime, config: SourceConfig) -> date:
    """The shop's day at a time, naive UTC."""
    return time.replace(tzinfo=UTC).astimezone(ZoneInfo(config.shops_zone)).date()


def _in(window: Window | None) -> str:
    return window_predicate("_window_date", window)


def _insert(stage: Stage, window: Window | None, loaded_at: datetime) -> int:
    """Insert the accepted rows of the window, and return how many there are.

    A row with noted identifiers gets a negative number, which `_number` makes positive.
    """
    config = stage.config
    table = config.contract.table
    listed = [identifier(name) for name in config.contract.columns]
    derived = {**DERIVED, **({"amount_is_total": "true"} if stage.following else {})}
    listed += [f"{value} AS {name}" for name, value in derived.items() if name in table.columns]
    if table.window_column:
        listed.append(f"_window_date AS {table.window_column}")
    if "line_key" in table.columns:
        listed.append(f"{_line_key(config)} AS line_key")
    number = "coalesce(_load_row, 1)"
    listed.append(f"CASE WHEN _noted IS NULL THEN {number} ELSE -{number} END AS source_row")
    with stage.reading():
        return DuckDBSession(stage.connection).replace_window(
            table,
            f"(SELECT {', '.join(listed)}, source_file, {_stamp(loaded_at)} "
            f"FROM {stage.typed} WHERE _reasons IS NULL AND {_in(window)})",
            window,
            fits=True,
        )


def _number(stage: Stage, window: Window | None, accepted: int) -> None:
    """Give the inserted rows the numbers that they have in their files.

    Where a scan does not number its rows, the table has them in the order of their files.
    """
    connection, config = stage.connection, stage.config
    table = config.contract.table.relation
    inside = window_predicate(str(config.contract.table.window_column), window)
    if not accepted:
        return
    if stage.scan.numbered and not stage.scan.mixed:
        connection.execute(
            f"UPDATE {table} SET source_row = -source_row WHERE {inside} AND source_row < 0"
        )
    else:
        (first,) = _row(connection, f"SELECT min(rowid) FROM {table} WHERE {inside}")
        number, rows = f"rowid - {first} + 1", "WHERE"
        if stage.has_load:
            number = "rows.source_row"
            rows = (
                f"FROM (SELECT row_number() OVER (ORDER BY place) - 1 + {first} AS place, "
                f"source_row FROM {stage.rows} WHERE _reasons IS NULL AND {_in(window)}) AS rows "
                f"WHERE {table}.rowid = rows.place AND"
            )
        elif len(stage.scan.parts) > 1:
            names = ", ".join(literal(part.name) for part in stage.scan.parts)
            number = f"{table}.rowid - {first} - parts.first + 1"
            rows = (
                f"FROM (SELECT unnest([{names}]) AS name, unnest({stage.firsts}) AS first) "
                "AS parts WHERE source_file = parts.name AND"
            )
        (numbered,) = _row(connection, f"UPDATE {table} SET source_row = {number} {rows} {inside}")
        if numbered != accepted:
            raise SourceError(
                f"{config.source}: of {accepted:,} accepted rows {numbered:,} could be numbered. "
                "Nothing was loaded; check whether the source is being written to."
            )
    if config.duplicates == "keep" and "line_key" in config.contract.table.columns:
        connection.execute(
            f"UPDATE {table} SET line_key = source_file || ':' || source_row "
            f"WHERE {inside} AND line_number IS NULL"
        )


def _inserted_contents(stage: Stage, window: Window | None) -> list[PartDay]:
    """The rows of each part by day, where all of them were inserted."""
    table = stage.config.contract.table
    day = table.window_column or "NULL::DATE"
    index = {part.name: number for number, part in enumerate(stage.scan.parts)}
    file = literal(stage.scan.parts[0].name) if len(index) == 1 else "source_file"
    hashed = row_hash(stage.config, "NULL::VARCHAR")
    rows = stage.connection.execute(
        f"SELECT {file}, {day}, count(*), sum({hashed}::HUGEINT) "
        f"FROM {table.relation} WHERE {window_predicate(str(table.window_column), window)} "
        "GROUP BY 1, 2"
    ).fetchall()
    part_days = [PartDay(index[name], day, count, 0, hashes) for name, day, count, hashes in rows]
    rows_of_part: Counter[int] = Counter()
    for item in part_days:
        rows_of_part[item.part] += item.rows
    stage.require(rows_of_part)
    return part_days


def _days(
    stage: Stage, window: Window | None, part_days: Sequence[PartDay]
) -> tuple[dict[date | None, DayLoad], dict[date | None, str]]:
    """The load of each delivered day of the window, and its data version."""
    loads: dict[date | None, DayLoad] = {}
    for item in part_days:
        if contents.within(window, item.day):
            before = loads.get(item.day, DayLoad(0, 0, 0))
            loads[item.day] = DayLoad(
                before.read + item.rows - item.split,
                before.accepted + item.rows - item.rejected,
                before.rejected + item.rejected,
                before.split + item.split,
            )
    versions: Mapping[date | None, str] | None = stage.scan.versions
    if versions is None:
        delivered = contents.delivered(
            stage.config, window, [part.day for part in stage.scan.parts]
        )
        by_day = contents.by_day(part_days, window)
        versions = contents.versions_of(stage.config, by_day, delivered)
    return {day: loads.get(day, DayLoad(0, 0, 0)) for day in versions}, dict(versions)


def _reject(stage: Stage, window: Window | None, loaded_at: datetime) -> dict[str, int]:
    """Replace the rejected rows of the window; their number by reason."""
    connection, source = stage.connection, stage.config.source
    where = of_source(source, window)
    if not stage.has_load:
        connection.execute(f"DELETE FROM raw.rejected_rows WHERE {where}")
        return {}
    DuckDBSession(connection).replace_window(
        TABLES["rejected_rows"],
        f"(SELECT '{source}' AS source, _window_date AS window_date, source_file, "
        "source_row, source_line, array_to_string(_reasons, '; ') AS reasons, _json AS row, "
        f"{_stamp(loaded_at)} FROM {stage.rows} WHERE _reasons IS NOT NULL AND {_in(window)})",
        None,
        where=where,
        fits=True,
    )
    return dict(
        connection.execute(
            "SELECT reason, count(*) FROM (SELECT unnest(_reasons) AS reason FROM load WHERE "
            f"{_in(window)}) GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    )


def _stamp(loaded_at: datetime) -> str:
    return f"TIMESTAMP '{loaded_at:%Y-%m-%d %H:%M:%S.%f}' AS loaded_at"


def _line_key(config: SourceConfig) -> str:
    """SQL that distinguishes lines without a number by `line_identity`; `_number` has the rest."""
    if not config.line_identity or config.duplicates == "keep":
        return "NULL::VARCHAR"
    columns = ", ".join(f"coalesce({identifier(n)}::VARCHAR, '')" for n in config.line_identity)
    return f"CASE WHEN line_number IS NULL THEN concat_ws(chr(31), {columns}) END"


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row
