"""A stream of files, killed at a moment: `python -m ...killed <moment> <folder> <redis> <jars>`.

Its whole process group is killed, the Java machine too.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analytics_assets.streaming.anomalies import suspicions
from analytics_assets.streaming.application import StreamOptions, run_stream
from analytics_assets.streaming.lake import LakeSink
from analytics_assets.streaming.layout import EVENTS, Lake
from analytics_assets.streaming.live import LiveNumbers
from analytics_assets.streaming.session import open_session
from analytics_assets.streaming.sources import FolderOfFiles

from .messages import QUICK, TEN_YEARS

LATER = 1  # the batch that is killed: one that has one before it
# Where the application is killed: class, function, before or after the call, and which call.
MOMENTS: dict[str, tuple[type, str, bool, Callable[..., bool]]] = {
    "before the sink": (LakeSink, "__call__", True, lambda rows, batch: batch == LATER),
    "between two sinks": (
        LakeSink,
        "_append",
        True,
        lambda table, rows, batch, note="": table == EVENTS and batch == LATER,
    ),
    "between sink and commit": (LakeSink, "__call__", False, lambda rows, batch: batch == LATER),
    "between Redis and the table": (LiveNumbers, "__call__", False, lambda rows: True),
}


def stream_of_files(folder: Path, redis_url: str) -> StreamOptions:
    """A stream with all queries, a batch for each file."""
    return StreamOptions(
        FolderOfFiles(str(folder / "in"), most=1),
        Lake(str(folder / "lake")),
        folder / "home",
        rules=suspicions(100, "UTC"),
        redis_url=redis_url,
        live_seconds=TEN_YEARS,
        until_read=True,
    )


def kill_at(moment: str) -> None:
    """Let the call of that moment kill this process group."""
    of, function, before, which = MOMENTS[moment]
    call = getattr(of, function)

    def killing(self: Any, *arguments: Any) -> Any:
        dies = which(*arguments)
        if dies and before:
            os.killpg(0, signal.SIGKILL)
        result = call(self, *arguments)
        if dies:
            os.killpg(0, signal.SIGKILL)
        return result

    setattr(of, function, killing)


if __name__ == "__main__":
    moment, folder, redis_url, jars = sys.argv[1:]
    kill_at(moment)
    spark = open_session("local[2]", Path(jars), 2, QUICK)
    run_stream(spark, stream_of_files(Path(folder), redis_url))
