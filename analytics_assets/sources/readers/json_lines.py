"""JSON lines: one object a line.

Belongs here: splitting objects into columns. Does not belong here: compression, places (`files`),
types (`typed`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

import duckdb

from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.entry import Entry
from analytics_assets.sources.readers.base import Scan, SourceError, fold_name, mapped_columns
from analytics_assets.sources.readers.files import (
    FileReader,
    LocalFile,
)
from analytics_assets.sources.readers.json_objects import (
    MAX_LINE,
    NUL_ESCAPE,
    object_of,
    separated,
    with_each_item,
)
from analytics_assets.sources.readers.records import halving
from analytics_assets.sources.readers.text_facts import not_utf8, text_facts
from analytics_assets.sources.readers.unread import unknown_columns, unread

SAMPLE_LINES = 1000  # of each file, to learn the names of its columns
# No JSON text contains this byte, so it never splits a line with an object.
SEPARATOR = "\x1f"
# Lines that DuckDB reads as we do; a file with any other is separated line by line. CASE, because
# the functions raise on a line that is no JSON. The escapes are NUL, or half of a surrogate pair.
READABLE = r"""
    CASE WHEN NOT json_valid(line) THEN false
    WHEN regexp_matches(line, '\\u(0000|[dD][89abAB])') THEN false
    ELSE json_type(line) = 'OBJECT'
        AND len(json_keys(line)) = len(list_distinct(json_keys(line))) END
