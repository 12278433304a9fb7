"""The summary of a success: what a new published build has, and the rows that came into it.

Belongs here: the figures and their words. Does not belong here: when anything is sent
(`incidents`).
"""

from datetime import datetime
from typing import Any

from analytics_assets.automation.alerts.facts import Facts
from analytics_assets.schemas import TABLES
from analytics_assets.sources.declared import SOURCES
from analytics_assets.warehouse.connection import WarehouseError
from analytics_assets.warehouse.publish import current_build
from analytics_assets.warehouse.session import Session

# What the rows of a source with days become.
FACTS = {name: source.fact for name, source in SOURCES.items() if source.fact}


def new_summary(
    before: dict[str, Any], facts: Facts
) -> tuple[dict[str, Any], str, list[str]] | None:
    """The summary of the newest build, once no run is at work.

    Args:
        before: what the last summary was about.
        facts: what is known.

    Returns:
        What this one is about, its title and its lines; None where there is nothing new.
    """
    try:
        build = current_build(facts.settings.published_dir).parent.name
    except WarehouseError:
        return None
    if build == before.get("build") or facts.run_going_on:
        return None
    since = datetime.fromisoformat(before.get("loaded_at", "1970-01-01"))
    try:
        with facts.warehouse.read() as session:
            loaded, loaded_at = _loaded(session, since)
        with facts.published() as session:
            quality = _quality(session)
    except WarehouseError:
        return None  # someone reads or writes: the next tick asks again
    lines = [
        f"{source}: {read:,} rows extracted, {accepted:,} loaded, {rejected:,} rejected"
        + (f", {made:,} in {fact} after transformation" if fact else "")
        for source, read, accepted, rejected, fact, made in loaded
    ]
    if not lines:
        lines.append("No rows were loaded for it.")
    newest = facts.newest_success
    if newest:
        lines.append(f"Run: {facts.link(newest)}")
    title = f"Build {int(build)} is published; {quality}"
    about = {"build": build, "loaded_at": (loaded_at or since).isoformat()}
    return about, title, lines


def _loaded(session: Session, since: datetime) -> tuple[list[tuple[Any, ...]], datetime | None]:
    """For each source what was loaded since then, and the facts of its days; the newest load."""
    if not session.exists(TABLES["source_loads"]):
        return [], None
    rows = session.rows(
        "SELECT source, sum(rows_read - rows_not_due)::BIGINT, sum(rows_accepted)::BIGINT, "
        "sum(rows_rejected)::BIGINT, max(loaded_at) FROM raw.source_loads WHERE loaded_at > ? "
        "GROUP BY source ORDER BY source",
        [since],
    )
    sources = []
    for source, read, accepted, rejected, _ in rows:
        fact = FACTS.get(source, "")
        if fact and not session.exists(TABLES[fact]):
            fact = ""
        made = fact and session.value(
            f"SELECT count(*) FROM core.{fact} WHERE {TABLES[fact].window_column} IN ("
            "SELECT window_date FROM raw.source_loads WHERE source = ? AND loaded_at > ?)",
            [source, since],
        )
        sources.append((source, read, accepted, rejected, fact, made))
    return sources, max((row[-1] for row in rows), default=None)


def _quality(session: Session) -> str:
    """The mean score of the tables on their newest days, and the lowest."""
    rows = session.rows(
        "SELECT asset, score FROM quality.data_quality_scores "
        "QUALIFY row_number() OVER (PARTITION BY asset ORDER BY day DESC) = 1 ORDER BY score, asset"
    )
    if not rows:
        return "no quality score yet"
    mean = sum(score for _, score in rows) / len(rows)
    return f"quality score {mean:.3f}, lowest {rows[0][1]:.3f} of {rows[0][0]}"
