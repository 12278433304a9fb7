"""A warehouse file that tests fill with a few rows."""

from pathlib import Path

import pytest

from analytics_assets.warehouse.connection import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path / "warehouse.duckdb", patience=0.2)
    made.prepare()
    return made
