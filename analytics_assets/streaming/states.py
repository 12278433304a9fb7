"""How far the queries of a stream are, by what they leave in files: read without Spark.

Belongs here: their checkpoints and their progress. Does not belong here: the log of the events
(`sources.readers.lake_log`), or rows of the lake (`sources.readers.delta_rows`).
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from analytics_assets.streaming.layout import QUERIES, Lake


@dataclass(frozen=True)
class QueryState:
    """How far a query of the stream is.

    Attributes:
        name: its name.
        batch: its last whole batch.
        watermark: in that batch: what ended before it has been said. Naive UTC.
        rows: rows of its state; None where no progress of it is on this machine.
        bytes: memory of its state.
    """

    name: str
    batch: int
    watermark: datetime | None
    rows: int | None
    bytes: int | None


def query_states(lake: Lake, progress: Path | None = None) -> list[QueryState]:
    """How far each query is, by its checkpoint; those that have none are left out.

    Args:
        lake: the lake.
        progress: folder in which the application notes the progress of its queries; without it
            the size of their state is not known.
    """
    states = []
    for name in QUERIES:
        place = Path(lake.checkpoint(name))
        committed = _newest(place / "commits")
        offsets = place / "offsets" / str(committed)
        if committed is None or not offsets.is_file():
            continue
        # The first line is the version of the format, the second is about the batch.
        about = json.loads(offsets.read_text(encoding="utf-8").splitlines()[1])
        millis = about.get("batchWatermarkMs") or 0
        watermark = datetime.fromtimestamp(millis / 1000, UTC).replace(tzinfo=None)
        rows, size = _state(progress / f"{name}.json") if progress else (None, None)
        states.append(QueryState(name, committed, watermark if millis else None, rows, size))
    return states


def _newest(folder: Path) -> int | None:
    if not folder.is_dir():
        return None
    return max((int(file.name) for file in folder.iterdir() if file.name.isdecimal()), default=None)


def _state(file: Path) -> tuple[int | None, int | None]:
    """Rows and memory of a query's state, by its last progress."""
    if not file.is_file():
        return None, None
    operators = json.loads(file.read_text(encoding="utf-8")).get("stateOperators", [])
    return (
        sum(operator["numRowsTotal"] for operator in operators),
        sum(operator["memoryUsedBytes"] for operator in operators),
    )
