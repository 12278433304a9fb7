"""Ending the command line on SIGTERM and Ctrl-C, within seconds, whatever it is doing.

Belongs here: taking the signals, and the end of the run and of the process. Does not belong here:
what a run does (`backfill`).

Dagster and dbt have handlers of their own, which act when they come to it: after the statements
that are running, or never, where a run waits for its slot. So a thread learns of the signal, too.
It gives the run a few seconds to end by itself, and then ends the process: DuckDB has kept nothing
of a transaction that did not commit.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from analytics_assets.compat.interpreter import exit_at_once

if TYPE_CHECKING:
    from dagster import DagsterInstance

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PATIENCE = 4.0  # seconds until the process is ended
RECORDING = 2.0  # seconds that the instance gets for the end of the run


class Stop:
    """Whether the command was asked to end, and what it is to leave in order.

    Attributes:
        signal: the signal that asked; None until then.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._run: tuple[DagsterInstance, str] | None = None
        self._asked = threading.Event()
        self._ended = threading.Event()

    @contextmanager
    def listening(self) -> Iterator["Stop"]:
        """Take the signals.

        Raises:
            SystemExit: a signal has ended the block; its exit code is the shell's, 128 and more.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self  # as signals reach the main thread only
            return
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
        # Python writes the number of each signal there, whoever has replaced the handlers.
        wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        thread = threading.Thread(target=self._listen, args=(reading,), daemon=True)
        thread.start()
        try:
            yield self
        except BaseException as error:
            # The thread may hear of it a moment later.
            asked = self._asked.wait(0.0 if isinstance(error, Exception) else 0.5)
            if not asked:
                raise
        finally:
            self._ended.set()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(writing)
            thread.join()
            os.close(reading)
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    @contextmanager
    def of_run(self, instance: "DagsterInstance", run_id: str) -> Iterator[None]:
        """What goes on in the block is a run: it is in the instance as ended, whatever happens."""
        self._run = (instance, run_id)
        try:
            yield
        finally:
            self._run = None
            if self.signal is not None:
                cancel(instance, run_id)

    def _listen(self, reading: int) -> None:
        for number in iter(lambda: ord(os.read(reading, 1) or b"\0"), 0):
            if number in SIGNALS:
                break
        else:
            return  # the block has ended
        self.signal = number
        self._asked.set()
        name = signal.Signals(number).name
        print(f"{name}: stopping; what is not committed is rolled back.", file=sys.__stderr__)
        if self._ended.wait(PATIENCE):
            return
        _within(RECORDING, self._cancel)
        exit_at_once(128 + number)

    def _cancel(self) -> None:
        if self._run:
            cancel(*self._run)


def cancel(instance: "DagsterInstance", run_id: str) -> None:
    """End a run in the instance, if it has not ended, and free its slot."""
    run = instance.get_run_by_id(run_id)
    if run and not run.is_finished:
        instance.report_run_canceled(run, "The command line was stopped by a signal.")
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Do something in a thread: the main thread may have what it waits for."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
