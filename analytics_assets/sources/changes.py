"""Change detection: days whose source differs from what was loaded.

Belongs here: data versions of a source, and comparing them with the ledger of loads. Does not
belong here: launching runs (`automation`).
"""

from collections.abc import Mapping, Sequence
from datetime import date

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources import contents
from analytics_assets.sources.arrivals import days_of, delivered_again
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.ledger import loaded_versions
from analytics_assets.sources.readers import reader_of
from analytics_assets.sources.readers.base import Reader, SourceFile
from analytics_assets.warehouse.connection import Warehouse


def source_versions(
    config: SourceConfig,
    calendar: Calendar,
    window: Window | None,
    warehouse: Warehouse,
    seconds: float | None = None,
) -> dict[date | None, str]:
    """Data version of each day of the source; of a source without days, of the whole.

    What is being delivered again keeps the version that was loaded until its marker has come.

    Args:
        config: the source.
        calendar: the days that the sources cover.
        window: the days; None for a source without days.
        warehouse: where the ledger of loads is.
        seconds: how long fetching may take.

    Raises:
        SourceError: the source cannot be read.
    """
    reader = reader_of(config)
    reader.fetch(seconds)
    again = _delivered_again(reader, window, warehouse)
    if again:
        loaded, _ = _loaded(config, warehouse)
        kept = {day: version for day, version in loaded.items() if contents.within(window, day)}
        if not config.by_day:
            return kept
        days = days_of(config, again)
        now = contents.content_versions(reader, calendar, window, warehouse.source_cache)
        now = {day: version for day, version in now.items() if day not in days}
        return now | {day: version for day, version in kept.items() if day in days}
    recent = None
    if reader.computes_versions:
        loaded, newest = _loaded(config, warehouse)
        recent = reader.versions(window, calendar, since=newest)
    if recent is None:
        return contents.content_versions(reader, calendar, window, warehouse.source_cache)
    if newest is None:
        return recent
    unchanged = {
        day: version
        for day, version in loaded.items()
        if day is None or (window and contents.within(window, day))
    }
    return {**unchanged, **recent}


def changes(
    sources: SourcesConfig,
    warehouse: Warehouse,
    keys: Sequence[str],
    seconds: float | None = None,
) -> dict[date, dict[str, str]]:
    """Days of the daily sources that are new or changed: the version that each source has now.

    A change of a source without days (customers, products) counts for the last day: loading any
    day loads it whole.

    Args:
        sources: the configured sources.
        warehouse: where the ledger of loads is.
        keys: the daily partition keys to compare.
        seconds: how long fetching from a source may take.
    """
    if not keys:
        return {}
    window = Window.of_days(keys[0], keys[-1])
    covered = set(window)
    changed: dict[date, dict[str, str]] = {}
    for config in sources.sources.values():
        if config.declared.job:
            continue
        loaded, _ = _loaded(config, warehouse)
        days = window if config.contract.time_column else None
        current = source_versions(config, sources.calendar, days, warehouse, seconds)
        # A day whose files are gone is loaded again too, and is empty then.
        gone = [day for day in loaded if day and day not in current and day in covered]
        for day, version in [*current.items(), *((day, "gone") for day in gone)]:
            if loaded.get(day) != version:
                changed.setdefault(day or list(window)[-1], {})[config.source] = version
    return changed


def changed_days(
    sources: SourcesConfig, warehouse: Warehouse, keys: Sequence[str]
) -> dict[date, str]:
    """The days of `changes`, each with one version of all its sources."""
    return {
        day: "".join(versions.values())
        for day, versions in changes(sources, warehouse, keys).items()
    }


def changed_whole(sources: SourcesConfig, source: str, warehouse: Warehouse) -> str | None:
    """Version of a source without days if it differs from what was loaded, else None.

    Raises:
        SourceError: the source cannot be read.
    """
    config = sources.sources[source]
    version = source_versions(config, sources.calendar, None, warehouse)[None]
    loaded, _ = _loaded(config, warehouse)
    return None if loaded.get(None) == version else version


def _delivered_again(
    reader: Reader, window: Window | None, warehouse: Warehouse
) -> list[SourceFile]:
    if reader.config.marker is None or not warehouse.path.exists():
        return []
    with warehouse.read() as session:
        return delivered_again(session, reader, window)


def _loaded(config: SourceConfig, warehouse: Warehouse) -> tuple[Mapping[date | None, str], object]:
    """The loaded versions, and the newest `updated_at` of the loaded rows."""
    if not warehouse.path.exists():
        return {}, None
    table = config.contract.table
    with warehouse.read() as session:
        newest = None
        if config.change_detection == "updated_at" and session.kind(table):
            newest = session.value(f"SELECT max(updated_at) FROM {table.relation}")
        return loaded_versions(session, config.source), newest
