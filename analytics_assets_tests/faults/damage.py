"""Damage to files, for real: cut, flipped bytes, other content; and the command line over them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analytics_assets_tests.conftest import CUSTOMERS, MONTHS, Project

SAMPLE = ("--customers", str(CUSTOMERS), "--months", str(MONTHS))


def cut(path: Path) -> None:
    """Lose the second half."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Flip 64 bytes in every 16 kB, the first ones left out."""
    content = bytearray(path.read_bytes())
    for start in range(12 * 1024, len(content), 16 * 1024):
        content[start : start + 64] = bytes(byte ^ 0xFF for byte in content[start : start + 64])
    path.write_bytes(content)


def empty(path: Path) -> None:
    """Lose everything."""
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """Have other content."""
    path.write_bytes(b"<html>no database</html>" * 1000)


Damage = Callable[[Path], None]


def command(project: Project, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "analytics_assets.cli", *arguments],
        env=project.environment(),
        capture_output=True,
        text=True,
        timeout=400,
    )


def run(project: Project) -> str:
    """Run what is to be run, which succeeds; what was printed."""
    done = command(project, "run", *SAMPLE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def failed_in_a_line(done: "subprocess.CompletedProcess[str]") -> str:
    """The error of a command that ended with one line and without a traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("Error: ")]
    return line


def doctor(project: Project, *arguments: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    """The findings by check."""
    done = command(project, "doctor", "--json", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    findings: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(done.stdout):
        findings.setdefault(finding["check"], []).append(finding)
    return findings


def with_other_prices(orders: str) -> str:
    """A file of the sample's orders, with another price in lines of one unit."""
    corrected = re.sub(r",1,(\d+)\.\d\d,\1\.\d\d,", r",1,\1.37,\1.37,", orders)
    assert corrected != orders
    return corrected
