"""Delta tables: the Parquet files that their newest version has.

Belongs here: which files these are. Does not belong here: reading Parquet (`parquet`).
"""

from pathlib import Path
from urllib.parse import unquote, urlparse

from analytics_assets.sources.readers.lake_log import open_table
from analytics_assets.sources.readers.parquet import ParquetReader


class DeltaReader(ParquetReader):
    """A Delta table in a folder of this machine, such as those of the stream's lake.

    A folder of a Delta table also has files that were replaced, or whose writing was cut off: its
    log says which count. All of the table is read for any window, and days whose rows changed are
    found by their content.
    """

    format = kind = "delta"
    suffixes = ()
    words = ("path",)

    def _glob(self, path: str) -> list[str]:
        uris = open_table(path, self.config.source).file_uris()
        return sorted(local_path(uri) for uri in uris)


def local_path(uri: str) -> str:
    """The path of a file of a table on this machine."""
    return str(Path(unquote(urlparse(uri).path)) if "://" in uri else uri)
