"""Ending a process, whatever its threads are doing."""

import subprocess
import sys

BUSY_FOREVER = """
import threading, time
from analytics_assets.compat.interpreter import exit_at_once
threading.Thread(target=lambda: (time.sleep(0.2), exit_at_once(7))).start()
try:
    time.sleep(100)
finally:
    print("not at once")
"""


def test_a_process_ends_without_its_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUSY_FOREVER], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (7, "")
