"""Delta tables: the Parquet files that their newest version has.

Belongs here: which files these are. Does not belong here: reading Parquet (`parquet`).
"""

from pathlib import Path
from urllib.parse import unquote, urlparse

from analytics_assets.sources.readers.base import SourceError
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
        try:
            from deltalake import DeltaTable
            from deltalake.exceptions import DeltaError, TableNotFoundError
        except ImportError as error:
            raise SourceError(
                f"{self.config.source}: Delta tables need the package deltalake: install "
                "analytics_assets[delta]."
            ) from error
        try:
            uris = DeltaTable(path).file_uris()
        except TableNotFoundError as error:
            raise SourceError(
                f"{self.config.source}: {path} is no Delta table. Check `path` in the source "
                "configuration; for a table of the stream, start the stream once."
            ) from error
        except DeltaError as error:
            raise SourceError(
                f"{self.config.source}: the log of {path} cannot be read "
                f"({str(error).splitlines()[0][:200]}). Correct the table; nothing was loaded."
            ) from error
        return sorted(
            str(Path(unquote(urlparse(uri).path)) if "://" in uri else uri) for uri in uris
        )
