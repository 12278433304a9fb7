"""JSON files that are one array of objects.

Belongs here: copying an array to one object a line. Does not belong here: the objects
(`json_lines`).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from analytics_assets.quoting import literal
from analytics_assets.sources.readers.base import SourceError
from analytics_assets.sources.readers.files import LocalFile
from analytics_assets.sources.readers.json_lines import SEPARATOR, JsonLinesReader


class JsonReader(JsonLinesReader):
    """Files with one JSON array of objects, or with one object a line."""

    format = "json"
    suffixes = (".json",)

    def _arrays(self, files: Sequence[LocalFile], scratch: Path) -> dict[Path, LocalFile]:
        """A copy of each array, with one element a line.

        Raises:
            SourceError: an array is broken, or cut off.
        """
        copies = {}
        for index, file in enumerate(files):
            if not _is_array(file.path):
                continue
            copy = scratch / f"array-{index}.jsonl"
            # Line ends occur only between the parts of JSON: within a text they are escaped.
            element = "replace(replace(json::VARCHAR, chr(10), ' '), chr(13), ' ')"
            with duckdb.connect() as connection:
                try:
                    if not _is_closed(file.path):
                        raise duckdb.Error("no closing bracket")
                    connection.execute(
                        f"COPY (SELECT {element} FROM read_json_objects({literal(file.path)}, "
                        "format = 'array', compression = 'none', maximum_object_size = 67108864)) "
                        f"TO {literal(copy)} (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', "
                        f"DELIMITER '{SEPARATOR}')"
                    )
                except duckdb.Error as error:
                    # Not chained: DuckDB may quote a row.
                    place = re.search(r"at byte \d+ in record/value \d+: .*", str(error))
                    raise SourceError(
                        f"{self.config.source}: {file.source.name} is no whole JSON array "
                        f"({place[0] if place else 'it is cut off, or no JSON'}). Deliver "
                        "it again; nothing was loaded."
                    ) from None
            copies[file.path] = replace(file, path=copy)
        return copies


def _is_array(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")


def _is_closed(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, 2) - 4096))
        return stream.read().rstrip().endswith(b"]")
