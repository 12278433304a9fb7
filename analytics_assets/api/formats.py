"""Rows as JSON, CSV, an Arrow stream or Parquet, and the choice of one by `Accept`.

Belongs here: how each type is written. Does not belong here: which rows.

JSON: decimals are texts, because a JSON number loses digits in most clients; dates and times are
ISO 8601, times in UTC; NaN and infinities are the texts "NaN", "Infinity" and "-Infinity". CSV: a
null is an empty cell, an empty text is `""`; a text that a spreadsheet would take for a formula
begins with an apostrophe; where there is only one column, a null is `""`, too. Arrow and
Parquet have the types of the table.
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from analytics_assets.api.columns import Column
from analytics_assets.api.problems import ProblemError, bad_request
from analytics_assets.quoting import FORMULA, FORMULA_WIDE, identifier
from analytics_assets.schemas import Table
from analytics_assets.warehouse.lookup import iso_time
from analytics_assets.warehouse.session import Row, Session

CHUNK = 1000
JSON_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


@dataclass(frozen=True)
class Page:
    """Rows in some format.

    Attributes:
        body: the bytes.
        rows: number of rows in it.
        last: place of the last row if there are more after it; else None.
    """

    body: list[bytes]
    rows: int
    last: int | None


class Format(ABC):
    """How rows are written."""

    media_type: ClassVar[str]
    parameters: ClassVar[str] = ""

    def selected(self, columns: Sequence[Column]) -> list[str]:
        """SQL expressions of the columns; each row also gets its place as the last column."""
        return [identifier(column.name) for column in columns]

    @abstractmethod
    def write(
        self,
        session: Session,
        sql: str,
        parameters: Sequence[Any],
        columns: Sequence[Column],
        limit: int,
        most_bytes: int,
    ) -> Page:
        """Run a query and write its first `limit` rows; it may give one more.

        Raises:
            ProblemError: the answer would be larger than it may be.
        """


class JsonRows(Format):
    """JSON objects, separated by commas: what surrounds them is the answer's."""

    media_type = "application/json"

    def selected(self, columns: Sequence[Column]) -> list[str]:
        """Decimals as text; before the place, whether a number of the row is not finite."""
        selected = [
            f"{identifier(c.name)}::VARCHAR AS {identifier(c.name)}"
            if c.kind == "decimal"
            else identifier(c.name)
            for c in columns
        ]
        finite = [f"isfinite({identifier(c.name)})" for c in columns if c.kind == "double"]
        return [*selected, f"({' AND '.join(finite) or 'TRUE'}) IS FALSE AS _not_finite"]

    def write(
        self,
        session: Session,
        sql: str,
        parameters: Sequence[Any],
        columns: Sequence[Column],
        limit: int,
        most_bytes: int,
    ) -> Page:
        """Objects by column name."""
        names = [column.name for column in columns]
        body: list[bytes] = []

        def written(rows: list[Row]) -> bytes:
            objects = [dict(zip(names, row, strict=False)) for row in rows]
            for found, row in zip(objects, rows, strict=True):
                if row[-2]:
                    spell_not_finite(found)
            return orjson.dumps(objects, option=JSON_OPTIONS)[1:-1]

        chunks = session.chunks(sql, parameters, CHUNK)
        count, last = _collect(chunks, limit, most_bytes, written, body)
        return Page([b",".join(body)], count, last)


class Csv(Format):
    """Comma-separated values after RFC 4180, each line written by the engine."""

    media_type = "text/csv"
    parameters = "; charset=utf-8; header=present"

    def selected(self, columns: Sequence[Column]) -> list[str]:
        """The whole line as one text."""
        if len(columns) == 1:
            # Most programs skip an empty line: the row would be lost.
            return [f"coalesce(nullif({_cell(columns[0])}, ''), '\"\"') AS line"]
        return [f"concat_ws(',', {', '.join(map(_cell, columns))}) AS line"]

    def write(
        self,
        session: Session,
        sql: str,
        parameters: Sequence[Any],
        columns: Sequence[Column],
        limit: int,
        most_bytes: int,
    ) -> Page:
        """A head, and a line for each row."""
        body = [(",".join(column.name for column in columns) + "\r\n").encode()]

        def written(rows: list[Row]) -> bytes:
            return "".join(f"{row[0]}\r\n" for row in rows).encode()

        count, last = _collect(
            session.chunks(sql, parameters, CHUNK), limit, most_bytes, written, body
        )
        return Page(body, count, last)


class ArrowTable(Format):
    """A format that Arrow writes from a table."""

    def write(
        self,
        session: Session,
        sql: str,
        parameters: Sequence[Any],
        columns: Sequence[Column],
        limit: int,
        most_bytes: int,
    ) -> Page:
        """All rows at once."""
        table, last = _arrow_table(session, sql, parameters, limit, most_bytes)
        sink = io.BytesIO()
        self.encode(table, sink)
        return Page([sink.getvalue()], table.num_rows, last)

    @abstractmethod
    def encode(self, table: Any, sink: io.BytesIO) -> None:
        """Write a table of Arrow."""


