"""A run in a terminal: its progress and the table of its outcome."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress() -> Iterator[Callable[[Any], None]]:
    """Show a progress bar for each run, over its planned partitions and checks.

    Without a terminal, print a line for each run when it ends.
    """
    terminal = sys.__stderr__
    if terminal is None or not terminal.isatty():
        yield _print_when_ended
        return
    from tqdm import tqdm

    bars: dict[str, Any] = {}

    def listener(event: Any) -> None:
        kind = event.event_type_value
        if event.job_name not in bars:
            _finish(bars)
            # stderr itself is redirected to the log.
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


def _print_when_ended(event: Any) -> None:
    # stderr itself is redirected to the log.
    if event.is_job_event and (event.is_job_success or event.is_job_failure):
        print(event.job_name, "done" if event.is_job_success else "failed", file=sys.__stderr__)


def _finish(bars: dict[str, Any]) -> None:
    for bar in bars.values():
        bar.set_postfix_str("")
        bar.close()


def outcome_table(assets: dict[str, Any]) -> str:
    """One line per asset: rows, seconds, checks."""
    header = f"{'asset':<28}{'partitions':>11}{'rows':>13}{'seconds':>9}"
    header += f"{'passed':>8}{'warned':>8}{'failed':>8}"
    lines = [header, "-" * len(header)]
    for name, outcome in assets.items():
        rows = "" if outcome.rows is None else f"{outcome.rows:,.0f}"
        lines.append(
            f"{name:<28}{outcome.partitions:>11,}{rows:>13}{outcome.seconds:>9.1f}"
            f"{outcome.passed:>8}{outcome.warned:>8}{outcome.failed:>8}"
        )
    return "\n".join(lines)
