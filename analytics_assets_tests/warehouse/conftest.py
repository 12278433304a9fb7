"""A warehouse file, other processes that open it, and a small table."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from analytics_assets.schemas.base import (
    Date,
    Double,
    Integer,
    Table,
    TableModel,
    Text,
    column,
)
from analytics_assets.warehouse.connection import Warehouse

OPEN = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
print("open", flush=True)
sys.stdin.read()
"""


class Readings(TableModel):
    """A table of tests."""

    day: Date = column("Day; the partition")
    name: Text = column("Name")
    first: Integer = column("A number")
    second: Integer = column("Another of the same type: swapped unseen by position")
    note: Text = column("Often missing", nullable=True)
    share: Double = column("Often missing", nullable=True)


def readings(partitioning: str | None = "daily") -> Table:
    """The table of tests, as declared."""
    window_column = "day" if partitioning else None
    return Table("readings", "raw", Readings, ("day", "name"), partitioning, window_column, ())


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.duckdb", patience=0.2)


@pytest.fixture
def in_another_process() -> Iterator[Callable[[Path, str], "subprocess.Popen[str]"]]:
    """Opens the file in another process ('read' or 'write') until the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path, mode: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", OPEN, str(path), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n", process.communicate()[1]
        return process

    yield start
    for process in started:
        process.communicate()
