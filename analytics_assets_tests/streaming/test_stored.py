"""Tables of the lake, asked without Spark."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from analytics_assets.streaming.layout import Lake
from analytics_assets.streaming.stored import rows_of


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    assert rows_of(Lake(str(tmp_path)), "activity", "SELECT * FROM activity") is None


def test_no_thread_of_arrow_calls_python(tmp_path: Path) -> None:
    """Arrow's datasets do, for each file, and now and then one aborts the process as it ends."""
    for number in range(5):
        write_deltalake(tmp_path / "activity", pa.table({"events": [number]}), mode="append")
    script = (
        "import sys\n"
        "from analytics_assets.streaming.layout import Lake\n"
        "from analytics_assets.streaming.stored import rows_of\n"
        "print(rows_of(Lake(sys.argv[1]), 'activity', 'SELECT sum(events) AS n FROM activity'))\n"
        "assert 'pyarrow.dataset' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "[{'n': 10}]\n"), done.stderr
