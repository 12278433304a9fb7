"""Small CSV sources and the warehouse that they are loaded into."""
# ruff: noqa: DTZ001  (the warehouse holds naive UTC)

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.load import LoadResult, load_source
from analytics_assets.sources.readers.base import DoubtError
from analytics_assets.warehouse.connection import Warehouse

CALENDAR = Calendar(date(2024, 1, 1), date(2024, 2, 1))
JANUARY = Window(date(2024, 1, 1), date(2024, 2, 1))
ORDERS = ("order_id", "ordered_at", "customer_id", "product_id", "quantity", "unit_price")
# Opening a database in memory takes as long as loading a small file into it.
IDLE: list[duckdb.DuckDBPyConnection] = []
GOOD = {
    "order_id": "O1",
    "ordered_at": "2024-01-02 10:00:00",
    "customer_id": "C1",
    "product_id": "P1",
    "quantity": "2",
    "unit_price": "3.5",
}


def csv_of(*rows: dict[str, str], columns: Iterable[str] = ORDERS) -> str:
    """CSV text with a header; values go in as they are written, quotes and all."""
    columns = list(columns)
    lines = [columns, *([{**GOOD, **row}[column] for column in columns] for row in rows)]
    return "".join(",".join(line) + "\n" for line in lines)


def state_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    """All that loads have written, load times aside."""
    return {
        table.name: connection.execute(
            f"SELECT * EXCLUDE ({', '.join(table.volatile)}) FROM {table.relation} ORDER BY ALL"
        ).fetchall()
        for table in TABLES.values()
        if table.group == "raw"
    }


class Source:
    """Files of a source in a folder, and what loading them gives.

    Loads go into memory, which is faster, until a test asks for the file of a warehouse.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._memory: duckdb.DuckDBPyConnection | None = None

    @cached_property
    def warehouse(self) -> Warehouse:
        assert self._memory is None
        warehouse = Warehouse(self.folder / "warehouse.duckdb")
        warehouse.prepare()
        return warehouse

    def empty(self) -> None:
        """Forget what was loaded."""
        if self._memory is None:
            self._memory = IDLE.pop() if IDLE else duckdb.connect()
            self._memory.execute("SET TimeZone = 'UTC'")
        self._memory.execute("DROP SCHEMA IF EXISTS raw CASCADE")
        self._memory.execute("CREATE SCHEMA raw")
        for table in TABLES.values():
            if table.group == "raw":
                self._memory.execute(table.ddl)

    def close(self) -> None:
        """Leave the memory to the next source."""
        if self._memory is not None:
            IDLE.append(self._memory)
            self._memory = None

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if "warehouse" in self.__dict__:
            with self.warehouse.transaction() as session:
                yield session.connection
            return
        if self._memory is None:
            self.empty()
        assert self._memory is not None
        self._memory.execute("BEGIN")
        try:
            yield self._memory
            self._memory.execute("COMMIT")
        except BaseException:
            self._memory.execute("ROLLBACK")
            raise

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def config(
        self, path: str = "orders.csv", source: str = "orders", **words: Any
    ) -> SourceConfig:
        return SourceConfig(source, str(self.folder / "in" / path), **words)

    def load(
        self,
        config: SourceConfig | None = None,
        window: Window | None = JANUARY,
        calendar: Calendar = CALENDAR,
        loaded_at: datetime = datetime(2024, 2, 1, 12),
        **options: Any,
    ) -> LoadResult:
        given = (config or self.config(), calendar, window, loaded_at)
        try:
            with self.transaction() as connection:
                return load_source(connection, *given, careful=False, **options)
        except DoubtError:
            with self.transaction() as connection:
                return load_source(connection, *given, **options)

    def rows(self, query: str) -> list[Any]:
        with self.transaction() as connection:
            return connection.execute(query).fetchall()

    def state(self) -> dict[str, list[Any]]:
        """All that loads have written, load times aside."""
        with self.transaction() as connection:
            return state_of(connection)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    source = Source(tmp_path)
    yield source
    source.close()
