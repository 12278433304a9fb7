"""ANALYTICS_LOG_FORMAT=json: every line is an object with time, level, run id and message."""

import io
import json
import logging
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.json_logs import JsonFormatter, JsonLines, of_run, printed_as_json
from analytics_assets_tests.conftest import REPOSITORY


def objects(text: str) -> list[dict[str, Any]]:
    """All lines; each has the fields that every line has."""
    parsed = [json.loads(line) for line in text.splitlines()]
    for line in parsed:
        assert {"time", "level", "run_id", "message"} <= line.keys()
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        assert logging.getLevelName(line["level"])
    return parsed


def test_what_is_printed_becomes_an_object_a_line() -> None:
    out = io.StringIO()
    lines = JsonLines(out)
    print("one", "two\nthree", file=lines)
    with of_run("a-run"):
        print("ü\t" + '"', end="", file=lines)
        print(file=lines)
    print('{"already": 1}', file=lines)
    lines.write("Error: first\nsecond\n")
    lines.write("no end")
    lines.close()
    one, three, of_a_run, already, error, last = out.getvalue().splitlines()
    assert [json.loads(line)["message"] for line in (one, three)] == ["one two", "three"]
    assert json.loads(of_a_run) | {"time": ""} == {
        "time": "", "level": "INFO", "run_id": "a-run", "message": 'ü\t"'
    }  # fmt: skip
    assert already == '{"already": 1}'
    assert json.loads(error)["level"] == "ERROR"
    assert json.loads(error)["message"] == "Error: first\nsecond"
    assert json.loads(last)["message"] == "no end"


def test_a_record_of_a_step_has_its_run_and_a_failure_its_traceback() -> None:
    record = logging.makeLogRecord({"msg": "said %s", "args": ("this",), "levelname": "WARNING"})
    record.dagster_meta = {"run_id": "a-run", "job_name": "load_days", "step_key": "raw_orders"}
    try:
        raise ValueError("no\nsuch")
    except ValueError:
        record.exc_info = sys.exc_info()
    (line,) = objects(JsonFormatter().format(record))
    assert (line["level"], line["run_id"], line["message"]) == ("WARNING", "a-run", "said this")
    assert (line["job"], line["step"]) == ("load_days", "raw_orders")
    assert "ValueError: no" in line["traceback"]


def test_a_crash_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, printed_as_json():
        raise LookupError("what\nnow")
    assert caught.value.code == 1
    (line,) = objects(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("CRITICAL", "what\nnow")
    assert "LookupError" in line["traceback"]


@pytest.mark.slow
@pytest.mark.parametrize("orders", ["good", "bad"])
def test_every_line_of_a_command_and_of_its_log_is_an_object(tmp_path: Path, orders: str) -> None:
    trial = shutil.copytree(REPOSITORY / "deploy" / "trial", tmp_path / "trial")
    if orders == "bad":
        (trial / "orders.csv").write_text("nonsense\n1\n")
    done = subprocess.run(
        [sys.executable, "-m", "analytics_assets.cli",
         "backfill", "--from", "2024-01-01", "--to", "2024-01-02"],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "ANALYTICS_HOME": str(tmp_path / "home"),
            "ANALYTICS_SOURCES": str(trial / "sources.yaml"),
            "ANALYTICS_LOG_FORMAT": "json",
        },
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == (orders == "bad"), done.stderr
    said = objects(done.stdout) + objects(done.stderr)
    logged = objects((tmp_path / "home" / "logs" / "backfill.log").read_text())
    ended = [line for line in said if line["message"].startswith("load_days ")]
    assert [line["message"] for line in ended] == [
        f"load_days {'done' if orders == 'good' else 'failed'}"
    ]
    assert ended[0]["run_id"]
    if orders == "bad":
        failed = [line for line in said if line["level"] == "ERROR"]
        assert any("FAILED  load days" in line["message"] for line in failed)
        assert any(line.get("step") == "raw_orders" for line in logged)
    else:
        assert {line["run_id"] for line in logged} - {None} >= {ended[0]["run_id"]}


@pytest.mark.slow
def test_wrong_settings_are_one_object(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "analytics_assets.cli", "run"],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "ANALYTICS_DEPLOYMENT": "production",
            "ANALYTICS_LOG_FORMAT": "json",
        },
        capture_output=True,
        text=True,
    )
    (line,) = objects(done.stderr)
    assert done.returncode == 1
    assert line["level"] == "ERROR"
    for name in ("ANALYTICS_HOME", "ANALYTICS_SOURCES", "ANALYTICS_DAGSTER_STORAGE"):
        assert f"{name} is not set" in line["message"]
