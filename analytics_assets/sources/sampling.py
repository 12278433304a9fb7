"""The part of a large source that is looked at before a load: whole orders, spread over all of it.

Belongs here: thinning the rows of a scan. Does not belong here: which files or rows of a database
are read at all (`readers`).
"""

from dataclasses import replace

import duckdb

from analytics_assets.quoting import identifier
from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import Scan, mapped_columns


def thinned(
    connection: duckdb.DuckDBPyConnection,
    config: SourceConfig,
    scan: Scan,
    most: int,
) -> tuple[Scan, str]:
    """A scan of at most about so many rows, and what part of the rows it has, in words.

    Orders, customers and so on are taken or left whole: by the hash of what the contract names
    first.
    """
    if any(part.rows is None for part in scan.parts):
        [(rows,)] = connection.execute(f"SELECT count(*) FROM {scan.relation}").fetchall()
    else:
        rows = sum(part.rows or 0 for part in scan.parts)
    if rows <= most:
        return scan, ""
    step = -(-rows // most)
    name = config.contract.required[0]
    mapped = mapped_columns(config, list(scan.types), config.source)
    if name in mapped:
        relation = f"SELECT * FROM {scan.relation} WHERE hash({identifier(mapped[name])}) % {step}"
        relation = f"({relation} = 0)"
        part = f"one {name} in {step:,}, with all of its rows"
    else:
        placed = f"SELECT *, row_number() OVER () AS _place FROM {scan.relation}"
        relation = f"(SELECT * EXCLUDE (_place) FROM ({placed}) WHERE _place % {step} = 0)"
        part = f"one row in {step:,}"
    return replace(
        scan,
        relation=relation,
        parts=[replace(part, rows=None) for part in scan.parts],
        malformed=scan.malformed[::step],
    ), f"{part}: there are {rows:,} rows"
