"""Parquet: typed columns, files and Hive-partitioned folders.

Belongs here: comparing the schemas of files. Does not belong here: places (`files`), casting to the
contract's types (`typed`).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.readers.base import Scan, SourceError, mapped_columns
from analytics_assets.sources.readers.files import FileReader, LocalFile
from analytics_assets.sources.readers.unread import unknown_columns, unread

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # how Hive and Spark write NULL
HIVE = re.compile(r"(?:^|/)([^/=]+)=([^/]*)(?=/)")


class ParquetReader(FileReader):
    """Parquet files. Folders such as `country=DE/` are text columns of that name.

    Checksums of the pages are verified where the writer left them, which DuckDB does not do. In a
    file without them a flipped byte shows only where it breaks the compression or the form.
    """

    format = kind = "parquet"
    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")
    text = False

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The rows of all files; a column has one type in all of them, or it is an error."""
        schema: dict[str, tuple[pa.DataType, str]] = {}
        parts, warnings = [], []
        for file in files:
            name = file.source.name
            try:
                parquet = pq.ParquetFile(file.path, page_checksum_verification=True)
                if _has_checksums(file.path, parquet.metadata):
                    for _ in parquet.iter_batches(use_threads=False):
                        pass
            except (pa.ArrowException, OSError) as error:
                raise _broken(name, error) from error
            columns = {column.name: column.type for column in parquet.schema_arrow}
            hive = dict(HIVE.findall(str(file.source.path)))
            own = [column.name for column in parquet.schema_arrow]
            mapped_columns(self.config, own + [key for key in hive if key not in columns], name)
            for column, type_ in columns.items():
                seen, where = schema.setdefault(column, (type_, name))
                if seen != type_:
                    raise SourceError(
                        f"{name}: column {column!r} is {type_}, and {seen} in {where}. Write all "
                        "files with one type of each column; nothing was loaded."
                    )
            warnings += unread(self.config, unknown_columns(self.config, list(columns)))
            rows = parquet.metadata.num_rows
            if not rows:
                warnings.append(f"{name}: no rows")
            parts.append(file.source.part(rows=rows))
        paths = ", ".join(literal(str(file.path)) for file in files)
        read = (
            f"read_parquet([{paths}], union_by_name = true, file_row_number = true, "
            "hive_partitioning = false)"
        )
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()
        except duckdb.Error as error:
            raise _broken(", ".join(file.source.name for file in files[:3]), error) from error
        types = {row[0]: row[1] for row in described if row[0] != "file_row_number"}
        hive_columns = self._hive(files, set(types))
        listed = [identifier(name) for name in types]
        listed += [
            f"{values}[file_index::BIGINT + 1] AS {identifier(name)}"
            for name, values in hive_columns
        ]
        return Scan(
            f"(SELECT {', '.join(listed)}, file_index AS _load_part, "
            f"file_row_number + 1 AS _load_row, NULL::BIGINT AS _load_line FROM {read})",
            {**types, **{name: "VARCHAR" for name, _ in hive_columns}},
            parts,
            numbered=True,
            warnings=list(dict.fromkeys(warnings)),
        )

    @staticmethod
    def _hive(files: Sequence[LocalFile], own: set[str]) -> list[tuple[str, str]]:
        """Columns from the names of folders, each with an SQL list of its values by file."""
        folders = [dict(HIVE.findall(str(file.source.path))) for file in files]
        names = dict.fromkeys(name for values in folders for name in values if name not in own)

        def value(text: str) -> str:
            return "NULL::VARCHAR" if text == NO_VALUE else literal(unquote(text))

        return [
            (name, f"[{', '.join(value(values.get(name, NO_VALUE)) for values in folders)}]")
            for name in names
        ]


def _has_checksums(path: Path, metadata: pq.FileMetaData) -> bool:
    """Whether the header of the first page has a checksum.

    A header is a Thrift struct in the compact protocol; its first three fields (type, size, size
    compressed) are required integers, and the fourth is the checksum (parquet.thrift, PageHeader).
    """
    if not metadata.num_row_groups or not metadata.num_columns:
        return False
    column = metadata.row_group(0).column(0)
    with path.open("rb") as stream:
        stream.seek(column.dictionary_page_offset or column.data_page_offset)
        header = stream.read(64)
    at = 0
    for _ in range(3):
        at += 1
        while at < len(header) and header[at] & 0x80:
            at += 1
        at += 1
    return header[at : at + 1] == b"\x15"  # the next field, an integer


def _broken(name: str, error: Exception) -> SourceError:
    return SourceError(
        f"{name}: no whole Parquet file ({str(error).splitlines()[0][:200]}). Deliver it again; "
        "nothing was loaded."
    )
