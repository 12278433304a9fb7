"""Looking at a source before it is loaded: what is there, how it maps, what would be rejected.

Belongs here: sampling a source and describing it in words. Does not belong here: loading (`load`).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from analytics_assets.partitions import Calendar
from analytics_assets.quoting import identifier
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.limits import MIN_ROWS
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.sources.readers.base import MissingColumnError, unknown_columns
from analytics_assets.sources.stage import Stage, staged
from analytics_assets.sources.systems.names import propose


@dataclass(frozen=True)
class ColumnReport:
    """A column of the contract: its source, and what values of the sample became."""

    name: str
    source: str | None
    required: bool
    filled: int
    samples: tuple[str, ...]


@dataclass(frozen=True)
class SourceReport:
    """What a look at a source found.

    Attributes:
        source: its name.
        place: where it lies.
        found: what lies there, in words.
        rows: rows of the sample.
        rejected: rows of the sample that would be rejected.
        reasons: rejected rows by reason.
        span: first and last time of the sample, where the source has times.
        columns: how each column of the contract maps.
        warnings: what does not stop a load.
        problem: why the source cannot be loaded; None where it can.
        proposal: our column to the source's, for columns that were recognised.
    """

    source: str
    place: str
    found: str = ""
    rows: int = 0
    rejected: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    span: tuple[str, str] | None = None
    columns: tuple[ColumnReport, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str | None = None
    proposal: tuple[tuple[str, str], ...] = ()


def check_sources(sources: SourcesConfig) -> list[SourceReport]:
    """A report of each configured source, from a sample of it; nothing is written."""
    return [_checked(config, sources.calendar) for config in sources.sources.values()]


def _checked(config: SourceConfig, calendar: Calendar) -> SourceReport:
    reader = reader_of(config)
    report = SourceReport(config.source, reader.place)
    try:
        sample = reader.sample(calendar)
        report = replace(report, found=sample.found)
        with TemporaryDirectory() as folder, duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            with staged(connection, config, calendar, sample.scanner, Path(folder)) as stage:
                stage.look(*config.contract.columns)
                return _described(connection, config, report, stage, stage.scan.warnings)
    except MissingColumnError as error:
        proposal = tuple(propose(config, error.found).items())
        return replace(report, problem=str(error), proposal=proposal)
    except SourceError as error:
        return replace(report, problem=str(error))


def _described(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    report: SourceReport,
    stage: Stage,
    warnings: Sequence[str],
) -> SourceReport:
    mapped = {**stage.mapped, **dict.fromkeys(config.computed, "(computed)")}
    rows, rejected = _row(connection, "SELECT count(*), count(_reasons) FROM load")
    span = None
    if config.contract.time_column:
        time = identifier(config.contract.time_column)
        first, last = _row(
            connection, f"SELECT min({time})::VARCHAR, max({time})::VARCHAR FROM load"
        )
        span = (first, last) if first else None
    personal = config.contract.table.personal_columns
    columns = []
    for name in config.contract.columns:
        column = identifier(name)
        (filled,) = _row(connection, f"SELECT count({column}) FROM load")
        values = connection.execute(
            f"SELECT DISTINCT {column}::VARCHAR FROM (SELECT {column} FROM load "
            f"WHERE {column} IS NOT NULL LIMIT 1000) ORDER BY 1 LIMIT 3"
        ).fetchall()
        columns.append(
            ColumnReport(
                name,
                mapped.get(name),
                name in config.contract.required,
                filled,
                ("(personal)",)
                if name in personal and values
                # An address may stand where it does not belong.
                else tuple("(hidden)" if "@" in value else value for (value,) in values),
            )
        )
    reasons = connection.execute(
        "SELECT reason, count(*) FROM (SELECT unnest(_reasons) AS reason FROM load) "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    unread = unknown_columns(config, list(stage.scan.types))
    problem = None
    if not rows:
        warnings = [*warnings, "no rows in the sample"]
    elif rejected == rows:
        problem = "every row of the sample would be rejected"
    elif rows >= MIN_ROWS and rejected > config.max_rejected_share * rows:
        problem = (
            f"{rejected / rows:.0%} of the sample would be rejected, more than max_rejected_share "
            f"({config.max_rejected_share:.0%})"
        )
    return replace(
        report,
        rows=rows,
        rejected=rejected,
        reasons=tuple(reasons),
        span=span,
        columns=tuple(columns),
        warnings=tuple(warnings),
        problem=problem,
        proposal=tuple(propose(config, unread).items()),
    )


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def in_words(report: SourceReport) -> Iterator[str]:
    """The report as lines for a terminal."""
    state = "cannot be loaded" if report.problem else "can be loaded"
    yield f"{report.source}: {state}"
    yield f"  place     {report.place}"
    if report.found:
        yield f"  found     {report.found}"
    if report.columns:
        yield f"  sample    {report.rows:,} rows, of which {report.rejected:,} would be rejected"
    if report.span:
        yield f"  times     {report.span[0]} to {report.span[1]} (UTC)"
    for why, rows in report.reasons:
        yield f"            {rows:>9,}  {why}"
    if report.columns:
        yield f"  {'column':<18}{'from':<22}{'filled':>9}  values"
    for column in report.columns:
        source = column.source or ("MISSING" if column.required else "-")
        share = f"{column.filled / report.rows:.0%}" if report.rows else ""
        yield f"  {column.name:<18}{source:<22.21}{share:>9}  {', '.join(column.samples):.60}"
    for warning in report.warnings:
        yield f"  warning   {warning}"
    if report.problem:
        yield f"  PROBLEM   {report.problem}"
    if report.proposal:
        yield "  These columns look like ours; if they are, add:"
        yield from itertools.chain(
            [f"    {report.source}:", "      columns:"],
            (f"        {ours}: {theirs}" for ours, theirs in report.proposal),
        )
