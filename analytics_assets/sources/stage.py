"""Looking through the rows of a source: typed, numbered, counted, with what became of each.

Belongs here: the relation of a scan's typed rows, the temporary table `load` of what became of each
row, and the proof that no row was lost on the way. Does not belong here: what is written to the
warehouse (`load`), types (`typed`).
"""

import re
import shutil
from collections.abc import Iterator
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


@dataclass(frozen=True)
class Held:
    """What a part of a source holds for one day.

    Attributes:
        part: index of the part in the scan.
        day: the day that the rows are accounted to; None for a source without days.
        rows: all of them.
        rejected: those that are rejected.
        hashes: sum of their hashes.
        split: those of them that are refunds, and no rows of the part.
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
        scan: the scan.
        typed: SQL relation of all rows that have columns, in their order: what `typed_relation`
            gives, `_load_row` and `_load_line` (NULL where the scan does not number its rows), and
            `source_file`.
        looked: whether there is a table `load`.
        refunds: whether rows can have refunds.
        refunded: whether the source says what was refunded, maybe on another day than the line's.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        config: SourceConfig,
        calendar: Calendar,
        scan: Scan,
    ) -> None:
        self.scan = scan
        self.looked = False
        self._connection, self._config, self._calendar = connection, config, calendar
        numbers = ["_load_row", "_load_line"]
        mapped = mapped_columns(config, list(scan.types), config.source)
        own = list(scan.types)
        scan, computed = with_computed(connection, config, scan)
        self.mapped = mapped = {**mapped, **computed}
        scan = self.scan = by_order(config, scan, mapped, self.firsts)
        self.refunds = has_refunds(config, mapped)
        self.refunded = self.refunds and "refunded_amount" in mapped
        follows = config.contract.follows.items()
        # Required columns that follow from another, by name.
        self.following = {n: f for n, f in follows if n not in mapped and f in mapped}
        kept = ["_load_part", *(numbers if scan.numbered else [])]
        if config.order_snapshot:
            kept.append("_superseded")
        rows = typed_relation(config, scan, own, mapped, self.following, kept, calendar)
        nulls = "" if scan.numbered else "".join(f", NULL::BIGINT AS {name}" for name in numbers)
        names = ", ".join(literal(part.name) for part in scan.parts)
        file = (
            literal(scan.parts[0].name)
            if len(scan.parts) == 1
            else (f"([{names}]::VARCHAR[])[_load_part::BIGINT + 1]")
        )
        self.typed = f"(SELECT *{nulls}, {file} AS source_file FROM {rows})"

    @property
    def counted(self) -> int | None:
        """Rows that were counted before they were read; None where nothing counted them."""
        rows = [part.rows for part in self.scan.parts]
        return None if None in rows else sum(row or 0 for row in rows)

    @property
    def firsts(self) -> list[int]:
        """Of each part, how many rows with columns the parts before it have."""
        well_formed = [part.rows or 0 for part in self.scan.parts]
        for row in self.scan.malformed:
            well_formed[row.part] -= 1
        return [sum(well_formed[:index]) for index in range(len(well_formed))]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What DuckDB says while it reads the rows, as an error of the source.

        Raises:
            DoubtError: the scan trusted the form of its files.
            SourceError: it did not.
        """
        try:
            yield
        except duckdb.Error as error:
            if isinstance(error, (duckdb.ConstraintException, duckdb.OutOfMemoryException)):
                raise
            # Not chained: DuckDB quotes the row.
            kind = DoubtError if self.scan.trusted else SourceError
            raise kind(f"{self._config.source}: {_sentence(str(error), self.scan)}") from None

    def look(self, *columns: str) -> None:
        """Make `load`: what became of each row of the scan, the malformed ones too.

        Its columns are `_load_part`, `_window_date`, `_reasons`, `_refund`, `_json`, `_noted`,
        `_hash`, `_load_row`, `_load_line`, and those of the contract that are asked for.

        Raises:
            SourceError: the rows cannot be read, or are not those that were counted.
        """
        if self.looked:
            return
        listed = ", ".join(map(identifier, columns))
        with self.reading():
            self._connection.execute(
                "CREATE OR REPLACE TEMP TABLE load AS SELECT _load_part, _window_date, _reasons, "
                f"_refund, _json, _noted, {row_hash(self._config)} AS _hash, _load_row, "
                f"_load_line{listed and ', ' + listed} FROM {self.typed}"
            )
        self._add_malformed()
        found = dict(
            self._connection.execute("SELECT _load_part, count(*) FROM load GROUP BY 1").fetchall()
        )
        self.require({index: found.get(index, 0) for index in range(len(self.scan.parts))})
        self.looked = True

    def require(self, found: dict[int, int]) -> None:
        """Refuse rows that are not those that were counted in the files.

        Raises:
            DoubtError: the scan trusted the form of its files.
            SourceError: it did not.
        """
        for index, part in enumerate(self.scan.parts):
            if part.rows is not None and found[index] != part.rows:
                kind = DoubtError if self.scan.trusted else SourceError
                raise kind(
                    f"{self._config.source}: {part.name} has {part.rows:,} rows, of which "
                    f"{found[index]:,} were read. Nothing was loaded; look whether the file is "
                    "being written to."
                )

    @property
    def rows(self) -> str:
        """`load` with the numbers that the rows have in their files: source_row, source_line.

        Rows that bear no number lie in the order of their files, so that their place numbers them.
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

    def held(self) -> list[Held]:
        """What each part holds for each day; looks at the rows."""
        self.look()
        rows = self._connection.execute(
            "SELECT _load_part, _window_date, count(*), count(_reasons), sum(_hash::HUGEINT), 0 "
            "FROM load GROUP BY 1, 2"
        ).fetchall()
        if self.refunds:
            rows += self._connection.execute(
                "SELECT _load_part, _refund._day, count(*), 0, sum(hash(_refund)::HUGEINT), "
                "count(*) FROM load WHERE _refund._day IS NOT NULL GROUP BY 1, 2"
            ).fetchall()
        return [Held(*row) for row in rows]

    def _add_malformed(self) -> None:
        """Rows without columns join the others, accounted to the day of their file or the first."""
        rows = []
        for row in self.scan.malformed:
            day: date | None = None
            if self._config.contract.time_column:
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
        self._connection.register("malformed", pa.Table.from_pylist(rows, schema))
        nulls = ", ".join(
            f"NULL::{type_}"
            for name, type_ in self._config.contract.table.sql_types.items()
            if name in self._config.contract.columns
        )
        self._connection.execute(
            "INSERT INTO load BY NAME SELECT day AS _window_date, [reason] AS _reasons, "
            'to_json({"_text": text})::VARCHAR AS _json, '
            f"hash({nulls}, _json) AS _hash, part AS _load_part, "
            '"row" AS _load_row, line AS _load_line FROM malformed'
        )
        self._connection.unregister("malformed")


def row_hash(config: SourceConfig, json: str = "_json") -> str:
    """SQL of a row's hash: of its typed values, and of the whole row where it is rejected."""
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
    """The rows that a scanner hands over.

    Args:
        connection: the connection; it may be within a transaction.
        config: the source.
        calendar: the days that the sources cover.
        scanner: opens the scan, given the connection and a folder for copies.
        scratch: where the folder for copies is made; the system's place without it.

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
