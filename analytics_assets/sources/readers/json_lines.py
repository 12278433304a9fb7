"""JSON lines: one object a line.

Belongs here: cutting objects into columns, and lines that hold none. Does not belong here:
compression, places (`files`), types (`typed`).
"""

import json
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.readers.base import (
    Malformed,
    Scan,
    SourceError,
    fold_name,
    halving,
    mapped_columns,
    unknown_columns,
)
from analytics_assets.sources.readers.files import (
    FileReader,
    LocalFile,
    not_utf8,
    text_facts,
)

SAMPLE_LINES = 1000  # of each file, to learn the names of its columns
MAX_LINE = 1_000_000  # bytes
# An escape, and no backslash that is escaped itself before the letters u0000.
NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# No JSON text holds this byte, so that it never cuts a line that holds an object.
SEPARATOR = "\x1f"
# Lines that DuckDB reads as we do; a file with any other is separated line by line. CASE, because
# the functions raise on a line that is no JSON. An escape may be a NUL, or half of a pair.
READABLE = r"""
    CASE WHEN NOT json_valid(line) THEN false
    WHEN regexp_matches(line, '\\u(0000|[dD][89abAB])') THEN false
    ELSE json_type(line) = 'OBJECT'
        AND len(json_keys(line)) = len(list_distinct(json_keys(line))) END
"""


