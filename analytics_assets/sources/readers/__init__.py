"""Readers: one class a format; a new format is added to `READERS` and nowhere else."""

from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.readers.base import Reader, SourceError
from analytics_assets.sources.readers.delimited import DelimitedReader
from analytics_assets.sources.readers.delta import DeltaReader
from analytics_assets.sources.readers.duckdb_file import DuckDBReader
from analytics_assets.sources.readers.excel import ExcelReader
from analytics_assets.sources.readers.files import FileReader
from analytics_assets.sources.readers.http import HttpReader
from analytics_assets.sources.readers.joined import JoinedReader
from analytics_assets.sources.readers.json_array import JsonReader
from analytics_assets.sources.readers.json_lines import JsonLinesReader
from analytics_assets.sources.readers.lake import LakeReader
from analytics_assets.sources.readers.mysql import MySQLReader
from analytics_assets.sources.readers.parquet import ParquetReader
from analytics_assets.sources.readers.postgres import PostgresReader
from analytics_assets.sources.readers.sqlite_file import SQLiteReader

READERS: dict[str, type[Reader]] = {
    reader.format: reader
    for reader in (
        DelimitedReader,
        ExcelReader,
        ParquetReader,
        DeltaReader,
        LakeReader,
        JsonLinesReader,
        JsonReader,
        PostgresReader,
        MySQLReader,
        HttpReader,
        DuckDBReader,
        SQLiteReader,
        JoinedReader,
    )
}
JoinedReader.formats = {
    suffix: reader
    for reader in READERS.values()
    if issubclass(reader, FileReader)
    for suffix in reader.suffixes
}


def reader_of(config: SourceConfig) -> Reader:
    """The reader of a source's format."""
    return READERS[config.format](config)


def read_whole(sources: SourcesConfig) -> bool:
    """Whether a source with days is read as a whole for any window, however short."""
    return any(
        config.contract.time_column and reader_of(config).reads_whole
        for config in sources.sources.values()
    )


__all__ = ["READERS", "Reader", "SourceError", "read_whole", "reader_of"]