"""


class JsonLinesReader(FileReader):
    """Files of JSON objects, one a line, plain or compressed.

    A column is a member of the object; a mapped name that begins with `$` is a JSON path, such as
    `$.customer.id`. Values are taken as text, however they are written. Where `lines` names a list
    in the object, each item of it is a row, and the other members repeat.
    """

    format = "jsonl"
    kind = "json"
    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    words = (*FileReader.words, "encoding")
    own_words = {"lines": Entry.text, "member": Entry.text}

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The objects of all files, as columns of text."""
        self._require_one_value_each()
        lines_at = self._lines or [""]
        names: dict[str, None] = {}
        warnings: list[str] = []
        arrays = self._arrays(files, scratch)
        files = [arrays.get(file.path, file) for file in files]
        for file in files:
            if file in arrays.values() and not file.path.stat().st_size:
                warnings.append(f"{file.source.name}: an array without objects")
                continue
            members = self._names(file, warnings)
            names.update(dict.fromkeys(members))
            unknown = [
                name for name in unknown_columns(self.config, members) if name != lines_at[0]
            ]
            warnings += unread(self.config, unknown)
        # Objects may lack a member, and so may all objects of the sample.
        known = {fold_name(name) for name in names}
        ours = self._mapped
        for name, other in self.config.contract.follows.items():
            if fold_name(ours.get(other, "")) in known and name not in self.config.columns:
                # It follows from the other, unless an object has it.
                ours.pop(name, None)
        names.update(dict.fromkeys(ours.values()))
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
        numbered = counted != lines or bool(self._lines or arrays)
        paths, parts, malformed = [], [], []
        for index, file in enumerate(files):
            path, rows = file.path, lines[file.path]
            if numbered:
                path = scratch / f"separated-{index}.jsonl"
                placed = file not in arrays.values()
                rows, empty, bad = separated(
                    self.config.source, file, path, self._lines, placed=placed
                )
                if empty:
                    warnings.append(
                        f"{file.source.name}: {empty} objects without an item of "
                        f"{'.'.join(self._lines)}, which give no row"
                    )
                malformed += [replace(row, part=index) for row in bad]
            paths.append(path)
            before = None if file in arrays.values() else 0
            parts.append(file.source.part(rows=rows, lines_before=before))
        paths_of_names = ", ".join(literal(self._path(name)) for name in names)
        place = {name: number for number, name in enumerate(names, 1)}
        columns = {same[0]: same for same in spellings.values()}
        listed = [
            f"coalesce({', '.join(f'_values[{place[name]}]' for name in same)}) "
            f"AS {identifier(column)}"
            for column, same in columns.items()
        ]
        objects = "line::JSON AS line"
        if numbered:
            objects = "line->'$[2]' AS line, (line->>'$[0]')::BIGINT AS _load_row, "
            objects += "(line->>'$[1]')::BIGINT AS _load_line"
            listed += ["_load_row", "_load_line"]
        return Scan(
            f"(SELECT {', '.join(listed)}, line::VARCHAR AS _load_text, file_index AS _load_part "
            f"FROM (SELECT *, json_extract_string(line, [{paths_of_names}]) AS _values "
            f"FROM (SELECT {objects}, file_index FROM {_lines_of(paths)})))",
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
        return {**self.config.source_names, **{name: name for name in self.config.inputs}}

    @property
    def _lines(self) -> list[str]:
        """Names of the members that lead to the list whose items are rows."""
        path = self.config.options.get("lines")
        return path.removeprefix("$.").removesuffix("[*]").split(".") if path else []

    def _path(self, name: str) -> str:
        """The JSON path of a column; in a row, an item is where its list was."""
        lines = ".".join(self._lines)
        if name.startswith("$"):
            return name.replace(f"$.{lines}[*]", f"$.{lines}", 1) if lines else name
        if lines and name.startswith(f"{lines}."):
            return "$." + ".".join(identifier(part) for part in name.split("."))
        return f"$.{identifier(name)}"

    def _require_one_value_each(self) -> None:
        """Refuse a path that leads to several values of an object.

        Raises:
            SourceError: the message tells how to make each value a row.
        """
        for name in self._mapped.values():
            if name.startswith("$") and re.search(r"\*|\.\.", self._path(name)):
                match = re.match(r"\$\.([^*\[]+)\[\*\]", name)
                raise SourceError(
                    f"{self.config.source}: {name} leads to several values of an object. Write "
                    f"`lines: {match[1] if match else '...'}` of {self.config.source} in the "
                    "source configuration, which makes each item of that list a row."
                )

    def _arrays(self, files: Sequence[LocalFile], scratch: Path) -> dict[Path, LocalFile]:
        """Copies of files that are no JSON lines, with one object a line."""
        return {}

    def _names(self, file: LocalFile, warnings: list[str]) -> list[str]:
        """Names of the members of the first objects, and the JSON paths with a value in one.

        Empty where no line has an object: each line is then rejected.

        Raises:
            SourceError: the file is empty, or its objects lack a member that is needed.
        """
        names: dict[str, None] = {}
        paths = [name for name in self._mapped.values() if name.startswith("$")]
        objects: list[str] = []
        objects_without_item: list[str] = []
        without_nul = 0
        line = begin = ""
        with file.path.open(encoding="utf-8-sig") as stream:
            try:
                for line in islice(filter(str.strip, stream), SAMPLE_LINES):
                    begin = begin or line.lstrip()
                    without_nul += "\0" not in line
                    object_ = object_of(line)
                    # An object with a NUL is rejected, so its names do not count.
                    if object_ is None or NUL_ESCAPE.search(line):
                        continue
                    if self._lines:
                        object_ = next(iter(with_each_item(object_, self._lines)[0]), None)
                        if object_ is None:
                            objects_without_item.append(line)
                            continue
                        line = json.dumps(object_)
                    objects.append(line)
                    names.update(dict.fromkeys(name for name in object_ if fold_name(name)))
            except UnicodeDecodeError as error:
                raise not_utf8(self.config.source, file) from error
        if not line:
            raise SourceError(
                f"{file.source.name}: the file is empty; expected an object a line. "
                "Deliver it again, or remove it."
            )
        if not objects and not without_nul:
            raise SourceError(
                f"{file.source.name}, line 1: NUL bytes, as UTF-16 has them. Declare `encoding` of "
                f"{self.config.source} in the source configuration, or deliver UTF-8."
            )
        if self._lines and objects_without_item and not objects:
            raise SourceError(
                f"{file.source.name}: no object has a list with an item at "
                f"{'.'.join(self._lines)}. Correct `lines` of {self.config.source} in the source "
                "configuration, or the source."
            )
        if not objects and _begins_array(begin):
            raise SourceError(
                f"{file.source.name}: a JSON array, not an object a line. Write `format: json` of "
                f"{self.config.source} in the source configuration."
            )
        if not objects:
            return []
        warnings += _lists_cut_short(paths, objects)
        if self._lines:
            prefix = ".".join(self._lines)
            paths += [name for name in self._mapped.values() if name.startswith(f"{prefix}.")]
        names.update(
            dict.fromkeys(_with_values({name: self._path(name) for name in paths}, objects))
        )
        by_fold = {fold_name(name): name for name in names}
        self._require_columns(list(by_fold.values()), file.source.name)
        return list(names)

    def _require_columns(self, columns: Sequence[str], where: str) -> None:
        """Require the columns that are needed in each file."""
        mapped_columns(self.config, columns, where)


def _lines_of(paths: Sequence[Path]) -> str:
    return (
        f"read_csv([{', '.join(literal(str(path)) for path in paths)}], "
        f"columns = {{'line': 'VARCHAR'}}, header = false, auto_detect = false, comment = '', "
        f"delim = '{SEPARATOR}', quote = '', escape = '', max_line_size = {MAX_LINE})"
    )


def _with_values(paths: Mapping[str, str], lines: list[str]) -> list[str]:
    """Names whose JSON paths exist in an object, evaluated by DuckDB, as later in the load."""
    if not paths:
        return []
    with duckdb.connect() as connection:
        return [
            name
            for name, path in paths.items()
            if connection.execute(
                "SELECT bool_or(json_exists(line, ?)) FROM (SELECT unnest(?::VARCHAR[]) AS line)",
                [path, lines],
            ).fetchall()
            == [(True,)]
        ]


def _begins_array(line: str) -> bool:
    """Whether a file's first line is the start of an array of objects, or a whole one."""
    if not line.startswith("["):
        return False
    try:
        items = json.loads(line)
    except ValueError:
        return line.strip() == "[" or line[1:].lstrip().startswith("{")
    return bool(items) and all(isinstance(item, dict) for item in items)


def _lists_cut_short(paths: Sequence[str], lines: list[str]) -> list[str]:
    """Warnings of paths that read one item of a list with several."""
    warnings = []
    for root in dict.fromkeys(
        path[: match.start()] for path in paths if (match := re.search(r"\[\d+\]", path))
    ):
        with duckdb.connect() as connection, suppress(duckdb.Error):
            (longest,) = connection.execute(
                "SELECT max(json_array_length(line, ?)) FROM (SELECT unnest(?::VARCHAR[]) AS line)",
                [root, lines],
            ).fetchall()[0]
            if longest and longest > 1:
                name = root.removeprefix("$.")
                warnings.append(
                    f"{root} has up to {longest} items, of which one is read: `lines: {name}` "
                    "makes each item a row"
                )
    return warnings
