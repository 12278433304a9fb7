"""Rows with values that cannot be right although they could be loaded, and rejected rows.

Belongs here: rules on the values of a row. Does not belong here: the values that a column may have
at all (`schema`), or values that are merely rare (`anomalies`).
"""

from collections.abc import Iterator

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import RowRule
from analytics_assets.schemas import TABLES
from analytics_assets.sources.config import SourcesConfig


def checks(sources: SourcesConfig) -> Iterator[Check]:
    """The rules that each source declares, and its rejected rows."""
    for source, config in sources.sources.items():
        for rule in config.declared.rules:
            yield Check(
                "validity",
                rule.table,
                rule.name,
                rule.description,
                rule.dimension,
                rule.remedy,
                RowRule(rule.broken, rule.applies),
            )
        day = TABLES[f"raw_{source}"].window_column
        yield Check(
            "validity",
            "rejected_rows",
            f"no_rejected_{source}",
            f"No row of {source} was rejected: all could be typed and kept the rules.",
            "validity",
            "The reasons say which column and why. Correct the rows in the source, or declare its "
            "formats in the source configuration, and load the days again; the rows are kept whole "
            "in raw.rejected_rows.",
            RowRule(
                "reasons IS NOT NULL",
                relation=(
                    f"(SELECT {day or 'NULL::DATE'} AS day, source_file, source_row, "
                    f"NULL AS reasons FROM raw.raw_{source} UNION ALL "
                    "SELECT window_date, source_file, source_row, reasons "
                    f"FROM raw.rejected_rows WHERE source = '{source}')"
                ),
                day="day" if config.contract.time_column else None,
                keys=("source_file", "source_row"),
                kind="reasons",
            ),
        )