class ArrowStream(ArrowTable):
    """The stream of Apache Arrow's IPC."""

    media_type = "application/vnd.apache.arrow.stream"

    def encode(self, table: Any, sink: io.BytesIO) -> None:
        """Record batches."""
        import pyarrow as pa

        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)


class Parquet(ArrowTable):
    """A Parquet file."""

    media_type = "application/vnd.apache.parquet"

    def encode(self, table: Any, sink: io.BytesIO) -> None:
        """One row group."""
        import pyarrow.parquet as pq

        pq.write_table(table, sink, compression="zstd")


JSON = JsonRows()
FORMATS: dict[str, Format] = {
    form.media_type: form for form in (JSON, Csv(), ArrowStream(), Parquet())
}


def chosen(accept: str) -> Format:
    """The format that a header `Accept` prefers; JSON where it leaves the choice.

    Raises:
        ProblemError: it accepts none of ours.
    """
    if accept in ("", "*/*", JSON.media_type):
        return JSON
    best: tuple[float, int, Format] | None = None
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    quality = float(parameter[2:])
                except ValueError:
                    quality = 0.0
        for media_type, form in FORMATS.items():
            if name in (media_type, f"{media_type.split('/')[0]}/*", "*/*") and 0 < quality <= 1:
                exact = 2 if name == media_type else 1 if not name.startswith("*") else 0
                if best is None or (quality, exact) > best[:2]:
                    best = (quality, exact, form)
    if best is None:
        raise ProblemError(
            406,
            "not-acceptable",
            f"Accept names none of {', '.join(FORMATS)}; name one, or leave the header out.",
        )
    return best[2]


def spell_not_finite(found: dict[str, Any]) -> None:
    """Replace NaN and infinities by texts, which JSON has no numbers for."""
    for name, value in found.items():
        if isinstance(value, float) and not math.isfinite(value):
            found[name] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def too_large(most_bytes: int) -> ProblemError:
    """The error of an answer with too many bytes."""
    return bad_request(
        "answer-too-large",
        f"The answer has more than {most_bytes // 1_000_000} MB. Ask for fewer rows with limit, or "
        "for fewer columns.",
    )


def _collect(
    chunks: Iterator[list[Row]],
    limit: int,
    most_bytes: int,
    written: Any,
    body: list[bytes],
) -> tuple[int, int | None]:
    """Write chunks of rows; their number, and the place of the last one if there are more."""
    count = size = 0
    last = None
    for rows in chunks:
        more = count + len(rows) > limit
        kept = rows[: limit - count] if more else rows
        if kept:
            last = kept[-1][-1]
            body.append(written(kept))
            count += len(kept)
            size += len(body[-1])
            if size > most_bytes:
                raise too_large(most_bytes)
        if more:
            return count, last
    return count, None


def _arrow_table(
    session: Session, sql: str, parameters: Sequence[Any], limit: int, most_bytes: int
) -> tuple[Any, int | None]:
    import pyarrow as pa

    batches, size = [], 0
    reader = session.batches(sql, CHUNK, parameters)
    for batch in reader:
        batches.append(batch)
        size += batch.nbytes
        if size > most_bytes:
            raise too_large(most_bytes)
    schema = batches[0].schema if batches else reader.schema  # type: ignore[attr-defined]
    table = pa.Table.from_batches(batches, schema)
    places = table.column(table.num_columns - 1)
    last = places[limit - 1].as_py() if table.num_rows > limit else None
    return table.select(table.column_names[:-1]).slice(0, limit), last


def _cell(column: Column) -> str:
    """SQL of a cell of a CSV line."""
    name = identifier(column.name)
    if column.kind == "timestamp":
        return f"coalesce({iso_time(name)}, '')"
    if column.kind != "text":
        return f"coalesce({name}::VARCHAR, '')"
    begins = " OR ".join(
        f"starts_with({name}, chr({ord(sign)}))" for sign in FORMULA + FORMULA_WIDE
    )
    text = f"replace({name}, '\"', '\"\"')"
    return f"""coalesce('"' || CASE WHEN {begins} THEN '''' ELSE '' END || {text} || '"', '')"""


def objects(
    session: Session,
    table: Table,
    columns: Sequence[Column],
    rest: str,
    parameters: Sequence[Any] = (),
) -> list[dict[str, Any]]:
    """Rows of a table as JSON has them.

    Args:
        session: the session.
        table: the table, which is `t` in SQL.
        columns: the columns.
        rest: SQL after FROM.
        parameters: parameters of `rest`.
    """
    selected = ", ".join(JSON.selected(columns))
    rows = session.rows(f"SELECT {selected} FROM {table.relation} t {rest}", parameters)
    names = [column.name for column in columns]
    found = [dict(zip(names, row, strict=False)) for row in rows]
    for one, row in zip(found, rows, strict=True):
        if row[-1]:
            spell_not_finite(one)
    return found
