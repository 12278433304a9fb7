"""Where a value has got to: every file under a folder, and every text of a DuckDB file."""

import re
from collections.abc import Iterable
from pathlib import Path

from analytics_assets.warehouse.session import Session


def places_of(pattern: re.Pattern[bytes], folder: Path, apart: Iterable[Path] = ()) -> list[Path]:
    """Files under a folder that hold the pattern, beside those apart.

    Not of DuckDB files: they pack texts, and their bytes prove nothing.
    """
    apart = set(apart)
    files = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not apart & {file, *file.parents}
    ]
    assert files
    return [file for file in files if pattern.search(file.read_bytes())]


def tables_with(text: str, session: Session) -> set[str]:
    """Tables and views that hold the text in any column, whatever its type."""
    relations = session.rows(
        "SELECT DISTINCT schema_name || '.' || table_name FROM duckdb_columns() WHERE NOT internal"
    )
    assert len(relations) > 10
    return {
        name
        for (name,) in relations
        if session.rows(
            f"SELECT 1 FROM {name} AS r WHERE contains(lower(r::VARCHAR), ?) LIMIT 1", [text]
        )
    }
