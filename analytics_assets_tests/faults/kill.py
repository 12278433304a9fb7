"""The command line, killed at a place: `python -m analytics_assets_tests.faults.kill <place> ...`.

A place is `model:<name>`, when dbt has built a model, or `<module>:<function>`, when it is called;
`<module>:<function>:2` is its second call. The arguments of the command follow.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from analytics_assets.assets.dbt import command
from analytics_assets.cli import main


def kill_after_model(model: str) -> None:
    call = command.call_dbt

    def kill_after(arguments: Sequence[str], listen: Callable[[Any], None]) -> Any:
        def heard(message: Any) -> None:
            if message.info.name == "LogModelResult" and message.data.node_info.node_name == model:
                os.kill(os.getpid(), signal.SIGKILL)
            listen(message)

        return call(arguments, heard)

    command.call_dbt = kill_after


def kill_when_called(module: str, function: str, times: int) -> None:
    of = importlib.import_module(module)
    call = getattr(of, function)
    left = times

    def kill(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)

    setattr(of, function, kill)


if __name__ == "__main__":
    where, what, *number = sys.argv.pop(1).split(":")
    if where == "model":
        kill_after_model(what)
    else:
        kill_when_called(where, what, int(number[0]) if number else 1)
    main()
