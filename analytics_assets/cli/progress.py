"""A run in a terminal: its progress, and the table of what it did."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress() -> Iterator[Callable[[Any], None]]:
    """A progress bar for each run, over the partitions and checks that it has planned.

    Without a terminal, a line for each run when it ends.
    """
    terminal = sys.__stderr__
    if terminal is None or not terminal.isatty():
        yield _say_when_over
        return
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def listener(event: Any) -> None:
        kind = event.event_type_value
        if event.job_name not in bars:
            _finish(bars)
            # Not redirected with what the steps print.
            bars[event.job_name] = tqdm(
                total=0, desc=event.job_name, unit=" steps", file=sys.__stderr__, ncols=88
            )
        bar = bars[event.job_name]
        if kind in ("ASSET_MATERIALIZATION_PLANNED", "ASSET_CHECK_EVALUATION_PLANNED"):
            bar.total += 1
        elif kind in ("ASSET_MATERIALIZATION", "ASSET_CHECK_EVALUATION"):
            bar.update()
        elif kind == "STEP_START":
            bar.set_postfix_str(event.step_key)

    yield listener
    _finish(bars)


def _say_when_over(event: Any) -> None:
    # Not redirected with what the steps print.
    if event.is_job_event and (event.is_job_success or event.is_job_failure):
        print(event.job_name, "done" if event.is_job_success else "failed", file=sys.__stderr__)


def _finish(bars: dict[str, Any]) -> None:
    for bar in bars.values():
        bar.set_postfix_str("")
        bar.close()


def outcome_table(assets: dict[str, Any]) -> str:
    """Asset, rows, seconds, checks: one line an asset."""
    header = f"{'asset':<28}{'partitions':>11}{'rows':>13}{'seconds':>9}"
    header += f"{'passed':>8}{'warned':>8}{'failed':>8}"
    lines = [header, "-" * len(header)]
    for name, made in assets.items():
        rows = "" if made.rows is None else f"{made.rows:,.0f}"
        lines.append(
            f"{name:<28}{made.partitions:>11,}{rows:>13}{made.seconds:>9.1f}"
            f"{made.passed:>8}{made.warned:>8}{made.failed:>8}"
        )
    return "\n".join(lines)
