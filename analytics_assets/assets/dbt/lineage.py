"""Column lineage of the dbt models, for the assets' metadata.

Belongs here: tracing each column of a model's compiled SQL to the columns of its parents. Those
come from the declared tables, without a query.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from dagster import AssetKey, TableColumnDep, TableColumnLineage

from analytics_assets.schemas import TABLES, Table

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def column_lineage(
    target: Path, tables: Iterable[Table], cache_file: Path
) -> dict[str, TableColumnLineage]:
    """Lineage of the models that dbt compiled into a target folder.

    Tracing takes tens of milliseconds for each column, so the result is cached by the hash of the
    SQL without window dates.

    Args:
        target: dbt's target folder of the run.
        tables: the models.
        cache_file: JSON file of the cache.
    """
    cache: dict[str, dict[str, list[list[str]]]] = {}
    if cache_file.is_file():
        cache = json.loads(cache_file.read_text(encoding="utf-8"))
    lineages: dict[str, TableColumnLineage] = {}
    changed = False
    for table in tables:
        compiled = next(target.glob(f"compiled/*/models/*/{table.name}.sql"), None)
        if compiled is None:
            continue
        sql = compiled.read_text(encoding="utf-8")
        key = f"{table.name}-{hashlib.sha256(_DATE.sub('', sql).encode()).hexdigest()[:16]}"
        if key not in cache:
            cache = {k: v for k, v in cache.items() if not k.startswith(f"{table.name}-")}
            cache[key] = _trace(sql, table)
            changed = True
        lineages[table.name] = TableColumnLineage(
            {
                column: [TableColumnDep(AssetKey(parent), name) for parent, name in deps]
                for column, deps in cache[key].items()
            }
        )
    if changed:
        new = cache_file.with_suffix(".part")
        new.write_text(json.dumps(cache), encoding="utf-8")
        new.replace(cache_file)
    return lineages


def _trace(sql: str, table: Table) -> dict[str, list[list[str]]]:
    # Imported here: sqlglot is only needed when a model has changed.
    from sqlglot import exp
    from sqlglot.lineage import lineage

    schema: dict[str, dict[str, dict[str, dict[str, str]]]] = {"warehouse": {}}
    for parent in TABLES.values():
        schema["warehouse"].setdefault(parent.group, {})[parent.name] = dict(parent.sql_types)
    parents: dict[str, list[list[str]]] = {}
    # trim_selects would copy each query for each of its columns, only for display.
    traced = lineage(None, sql, schema, dialect="duckdb", trim_selects=False)
    for column, root in traced.items():
        leaves = set()
        for node in root.walk():
            source = node.expression.find(exp.Table) if not node.downstream else None
            if source is not None and source.name in TABLES:
                leaves.add((source.name, node.name.split(".")[-1].strip('"')))
        if column in table.columns:
            parents[column] = [list(leaf) for leaf in sorted(leaves)]
    return parents
