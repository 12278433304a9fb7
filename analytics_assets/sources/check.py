"""Looking at a source before it is loaded: what is there, how it maps, whether a load would fail.

Belongs here: looking at a source, and trying words on it. Does not belong here: what its rows give
away (`findings`), what may read rejected values (`readings`), the report in words (`report`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from analytics_assets.partitions import Calendar, daily_partitions
from analytics_assets.quoting import identifier
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.currencies import require_rates
from analytics_assets.sources.declared import SOURCES
from analytics_assets.sources.findings import Finding, as_loaded, findings, yaml_line
from analytics_assets.sources.limits import require_all_digits, require_within_limits
from analytics_assets.sources.readers import SourceError, reader_of
from analytics_assets.sources.readers.base import LOOKED_AT_ROWS, MissingColumnError, Sample, Scan
from analytics_assets.sources.readers.unread import unknown_columns
from analytics_assets.sources.readings import Rejected, Words, instead, options, rejected
from analytics_assets.sources.report import ColumnReport, SourceReport
from analytics_assets.sources.sampling import thinned
from analytics_assets.sources.stage import Stage, staged
from analytics_assets.sources.systems.names import propose
from analytics_assets.sources.whole_orders import SUPERSEDED
from analytics_assets.warehouse.duckdb_engine import DuckDBSession

# Words are compared on so many rows, and the best of them tried on all that are looked at.
COMPARED_ROWS = 100_000
ROUNDS = 3


def check_sources(sources: SourcesConfig) -> list[SourceReport]:
    """A report of each configured source; nothing is written."""
    reports = {}
    # Orders are compared with customers and products.
    order = sorted(sources.sources.values(), key=lambda one: not SOURCES[one.source].member)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        look = _Look(connection, sources.calendar)
        for config in order:
            reports[config.source] = look.report(config)
    return [reports[name] for name in sources.sources]


class _Look:
    """Looks at sources, one after the other, on one connection.

    Attributes:
        due: end of the days that have closed.
        members: sources of customers and products whose identifiers are known, all of them.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, calendar: Calendar) -> None:
        self._connection, self._calendar = connection, calendar
        last = daily_partitions(calendar).get_last_partition_key()
        self.due = date.fromisoformat(last) + timedelta(days=1) if last else calendar.start
        self.members: dict[str, None] = {}

    def report(self, config: SourceConfig, *, otherwise: bool = True) -> SourceReport:
        """What there is to say of a source; with other words where those given cannot read it."""
        report = SourceReport(config.source, reader_of(config).place)
        why: SourceError
        try:
            with self._rows(config) as (sample, part, stage):
                report = replace(report, found=sample.found, part=part)
                found = self._rejected(config, stage)
                report = self._described(config, report, stage, found)
            return self._with_words(config, report, found)
        except MissingColumnError as error:
            proposal = tuple(propose(config, error.found).items())
            report, why = replace(report, problem=str(error), proposal=proposal), error
        except SourceError as error:
            report, why = replace(report, problem=str(error)), error
        return self._read_otherwise(config, report, why) if otherwise else report

    @contextmanager
    def _rows(
        self, config: SourceConfig, most: int | None = None
    ) -> Iterator[tuple[Sample, str, Stage]]:
        """The rows of a source in the table `load`, and what part of them they are."""
        sample = reader_of(config).sample(self._calendar)
        part = [sample.part]

        @contextmanager
        def scanner(connection: duckdb.DuckDBPyConnection, folder: Path) -> Iterator[Scan]:
            with sample.scanner(connection, folder) as scan:
                scan, thin = thinned(connection, config, scan, most or LOOKED_AT_ROWS)
                part.append(thin)
                yield scan

        with (
            TemporaryDirectory() as folder,
            staged(self._connection, config, self._calendar, scanner, Path(folder)) as stage,
        ):
            stage.look(*config.contract.columns)
            yield sample, "; ".join(filter(None, part)), stage

    def _rejected(self, config: SourceConfig, stage: Stage) -> Rejected:
        days = [part.day for part in stage.scan.parts]
        return rejected(self._connection, config, stage.mapped, days)

    def _read_otherwise(
        self, config: SourceConfig, report: SourceReport, error: SourceError
    ) -> SourceReport:
        """The report with what can be seen by other words, where some read the source."""
        for words in instead(config, error, reader_of(config).words):
            other = self.report(replace(config, **words), otherwise=False)
            if other.columns:
                return replace(
                    other,
                    problem=report.problem,
                    words=(*words.items(), *other.words),
                    still=other.rejected if other.still is None else other.still,
                )
        return report

    def _with_words(
        self, config: SourceConfig, report: SourceReport, found: Rejected
    ) -> SourceReport:
        """The report with words that would read rejected values, tried on the rows."""
        words: Words = {}
        undecided: list[str] = []
        rows = report.rows
        if rows > COMPARED_ROWS and found.rows:
            with self._rows(config, COMPARED_ROWS) as (_, _, stage):
                found = self._rejected(config, stage)
        for _ in range(ROUNDS):
            current = replace(config, **words)
            tried: list[tuple[Words, Rejected]] = []
            for option in options(current, found) if found.rows else []:
                with self._rows(replace(current, **option), COMPARED_ROWS) as (_, _, stage):
                    tried.append((option, self._rejected(current, stage)))
            least = min((after.rows for _, after in tried), default=found.rows)
            # Words may read one column of rows that are rejected for another, too.
            best = [(option, after) for option, after in tried if after.rows == least]
            best = [one for one in best if _fewer(one[1], found)]
            if not best:
                break
            best.sort(key=lambda one: (len(one[0]), len(one[0].get("timestamp_formats", ()))))
            option, after = best[0]
            undecided += _undecided(option, [other for other, _ in best[1:]])
            words, found = {**words, **option}, after
        if not words:
            return report
        with self._rows(replace(config, **words)) as (_, part, stage):
            still = self._rejected(config, stage).rows
            said = self._findings(replace(config, **words), stage, bool(part))
        return replace(
            report,
            words=tuple(words.items()),
            undecided=tuple(undecided),
            still=still,
            findings=tuple(said),
        )

    def _findings(self, config: SourceConfig, stage: Stage, partly: bool) -> list[Finding]:
        """What the rows in `load` give away; identifiers of members are kept for other sources."""
        as_loaded(self._connection, config, [part.name for part in stage.scan.parts], self.due)
        if SOURCES[config.source].member and not partly:
            key = config.contract.required[0]
            self._connection.execute(
                f"CREATE OR REPLACE TEMP TABLE ids_{config.source} AS SELECT DISTINCT "
                f"{key} AS id FROM {config.contract.table.relation}"
            )
            self.members[config.source] = None
        return findings(self._connection, config, self.due, self.members)

    def _described(
        self, config: SourceConfig, report: SourceReport, stage: Stage, found: Rejected
    ) -> SourceReport:
        mapped = {**stage.mapped, **dict.fromkeys(config.computed, "(computed)")}
        rows, count = self._row("SELECT count(*), count(_reasons) FROM load")
        span = None
        if config.contract.time_column:
            time = identifier(config.contract.time_column)
            first, last = self._row(f"SELECT min({time})::VARCHAR, max({time})::VARCHAR FROM load")
            span = (first, last) if first else None
        said = self._findings(config, stage, bool(report.part))
        unread = unknown_columns(config, list(stage.scan.types))
        warnings = [*stage.scan.warnings, *([] if rows else ["no rows to look at"])]
        return replace(
            report,
            rows=rows,
            rejected=count,
            reasons=tuple(found.reasons.items()),
            examples=tuple(_examples(config, found)),
            span=span,
            columns=tuple(self._columns(config, mapped)),
            warnings=tuple(warnings),
            findings=tuple(said),
            problem=self._problem(config, rows, found),
            proposal=tuple(propose(config, unread).items()),
        )

    def _columns(self, config: SourceConfig, mapped: Mapping[str, str]) -> Iterator[ColumnReport]:
        """How the columns map, with the first value, the least and the greatest."""
        personal = config.contract.table.personal_columns
        names = config.contract.columns
        figures = self._row(
            "SELECT "
            + ", ".join(
                f"count({c}), [arg_min({c}, rowid)::VARCHAR, min({c})::VARCHAR, max({c})::VARCHAR]"
                for c in map(identifier, names)
            )
            + " FROM load"
        )
        for name, filled, values in zip(names, figures[::2], figures[1::2], strict=True):
            given = dict.fromkeys(value for value in values if value is not None)
            shown = ("(personal)",) if name in personal and given else map(_hidden, given)
            yield ColumnReport(
                name, mapped.get(name), name in config.contract.required, filled, tuple(shown)
            )

    def _problem(self, config: SourceConfig, rows: int, found: Rejected) -> str | None:
        """Why a load would fail, in its own words."""
        try:
            require_all_digits(config, found.reasons)
        except SourceError as error:
            return str(error)
        if rows and found.rows == rows:
            return "every row would be rejected"
        superseded = found.reasons.get(SUPERSEDED, 0)
        [(due, refused)] = self._connection.execute(
            "SELECT count(*), count(_reasons) FROM load "
            f"WHERE coalesce(_window_date < DATE '{self.due}', true)"
        ).fetchall()
        try:
            require_within_limits(
                DuckDBSession(self._connection),
                config,
                None,
                {None: due},
                refused - superseded,
                found.reasons,
                True,
            )
            require_rates(self._connection, config)
        except SourceError as error:
            return str(error)
        return None

    def _row(self, query: str) -> tuple[Any, ...]:
        row = self._connection.execute(query).fetchone()
        assert row is not None
        return row


