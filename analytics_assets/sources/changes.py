"""Change detection: days whose source holds something else than what was loaded.

Belongs here: data versions of a source, and comparing them with the ledger of loads. Does not
belong here: launching runs (`automation`).
"""

from collections.abc import Mapping, Sequence
from datetime import date

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources import contents
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.load import loaded_versions
from analytics_assets.sources.readers import reader_of
from analytics_assets.warehouse.connection import Warehouse


def source_versions(
    config: SourceConfig, calendar: Calendar, window: Window | None, warehouse: Warehouse
) -> dict[date | None, str]:
    """Data version of each day that the source holds; of a source without days, of all of it.

    Raises:
        SourceError: the source cannot be read.
    """
    reader = reader_of(config)
    recent = None
    if reader.computes_versions:
        loaded, newest = _loaded(config, warehouse)
        recent = reader.versions(window, calendar, since=newest)
    if recent is None:
        return contents.content_versions(reader, calendar, window, warehouse.source_cache)
    if newest is None:
        return recent
    held = {
        day: version
        for day, version in loaded.items()
        if day is None or (window and window.start <= day < window.end)
    }
    return {**held, **recent}


def changed_days(
    sources: SourcesConfig, warehouse: Warehouse, keys: Sequence[str]
) -> dict[date, str]:
    """Days of the daily sources that are new or changed, with the version that they have now.

    A change of a source without days (customers, products) asks for the last day: loading any day
    loads them whole.

    Args:
        sources: the configured sources.
        warehouse: where the ledger of loads is.
        keys: the daily partition keys to look at.
    """
    if not keys:
        return {}
    window = Window.of_days(keys[0], keys[-1])
    covered = set(window)
    changed: dict[date, str] = {}
    for config in sources.sources.values():
        if config.contract.apart:
            continue
        loaded, _ = _loaded(config, warehouse)
        held = source_versions(
            config, sources.calendar, window if config.contract.time_column else None, warehouse
        )
        # A day whose files are gone is loaded again too, and then holds nothing.
        gone = [day for day in loaded if day and day not in held and day in covered]
        for day, version in [*held.items(), *((day, "gone") for day in gone)]:
            if loaded.get(day) != version:
                at = day or list(window)[-1]
                changed[at] = changed.get(at, "") + version
    return changed


def changed_whole(sources: SourcesConfig, source: str, warehouse: Warehouse) -> str | None:
    """Version of a source without days, where it is another than what was loaded; else None.

    Raises:
        SourceError: the source cannot be read.
    """
    config = sources.sources[source]
    version = source_versions(config, sources.calendar, None, warehouse)[None]
    loaded, _ = _loaded(config, warehouse)
    return None if loaded.get(None) == version else version


def _loaded(config: SourceConfig, warehouse: Warehouse) -> tuple[Mapping[date | None, str], object]:
    """Versions that were loaded, and the newest change among the rows that were."""
    if not warehouse.path.exists():
        return {}, None
    table = config.contract.table
    with warehouse.read() as session:
        newest = None
        if config.change_detection == "updated_at" and session.kind(table):
            newest = session.value(f"SELECT max(updated_at) FROM {table.relation}")
        return loaded_versions(session, config.source), newest
