"""Logs as JSON: one object a line, with time, level, run id and message.

Belongs here: the form of a line, and turning what is printed into lines of it. Does not belong
here: who is asked for it (`ANALYTICS_LOG_FORMAT`), or loggers of Dagster (`compat.loggers`).
"""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

FAILED = ("Error: ", "FAILED  ")  # how lines of the command line begin that say so
# The command line executes one run at a time; threads of it print, too.
_current_run: list[str] = []


def json_line(level: str, message: str, run_id: str | None = None, **more: Any) -> str:
    """A line of the log, without its end."""
    values = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "run_id": run_id or next(iter(_current_run[-1:]), None),
        "message": message,
        **{name: value for name, value in more.items() if value},
    }
    return json.dumps(values, default=str, ensure_ascii=False)


@contextmanager
def of_run(run_id: str) -> Iterator[None]:
    """Lines of the block that name no run are of this one."""
    _current_run.append(run_id)
    try:
        yield
    finally:
        _current_run.remove(run_id)


class JsonFormatter(logging.Formatter):
    """A record of `logging` as a line; those of Dagster have their run, job and step."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        of_dagster = getattr(record, "dagster_meta", None) or {}
        return json_line(
            record.levelname,
            of_dagster.get("orig_message") or record.getMessage(),
            of_dagster.get("run_id"),
            logger=record.name,
            job=of_dagster.get("job_name"),
            step=of_dagster.get("step_key"),
            traceback=self.formatException(record.exc_info) if record.exc_info else None,
        )


class JsonLines(io.TextIOBase):
    """A stream that writes each line that is printed to it as JSON, to another stream."""

    encoding = "utf-8"

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._begun = ""
        self._lock = threading.Lock()

    def writable(self) -> bool:
        """It is there to be written."""
        return True

    def write(self, text: str) -> int:
        """Keep what has no end yet; write what has."""
        with self._lock:
            whole = self._begun + text
            # An error of several lines is one.
            is_error = whole.startswith(FAILED) and whole.endswith("\n")
            *lines, self._begun = [whole[:-1], ""] if is_error else whole.split("\n")
            for line in filter(str.strip, lines):
                self._to.write(self._as_json(line.rstrip("\r")) + "\n")
            self._to.flush()
        return len(text)

    def close(self) -> None:
        """Write what has no end; the other stream stays open."""
        if self._begun:
            self.write("\n")
        super().close()

    def _as_json(self, line: str) -> str:
        if line.startswith("{"):
            try:
                json.loads(line)
            except ValueError:
                pass
            else:
                return line
        return json_line("ERROR" if line.startswith(FAILED) else "INFO", line)


def as_stdout(stream: TextIO) -> TextIO:
    """A stream that has JSON if stdout has, and text otherwise."""
    return JsonLines(stream) if isinstance(sys.stdout, JsonLines) else stream  # type: ignore[return-value]


@contextmanager
def printed_as_json() -> Iterator[None]:
    """Whatever the process prints, logs, warns of or fails with becomes JSON."""
    names = ("stdout", "stderr", "__stdout__", "__stderr__")
    before = {name: getattr(sys, name) for name in names}
    streams = {stream: JsonLines(stream) for stream in before.values()}
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root, hook = logging.getLogger(), sys.excepthook

    def crashed(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        text = logging.Formatter().formatException((kind, error, trace))
        before["stderr"].write(json_line("CRITICAL", str(error), traceback=text) + "\n")

    for name, stream in before.items():
        setattr(sys, name, streams[stream])
    root.addHandler(handler)
    logging.captureWarnings(True)
    sys.excepthook = crashed
    try:
        yield
    except Exception as error:
        crashed(type(error), error, error.__traceback__)
        raise SystemExit(1) from None
    finally:
        for lines in streams.values():
            lines.close()
        for name, stream in before.items():
            setattr(sys, name, stream)
        root.removeHandler(handler)
        logging.captureWarnings(False)
        sys.excepthook = hook
