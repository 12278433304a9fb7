"""The interface between the engine and everything that uses the warehouse.

Belongs here: the interface, and the SQL that reads the same on every engine. Does not belong here:
how one engine does it (a module each, such as `duckdb_engine`).

SQL is written in DuckDB's dialect. For another engine sqlglot translates it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from analytics_assets.partitions import Window
from analytics_assets.schemas import Table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Row = tuple[Any, ...]


class Session(ABC):
    """One open connection to an engine; the owner of the connection closes it.

    Attributes:
        dialect: sqlglot's name of the engine's SQL.
    """

    dialect: ClassVar[str]

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement whose result nobody reads."""
        self._run(self._translated(sql), parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a small result."""
        return self._fetch(self._translated(sql), parameters)[1]

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row:
        """The first row of a result that has one."""
        return self.rows(sql, parameters)[0]

    def chunks(
        self, sql: str, parameters: Sequence[Any] = (), size: int = 1000
    ) -> Iterator[list[Row]]:
        """The rows of a large result, `size` at a time."""
        return self._chunks(self._translated(sql), parameters, size)

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """The first column of the first row; None where there is no row."""
        rows = self.rows(sql, parameters)
        return rows[0][0] if rows else None

    def records(self, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """All rows of a small result, by column name."""
        names, rows = self._fetch(self._translated(sql), parameters)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def frame(self, sql: str, parameters: Sequence[Any] = ()) -> "pd.DataFrame":
        """The result as a pandas frame."""
        return self._frame(self._translated(sql), parameters)

    def batches(
        self, sql: str, size: int, parameters: Sequence[Any] = ()
    ) -> "Iterator[pa.RecordBatch]":
        """A large result as Arrow record batches of at most `size` rows."""
        return self._batches(self._translated(sql), size, parameters)

    def count(self, relation: str, where: str = "TRUE") -> int:
        """Rows of a relation that meet a condition."""
        return int(self.value(f"SELECT count(*) FROM {relation} WHERE {where}"))

    def exists(self, table: Table) -> bool:
        """Whether the table or view exists."""
        return self.kind(table) is not None

    @abstractmethod
    def interrupt(self) -> None:
        """End the statement that runs in this session, from another thread; it raises an error."""

    @abstractmethod
    def kind(self, table: Table) -> str | None:
        """'table', 'view', or None where the relation does not exist."""

    @abstractmethod
    def columns(self, table: Table, catalog: str | None = None) -> dict[str, str]:
        """Types of a relation's columns, in order, in the main catalog or in an attached one."""

    @abstractmethod
    def declared_types(self, table: Table) -> dict[str, str]:
        """Types of a table's columns as declared, in the words of `columns`."""

    def has_declared_columns(self, table: Table) -> bool:
        """Whether the relation's columns are those that the table declares, in name and type."""
        return self.columns(table) == self.declared_types(table)

    @abstractmethod
    def kinds(self, only: tuple[str, str] | None = None) -> dict[tuple[str, str], str]:
        """The kind of every relation, or of only one, by schema and name."""

    @abstractmethod
    def ibis(self, table: Table) -> Any:
        """The relation as an Ibis table."""

    @abstractmethod
    def register(self, name: str, frame: "pd.DataFrame | pa.Table") -> None:
        """Let SQL read a frame under a name, until the session ends."""

    @abstractmethod
    def keep(self, name: str, sql: str) -> None:
        """Store the result of a query under a name, until it is dropped or the session ends."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop the result that was stored under a name."""

    @abstractmethod
    def attach(self, path: Path, name: str) -> str:
        """Make another build readable under a name, until the session ends.

        Returns:
            The statement with which a person can do the same.
        """

    @abstractmethod
    def replace_window(
        self,
        table: Table,
        relation: str,
        window: Window | None,
        where: str = "TRUE",
        *,
        fits: bool = False,
    ) -> int:
        """Replace the rows of a window by those of a relation, by column name.

        The caller has opened the transaction. Without a window the whole table is replaced.

        Args:
            table: the table to write; it is created where it does not exist.
            relation: SQL relation with the table's columns, in any order.
            window: the window; the table's window column says which rows are in it.
            where: a further condition on the rows that are replaced, for tables that several
                loads share.
            fits: the relation is known to have the table's columns and only rows of the window;
                checking that would read it once more.

        Returns:
            The number of rows inserted.

        Raises:
            WindowError: columns are missing or unknown, or rows are outside the window.
        """

    def _translated(self, sql: str) -> str:
        if self.dialect == "duckdb":
            return sql
        import sqlglot

        return ";\n".join(sqlglot.transpile(sql, read="duckdb", write=self.dialect))

    @abstractmethod
    def _run(self, sql: str, parameters: Sequence[Any]) -> None: ...

    @abstractmethod
    def _fetch(self, sql: str, parameters: Sequence[Any]) -> tuple[list[str], list[Row]]: ...

    @abstractmethod
    def _chunks(self, sql: str, parameters: Sequence[Any], size: int) -> Iterator[list[Row]]: ...

    @abstractmethod
    def _frame(self, sql: str, parameters: Sequence[Any]) -> "pd.DataFrame": ...

    @abstractmethod
    def _batches(
        self, sql: str, size: int, parameters: Sequence[Any]
    ) -> "Iterator[pa.RecordBatch]": ...
