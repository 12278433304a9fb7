"""The rows of a source between reading and writing: typed, numbered, counted, accepted or rejected.

Belongs here: the relation of a scan's typed rows, the temporary table `load` with the verdict on
each row, and the proof that no row was lost on the way. Does not belong here: what is written to
the warehouse (`load`), types (`typed`).
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import mkdtemp

import duckdb
import pyarrow as pa

from analytics_assets.partitions import Calendar
from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.expressions import with_computed
from analytics_assets.sources.readers.base import (
    DoubtError,
    Scan,
    Scanner,
    SourceError,
    mapped_columns,
)
from analytics_assets.sources.refunds import has_refunds
from analytics_assets.sources.typed import typed_relation
from analytics_assets.sources.whole_orders import by_order
from analytics_assets.warehouse.damage import is_damage


@dataclass(frozen=True)
class PartDay:
    """The rows of one part of a source that belong to one day.

    Attributes:
        part: index of the part in the scan.
        day: the day; None for a source without days.
        rows: number of rows.
        rejected: how many of them are rejected.
        hashes: sum of their hashes.
        split: how many of them are refunds, which are not rows of the part.
    """

    part: int
    day: date | None
    rows: int
    rejected: int
    hashes: int
    split: int = 0


class Stage:
    """The rows of a scan.

    Attributes:
        connection: the connection that reads them.
        config: the source.
        scan: the scan.
        mapped: the scan's name of each of our columns that it has.
        typed: SQL relation of all rows that have columns, in their order: the columns of
            `typed_relation`, `_load_row` and `_load_line` (NULL where the scan does not number its
            rows), and `source_file`.
        has_load: whether the table `load` exists.
        refunds: whether rows can have refunds.
        refunded: whether the source has a refunded amount, which may be of a later day.
        following: required columns that follow from another, by name.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        config: SourceConfig,
        calendar: Calendar,
        scan: Scan,
    ) -> None:
        self.has_load = False
        self.connection, self.config, self._calendar = connection, config, calendar
        self.scan = scan
        numbers = ["_load_row", "_load_line"]
        own = list(scan.types)
        mapped = mapped_columns(config, own, config.source)
        scan, computed = with_computed(connection, config, scan)
        self.mapped = mapped = {**mapped, **computed}
        scan = self.scan = by_order(config, scan, mapped, self.firsts)
        self.refunds = has_refunds(config, mapped)
        self.refunded = self.refunds and "refunded_amount" in mapped
        follows = config.contract.follows.items()
        self.following = {n: f for n, f in follows if n not in mapped and f in mapped}
        kept = ["_load_part", *(numbers if scan.numbered else [])]
        if config.order_snapshot:
            kept.append("_superseded")
        rows = typed_relation(config, scan, own, mapped, self.following, kept, calendar)
        nulls = "" if scan.numbered else "".join(f", NULL::BIGINT AS {name}" for name in numbers)
        names = ", ".join(literal(part.name) for part in scan.parts)
        one = len(scan.parts) == 1
        file = names if one else f"([{names}]::VARCHAR[])[_load_part::BIGINT + 1]"
        self.typed = f"(SELECT *{nulls}, {file} AS source_file FROM {rows})"

    @property
    def counted(self) -> int | None:
        """Number of rows, counted before they are read; None where nothing could count them."""
        rows = [part.rows for part in self.scan.parts]
        return None if None in rows else sum(row or 0 for row in rows)

    @property
    def firsts(self) -> list[int]:
        """For each part, the number of well-formed rows in the parts before it."""
        well_formed = [part.rows or 0 for part in self.scan.parts]
        for row in self.scan.malformed:
            well_formed[row.part] -= 1
        return [sum(well_formed[:index]) for index in range(len(well_formed))]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what DuckDB raises while it reads the rows into an error of the source.

        Raises:
            DoubtError: the scan trusted the form of its files.
            SourceError: it did not.
        """
        try:
            yield
        except duckdb.Error as error:
            if isinstance(error, (duckdb.ConstraintException, duckdb.OutOfMemoryException)):
                raise
            if is_damage(error):
                raise  # of the warehouse, not of the source
            # Not chained: DuckDB quotes the row.
            message = _without_rows(str(error), self.scan)
            raise self._error(f"{self.config.source}: {message}") from None

    def _error(self, message: str) -> SourceError:
        return (DoubtError if self.scan.trusted else SourceError)(message)

    def look(self, *columns: str) -> None:
        """Create `load`: one row for each row of the scan, the malformed ones included.

        Its columns are `_load_part`, `_window_date`, `_reasons`, `_refund`, `_json`, `_noted`,
        `_hash`, `_load_row`, `_load_line`, and the given ones of the contract.

        Raises:
            SourceError: the rows cannot be read, or are not those that were counted.
        """
        if self.has_load:
            return
        listed = ", ".join(map(identifier, columns))
        with self.reading():
            self.connection.execute(
                "CREATE OR REPLACE TEMP TABLE load AS SELECT _load_part, _window_date, _reasons, "
                f"_refund, _json, _noted, {row_hash(self.config)} AS _hash, _load_row, "
                f"_load_line{listed and ', ' + listed} FROM {self.typed}"
            )
        self._add_malformed()
        self.require(
            dict(
                self.connection.execute(
                    "SELECT _load_part, count(*) FROM load GROUP BY 1"
                ).fetchall()
            )
        )
        self.has_load = True

    def require(self, rows: Mapping[int, int]) -> None:
        """Refuse a scan of whose parts other numbers of rows were read than were counted.

        Raises:
            DoubtError: the scan trusted the form of its files.
            SourceError: it did not.
        """
        for index, part in enumerate(self.scan.parts):
            if part.rows not in (None, rows.get(index, 0)):
                raise self._error(
                    f"{self.config.source}: {part.name} has {part.rows:,} rows, of which "
                    f"{rows.get(index, 0):,} were read. Nothing was loaded; check whether the file "
                    "is being written to."
                )

    @property
    def rows(self) -> str:
        """SQL relation: `load` with the row's number and line in its file: source_row, source_line.

        Rows without a number are in the order of their files, so their position numbers them.
        """
        lines = [part.lines_before for part in self.scan.parts]
        # Within a transaction DuckDB numbers new rows from a high number on.
        return (
            "(SELECT * EXCLUDE (_load_row, _load_line), _load_row AS source_row, "
            "coalesce(_load_line, _load_row + lines_before) AS source_line FROM ("
            "SELECT load.* EXCLUDE (_load_row), parts.* EXCLUDE (part, first), rowid AS place, "
            "coalesce(_load_row, rowid - (SELECT min(rowid) FROM load) - first + 1) AS _load_row "
            f"FROM load JOIN (SELECT unnest({list(range(len(lines)))}::BIGINT[]) AS part, "
            f"unnest({self.firsts}::BIGINT[]) AS first, "
            f"unnest([{', '.join('NULL' if n is None else str(n) for n in lines)}]::BIGINT[]) "
            f"AS lines_before, unnest([{', '.join(literal(p.name) for p in self.scan.parts)}]"
            "::VARCHAR[]) AS source_file) AS parts ON load._load_part = parts.part))"
        )

    def contents(self) -> list[PartDay]:
        """The rows of each part by day; creates `load`."""
        self.look()
        rows = self.connection.execute(
            "SELECT _load_part, _window_date, count(*), count(_reasons), sum(_hash::HUGEINT), 0 "
            "FROM load GROUP BY 1, 2"
        ).fetchall()
        if self.refunds:
            rows += self.connection.execute(
                "SELECT _load_part, _refund._day, count(*), 0, sum(hash(_refund)::HUGEINT), "
                "count(*) FROM load WHERE _refund._day IS NOT NULL GROUP BY 1, 2"
            ).fetchall()
        return [PartDay(*row) for row in rows]

    def _add_malformed(self) -> None:
        """Add the rows without columns to `load`, on the day of their file or on the first day."""
        rows = []
        for row in self.scan.malformed:
            day: date | None = None
            if self.config.contract.time_column:
                start = self._calendar.start
                day = max(self.scan.parts[row.part].day or start, start)
            rows.append({"part": row.part, "row": row.row, "line": row.line, "day": day,
                         "reason": row.reason, "text": row.text})  # fmt: skip
        if not rows:
            return
        schema = pa.schema(
            {"part": pa.int64(), "row": pa.int64(), "line": pa.int64(), "day": pa.date32(),
             "reason": pa.string(), "text": pa.string()}
        )  # fmt: skip
        self.connection.register("malformed", pa.Table.from_pylist(rows, schema))
        nulls = ", ".join(
            f"NULL::{type_}"
            for name, type_ in self.config.contract.table.sql_types.items()
            if name in self.config.contract.columns
        )
        self.connection.execute(
            "INSERT INTO load BY NAME SELECT day AS _window_date, [reason] AS _reasons, "
            'to_json({"_text": text})::VARCHAR AS _json, '
            f"hash({nulls}, _json) AS _hash, part AS _load_part, "
            '"row" AS _load_row, line AS _load_line FROM malformed'
        )
        self.connection.unregister("malformed")


def row_hash(config: SourceConfig, json: str = "_json") -> str:
    """SQL of the hash of a row's typed values, and of the whole row where it is rejected."""
    columns = ", ".join(map(identifier, config.contract.columns))
    return f"hash({columns}, {json})"


