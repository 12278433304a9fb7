"""Events of the stream's lake: those of the days whose hours the watermark has closed.

Belongs here: which files of the lake a window needs, and what of them is not due yet. Does not
belong here: the log (`lake_log`), or reading Parquet (`parquet`).
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import duckdb

from analytics_assets.partitions import Window
from analytics_assets.quoting import identifier, literal
from analytics_assets.sources.readers.base import Scan, SourceError, SourceFile
from analytics_assets.sources.readers.delta import DeltaReader, local_path
from analytics_assets.sources.readers.files import LocalFile
from analytics_assets.sources.readers.lake_log import EVENTS, Closed, closed_hours, open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

HOUR = timedelta(hours=1)
# The lake's names that SQL would have to quote, and ours.
RENAMED = {"partition": "topic_partition", "offset": "topic_offset"}


class LakeReader(DeltaReader):
    """The lake of `analytics-assets stream`, for the source `events`.

    A day is due when all of its hours are closed. Before that, and for late events until the next
    hour closes, rows are not due yet, and counted as such.
    """

    format = "lake"
    kind = "delta"

    @property
    def reads_whole(self) -> bool:
        """Only the hours of a window are read."""
        return False

    @property
    def due_before(self) -> date | None:
        """The first day that is not due."""
        if self._closed is None:
            return date.min
        return self._closed.end.replace(tzinfo=UTC).astimezone(self._zone).date()

    @cached_property
    def _newest(self) -> "DeltaTable":
        """The table; one version of it for all that this reader says."""
        if self.config.source != EVENTS:
            raise SourceError(
                f"{self.config.source}: the format lake is for the source {EVENTS}. Write "
                "`format: delta`, with the folder of a table, to read another one of the lake."
            )
        return open_table(f"{self.config.path.rstrip('/')}/{EVENTS}", self.config.source)

    @cached_property
    def _closed(self) -> Closed | None:
        return closed_hours(self._newest)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.config.shops_zone)

    @cached_property
    def _files(self) -> list[tuple[str, datetime, int]]:
        """Path, hour and rows of each file when the newest hour closed; none before the first."""
        if self._closed is None:
            return []
        place = f"{self.config.path.rstrip('/')}/{EVENTS}"
        table = open_table(place, self.config.source, self._closed.version)
        return _files(table)

    def _start_of(self, day: date) -> datetime:
        """When a day of the shop begins, in UTC."""
        start = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return start.astimezone(UTC).replace(tzinfo=None)

    def files(self, window: Window | None = None) -> list[SourceFile]:
        """The files with hours of a window that are due; none is no error: a stream may be new."""
        if self._closed is None:
            return []
        before = self.due_before
        assert before is not None
        last = self._start_of(before)
        files = self._files
        if window is not None:
            first, last = self._start_of(window.start), min(self._start_of(window.end), last)
            files = [file for file in files if file[1] + HOUR > first]
        paths = [path for path, hour, _ in files if hour < last]
        return [
            SourceFile(path, self._name(path), None, self._state(path)) for path in sorted(paths)
        ]

    def read(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: Sequence[LocalFile],
        scratch: Path,
        careful: bool,
    ) -> Scan:
        """The rows of all files, the lake's columns under our names."""
        scan = super().read(connection, files, scratch, careful)
        names = ", ".join(f"{identifier(name)} AS {ours}" for name, ours in RENAMED.items())
        return Scan(
            f"(SELECT * RENAME ({names}) FROM {scan.relation})",
            {RENAMED.get(name, name): type_ for name, type_ in scan.types.items()},
            scan.parts,
            numbered=True,
        )

    def not_due(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Rows of the lake that are not due yet, late ones among them."""
        rows = sum(count for _, _, count in _files(self._newest))
        if self._closed is None or self.due_before is None:
            return rows
        start = self._start_of(self.due_before)
        due = sum(count for _, hour, count in self._files if hour + HOUR <= start)
        # An hour that two days of the shop share, where its zone is no whole hour from UTC.
        shared = [path for path, hour, _ in self._files if hour < start < hour + HOUR]
        if shared:
            listed = ", ".join(map(literal, shared))
            (of_shared,) = connection.execute(
                f"SELECT count(*) FROM read_parquet([{listed}]) "
                f"WHERE event_time < TIMESTAMPTZ '{start}+00'"
            ).fetchall()[0]
            due += of_shared
        return rows - due


def _files(table: "DeltaTable") -> list[tuple[str, datetime, int]]:
    """Path, hour and rows of each file of the table of events."""
    root = Path(local_path(table.table_uri))
    actions = table.get_add_actions(flatten=True)
    columns = [
        actions.column(name).to_pylist()
        for name in ("path", "partition.event_date", "partition.event_hour", "num_records")
    ]
    return [
        (
            str(root / unquote(path)),
            datetime(day.year, day.month, day.day) + timedelta(hours=hour),  # noqa: DTZ001 (UTC)
            int(rows),
        )
        for path, day, hour, rows in zip(*columns, strict=True)
    ]
