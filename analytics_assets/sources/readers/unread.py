"""Columns of a source that nothing reads, and what is said of them.

Belongs here: naming them. Does not belong here: the columns that are read (`base`).
"""

from collections.abc import Sequence

from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import fold_name

UNREAD = "columns that nothing reads: "


def unknown_columns(config: SourceConfig, columns: Sequence[str]) -> list[str]:
    """Columns of a source that are not read."""
    known = {fold_name(name) for name in (*config.source_names.values(), *config.inputs)}
    return [name.strip() for name in columns if fold_name(name) not in known]


def unread(config: SourceConfig, names: Sequence[str]) -> list[str]:
    """Warnings of columns that are not read.

    One that may be the time of day of the date that is read has a warning of its own.
    """
    if not names:
        return []
    ours = str(config.contract.time_column)
    date = config.source_names.get(ours, "")
    time = fold_name(date).replace("date", "time")
    return [
        f"{UNREAD}{', '.join(names)}",
        *(
            f"{ours}: {name} may be the time of day of {date}. If it is, name both: "
            f"`{ours}: [{date}, {name}]`"
            for name in names
            if fold_name(name) == time
        ),
    ]
