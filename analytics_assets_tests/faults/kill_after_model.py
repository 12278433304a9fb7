"""The command line, killed when dbt has built a model: `python -m ... <model> <arguments>`."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from analytics_assets.assets.dbt import command
from analytics_assets.cli import main

call = command.call_dbt


def kill_after(arguments: Sequence[str], listen: Callable[[Any], None]) -> Any:
    def heard(message: Any) -> None:
        if message.info.name == "LogModelResult" and message.data.node_info.node_name == model:
            os.kill(os.getpid(), signal.SIGKILL)
        listen(message)

    return call(arguments, heard)


if __name__ == "__main__":
    model = sys.argv.pop(1)
    command.call_dbt = kill_after
    main()
