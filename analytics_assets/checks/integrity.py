"""Rows that reference a customer or product which its source does not have.

Belongs here: orphans, counted by kind. Does not belong here: the inferred and unknown members that
the warehouse has for them (the dimensions, in dbt).
"""

from collections.abc import Iterator

from analytics_assets.checks.base import Check
from analytics_assets.checks.rows import ListedRows, RowRule
from analytics_assets.schemas import TABLES
from analytics_assets.schemas.core import UNKNOWN_MEMBER
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.declared import SOURCES, Source

ORPHAN = (
    "Load the {member}s again when the source has the {member}, then the days. Until then an "
    "inferred member takes its place, so no row is lost."
)
MISSING = (
    "Ask the source for the {member}, or accept it (guest orders): the rows count in all totals as "
    "the member '{unknown}', and in no figure by {member}."
)


def checks(sources: SourcesConfig, max_orphan_share: float) -> Iterator[Check]:
    """Orphans of each fact whose members have a configured source, and missing references."""
    for config in sources.sources.values():
        for source, required in config.declared.members.items():
            fact, member = config.declared.fact, SOURCES[source]
            if source not in sources.absent:
                yield _orphans(fact, member, max_orphan_share)
            if required:
                yield Check(
                    "integrity",
                    fact,
                    f"{member.member}_is_known",
                    f"Every row names its {member.member}.",
                    "completeness",
                    MISSING.format(member=member.member, unknown=UNKNOWN_MEMBER),
                    RowRule(f"{member.member}_id = '{UNKNOWN_MEMBER}'"),
                    severe_share=None,
                )


def _orphans(fact: str, source: Source, severe_share: float) -> Check:
    member = source.member
    table, column, dimension = TABLES[fact], f"{member}_id", TABLES[source.dimension].relation
    known = f"{column} <> '{UNKNOWN_MEMBER}'"
    return Check(
        "integrity",
        fact,
        f"{member}_is_in_its_source",
        f"Every {member} that a row names is in the {member} source.",
        "consistency",
        ORPHAN.format(member=member),
        # No `RowRule`, which would join again to name the orphans.
        ListedRows(
            f"""
            SELECT {", ".join(table.key)}, {table.day_column} AS day,
                CASE
                    WHEN {column} IN (SELECT {column} FROM {dimension}) THEN 'inferred member'
                    ELSE 'no member'
                END AS kind
            FROM {table.relation}
            WHERE {{window}} AND {known} AND {column} NOT IN (
                SELECT {column} FROM {dimension}
                WHERE member_type = 'source' AND {column} IS NOT NULL
            )
            """,
            total=f"(FROM {table.relation} WHERE {known})",
            day_column=table.day_column,
            keys=table.key,
            kind="kind",
        ),
        severe_share=severe_share,
    )