def _fewer(after: Rejected, before: Rejected) -> bool:
    """Whether less is wrong: fewer rows are rejected, or as many for fewer reasons."""
    wrong = sum(after.reasons.values()), sum(before.reasons.values())
    return after.rows < before.rows or (after.rows == before.rows and wrong[0] < wrong[1])


def _undecided(option: Words, others: Sequence[Words]) -> Iterator[str]:
    """What else the values allow, for each kind of words once."""
    for said, why in (
        (("timestamp_formats",), "no value says whether day or month comes first"),
        (("decimal", "thousands"), "no value says which mark the decimals have"),
    ):
        mine = {word: option.get(word) for word in said}
        for other in others:
            theirs = {word: other.get(word) for word in said}
            # The same form next to others is no other form.
            same = {*(theirs[said[0]] or "")} & {*(mine[said[0]] or "")}
            if theirs != mine and not same:
                lines = (yaml_line(word, value) for word, value in theirs.items() if value)
                yield f"{', '.join(lines)} reads as much: {why}"
                break


def _hidden(value: str) -> str:
    # An address may stand where it does not belong.
    return "(hidden)" if "@" in value else value


def _examples(config: SourceConfig, found: Rejected) -> Iterator[tuple[str, str]]:
    personal = config.contract.table.personal_columns
    for name, values in found.values.items():
        # Of people, only what looks like a number or a time: a name may have been shifted here.
        values = [v for v in values if not personal or any(map(str.isdecimal, v))]
        if values and name not in personal:
            shown = sorted(values, key=lambda value: (len(value), value))
            some = dict.fromkeys((shown[0], shown[len(shown) // 2], shown[-1]))
            yield name, ", ".join(f"{_hidden(value):.40}" for value in some)
