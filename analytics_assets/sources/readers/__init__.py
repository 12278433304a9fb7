"""Readers: one class a format; `reader_of` finds the one of a source."""

from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import Reader, SourceError
from analytics_assets.sources.readers.databases import DuckDBReader, PostgresReader
from analytics_assets.sources.readers.delimited import DelimitedReader
from analytics_assets.sources.readers.files import FileReader
from analytics_assets.sources.readers.json_lines import JsonLinesReader
from analytics_assets.sources.readers.parquet import ParquetReader

READERS: dict[str, type[Reader]] = {
    "csv": DelimitedReader,
    "parquet": ParquetReader,
    "jsonl": JsonLinesReader,
    "postgres": PostgresReader,
    "duckdb": DuckDBReader,
}


def reader_of(config: SourceConfig) -> Reader:
    """The reader of a source's format."""
    return READERS[config.format](config)


__all__ = ["READERS", "FileReader", "Reader", "SourceError", "reader_of"]