@contextmanager
def staged(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    calendar: Calendar,
    scanner: Scanner,
    scratch: Path | None,
) -> Iterator[Stage]:
    """The rows of a scan.

    Args:
        connection: the connection; it may be within a transaction.
        config: the source.
        calendar: the days that the sources cover.
        scanner: opens the scan, given the connection and a folder for copies.
        scratch: parent of the folder for copies; None for the system's temporary folder.

    Raises:
        SourceError: the source cannot be read, or changed while it was.
    """
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix="incoming-", dir=scratch))
    try:
        with scanner(connection, folder) as scan:
            yield Stage(connection, config, calendar, scan)
        connection.execute("DROP TABLE IF EXISTS temp.load")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _without_rows(message: str, scan: Scan) -> str:
    """DuckDB's message about a file, without the row that it quotes."""
    files = re.findall(r"^  file = (.+)$", message, re.MULTILINE)
    line = re.search(r"CSV Error on Line: (\d+)", message)
    why = re.search(
        r"^(Invalid unicode|Invalid Input Error: Invalid unicode)", message, re.MULTILINE
    )
    if not files and not line:
        names = ", ".join(part.name for part in scan.parts[:3])
        more = f" and {len(scan.parts) - 3} more" if len(scan.parts) > 3 else ""
        sentence = re.sub(r'"[^"]*/', '"', message.splitlines()[0])[:200]
        return f"{names}{more}: {sentence}. Deliver it again; nothing was loaded."
    name = next((part.name for part in scan.parts if files and files[-1].endswith(part.name)), "")
    return (
        f"{name or 'a file'}"
        + (f", line {line[1]}" if line else "")
        + (
            ": not UTF-8. Declare `encoding` in the source configuration, or deliver UTF-8."
            if why
            else ": the rows do not fit the header. Deliver it again, or correct the `delimiter` "
            "of the source."
        )
        + " Nothing was loaded."
    )
