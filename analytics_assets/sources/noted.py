"""Identifiers that a load changes: trimmed, without their `.0`, or a word for a missing value.

Belongs here: the warnings that count them. Does not belong here: how an identifier is read
(`typed_column`).
"""

from analytics_assets.partitions import Window
from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.config import NOBODY
from analytics_assets.sources.stage import Stage
from analytics_assets.warehouse.windows import window_predicate

WHAT = {"trimmed": "white space trimmed", "whole": ".0 left out"}


def noted_identifiers(stage: Stage, window: Window | None) -> list[str]:
    """A warning for each column and kind of change; creates `load` where there is any."""
    connection, table = stage.connection, stage.config.contract.table
    inside = window_predicate(str(table.window_column), window)
    ((least,),) = connection.execute(
        f"SELECT min(source_row) FROM {table.relation} WHERE {inside}"
    ).fetchall()
    if least is None or least > 0:
        return []
    stage.look()
    noted = (
        "(SELECT unnest(_noted, recursive := true) FROM load "
        f"WHERE _reasons IS NULL AND {window_predicate('_window_date', window)})"
    )
    kinds = connection.execute(
        f"SELECT note, name, count(*) FROM {noted} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    warnings = []
    for note, name, rows in kinds:
        if note == "missing":
            warnings.append(
                f"{name}: a word for a missing value ({', '.join(NOBODY)}) in {rows:,} rows, read "
                f"as missing; `null_words: {{{name}: []}}` reads it as an identifier"
            )
            continue
        ((equal,),) = connection.execute(
            "SELECT count(*) FILTER (stored > cut) "
            f"FROM (SELECT value, count(*) AS cut FROM {noted} WHERE name = {literal(name)} "
            f"AND note = {literal(note)} GROUP BY 1) JOIN (SELECT {identifier(name)} AS value, "
            f"count(*) AS stored FROM {table.relation} WHERE {inside} GROUP BY 1) USING (value)"
        ).fetchall()
        warnings.append(
            f"{name}: {WHAT[note]} in {rows:,} rows; {equal:,} identifiers then equal "
            "one that came without it"
        )
    return warnings
