"""Change detection: days whose source holds something else than what was loaded.

Belongs here: comparing the sources' fingerprints with the ledger of loads. Does not belong here:
launching runs (`automation`).
"""

from collections.abc import Sequence
from datetime import date

from analytics_assets.partitions import Window
from analytics_assets.sources import files
from analytics_assets.sources.config import SourcesConfig
from analytics_assets.sources.load import loaded_versions
from analytics_assets.warehouse.connection import Warehouse


def changed_days(
    sources: SourcesConfig, warehouse: Warehouse, keys: Sequence[str]
) -> dict[date, str]:
    """Days of the daily sources that are new or changed, with a fingerprint of what they hold.

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
        loaded: dict[date | None, str] = {}
        if warehouse.path.exists():
            with warehouse.read() as connection:
                loaded = loaded_versions(connection, config.source)
        if config.contract.time_column:
            held: dict[date | None, str] = dict(files.fingerprints(config, window).items())
        else:
            held = {None: files.fingerprint(config)}
        # A day whose files are gone is loaded again too, and then holds nothing.
        gone = [day for day in loaded if day and day not in held and day in covered]
        for day, version in [*held.items(), *((day, "gone") for day in gone)]:
            if loaded.get(day) != version:
                at = day or list(window)[-1]
                changed[at] = changed.get(at, "") + version
    return changed