class JsonLinesReader(FileReader):
    """Files of JSON objects, one a line, plain or compressed.

    A column is a member of the object; a mapped name that begins with `$` is a JSON path, such as
    `$.customer.id`. Values are taken as text, however they are written.
    """

    format = "jsonl"
    kind = "json"
    suffixes = (".jsonl", ".ndjson", ".json")
    words = (*FileReader.words, "encoding")

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The objects of all files, as columns of text."""
        names: dict[str, None] = {}
        warnings: list[str] = []
        for file in files:
            found = self._names(file)
            names.update(dict.fromkeys(found))
            unknown = unknown_columns(self.config, found)
            if unknown:
                warnings.append(f"columns that nothing reads: {', '.join(unknown)}")
        # A member may be left out of an object, and of all those that were looked at.
        names.update(dict.fromkeys(self._mapped.values()))
        spellings: dict[str, list[str]] = {}
        for name in names:
            spellings.setdefault(fold_name(name), []).append(name)

        with duckdb.connect() as probe:
            counted = halving(
                lambda paths: dict(
                    probe.execute(
                        f"SELECT file_index, count(*) FILTER ({READABLE}) "
                        f"FROM {_lines_of(paths)} GROUP BY 1"
                    ).fetchall()
                ),
                [file.path for file in files],
            )
        lines = {file.path: text_facts(file.path).lines for file in files}
        numbered = counted != lines
        paths, parts, malformed = [], [], []
        for index, file in enumerate(files):
            path, rows = file.path, lines[file.path]
            if numbered:
                path = scratch / f"separated-{index}.jsonl"
                rows, bad = _separated(self.config.source, file, path, index)
                malformed += bad
            paths.append(path)
            parts.append(file.source.part(rows=rows, lines_before=0))
        members = [literal(n if n[0] == "$" else f"$.{identifier(n)}") for n in names]
        place = {name: number for number, name in enumerate(names, 1)}
        columns = {same[0]: same for same in spellings.values()}
        listed = [
            f"coalesce({', '.join(f'_values[{place[name]}]' for name in same)}) "
            f"AS {identifier(column)}"
            for column, same in columns.items()
        ]
        held = "line::JSON AS line"
        if numbered:
            held = "line->'$[2]' AS line, (line->>'$[0]')::BIGINT AS _load_row, "
            held += "(line->>'$[1]')::BIGINT AS _load_line"
            listed += ["_load_row", "_load_line"]
        return Scan(
            f"(SELECT {', '.join(listed)}, line::VARCHAR AS _load_text, file_index AS _load_part "
            f"FROM (SELECT *, json_extract_string(line, [{', '.join(members)}]) AS _values "
            f"FROM (SELECT {held}, file_index FROM {_lines_of(paths)})))",
            dict.fromkeys(columns, "VARCHAR"),
            parts,
            numbered=numbered,
            malformed=malformed,
            warnings=list(dict.fromkeys(warnings)),
            whole="_load_text",
            may_hold_nul=False,
        )

    @property
    def _mapped(self) -> dict[str, str]:
        columns = self.config.columns
        return {name: columns.get(name, name) for name in self.config.contract.columns}

    def _names(self, file: LocalFile) -> list[str]:
        """Names of the members of the first objects, and the JSON paths that lead somewhere.

        None where no line holds an object: its lines are then rejected, each by itself.

        Raises:
            SourceError: the file is empty, or its objects lack a member that is needed.
        """
        found: dict[str, None] = {}
        paths = [name for name in self._mapped.values() if name.startswith("$")]
        objects, without_nul = [], 0
        line = ""
        with file.path.open(encoding="utf-8-sig") as stream:
            try:
                for line in islice(filter(str.strip, stream), SAMPLE_LINES):
                    without_nul += "\0" not in line
                    held = _object(line)
                    # One with a NUL is rejected whatever its members are called.
                    if held is not None and not NUL_ESCAPE.search(line):
                        objects.append(line)
                        found.update(dict.fromkeys(name for name in held if fold_name(name)))
            except UnicodeDecodeError as error:
                raise not_utf8(self.config.source, file) from error
        if not line:
            raise SourceError(f"{file.source.name}: the file is empty; expected an object a line.")
        if not objects and not without_nul:
            raise SourceError(
                f"{file.source.name}, line 1: NUL bytes, as UTF-16 has them. Declare `encoding` of "
                f"{self.config.source} in the source configuration, or deliver UTF-8."
            )
        if not objects:
            return []
        found.update(dict.fromkeys(_paths_that_lead(paths, objects)))
        by_fold = {fold_name(name): name for name in found}
        mapped_columns(self.config, list(by_fold.values()), file.source.name)
        return list(found)


def _lines_of(paths: Sequence[Path]) -> str:
    return (
        f"read_csv([{', '.join(literal(str(path)) for path in paths)}], "
        f"columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, comment = '', "
        f"delim = '{SEPARATOR}', quote = '', escape = '', max_line_size = {MAX_LINE})"
    )


def _object(line: str) -> dict[str, Any] | None:
    try:
        held = json.loads(line, object_pairs_hook=_members)
        # Half of a surrogate pair is no text: it cannot be written again.
        json.dumps(held, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return held if isinstance(held, dict) else None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError("a member stands twice")
    return held


def _paths_that_lead(paths: list[str], lines: list[str]) -> list[str]:
    """JSON paths that find something in some of the objects; DuckDB is who reads them later."""
    if not paths:
        return []
    with duckdb.connect() as connection:
        return [
            path
            for path in paths
            if connection.execute(
                "SELECT bool_or(json_exists(line, ?)) FROM (SELECT unnest(?::VARCHAR[]) AS line)",
                [path, lines],
            ).fetchall()
            == [(True,)]
        ]


def _separated(source: str, file: LocalFile, copy: Path, part: int) -> tuple[int, list[Malformed]]:
    """Lines that hold objects into a copy that numbers them, the others aside; and all rows."""
    malformed: list[Malformed] = []
    row = 0
    try:
        with (
            file.path.open(encoding="utf-8-sig") as stream,
            copy.open("w", encoding="utf-8") as out,
        ):
            for number, line in enumerate(stream, 1):
                text = line.strip()
                if not text:
                    continue
                row += 1
                reason = None
                if len(text) > MAX_LINE:
                    reason = f"longer than {MAX_LINE:,} characters"
                elif "\0" in text or NUL_ESCAPE.search(text):
                    reason = "a NUL byte"
                elif _object(text) is None:
                    reason = "not a JSON object, or one with a member twice"
                if reason is None:
                    out.write(f"[{row},{number},{text}]\n")
                else:
                    malformed.append(Malformed(part, row, number, reason, text))
    except UnicodeDecodeError as error:
        raise not_utf8(source, file) from error
    return row, malformed
