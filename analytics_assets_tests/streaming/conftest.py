"""Spark, Kafka and Redis for the tests of the stream: real ones, on the loopback."""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from analytics_assets.cli.stream import _copy_jars
from analytics_assets.streaming import broker
from analytics_assets.streaming.anomalies import suspicions
from analytics_assets.streaming.application import StreamOptions, run_stream
from analytics_assets.streaming.layout import Lake
from analytics_assets.streaming.session import DECLARED, open_session
from analytics_assets.streaming.sources import FolderOfFiles

# `make test` does without Spark; `make test-slow` installs it first.
if importlib.util.find_spec("pyspark") is None:
    collect_ignore = ["test_kafka.py", "test_live.py"]


def _jars(tmp_path_factory: pytest.TempPathFactory, name: str, declared: Path) -> Path:
    """The jars of a project file, once for all processes of the tests."""
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder = shared / name
    with FileLock(shared / f"{name}.lock"):
        if not folder.exists():
            _copy_jars(declared, folder)
    return folder


@pytest.fixture(scope="session")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _jars(tmp_path_factory, "spark-jars", DECLARED)


@pytest.fixture(scope="session")
def broker_jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _jars(tmp_path_factory, "broker-jars", broker.DECLARED)


@pytest.fixture(scope="session")
def spark(jars: Path) -> Iterator[Any]:
    session = open_session("local[2]", jars, 2, {"spark.ui.enabled": "false"})
    yield session
    session.stop()


@pytest.fixture
def options(tmp_path: Path) -> StreamOptions:
    """A stream of the files in `tmp_path / "in"`, which ends when it has read them."""
    (tmp_path / "in").mkdir()
    return StreamOptions(
        FolderOfFiles(str(tmp_path / "in"), most=1),
        Lake(str(tmp_path / "lake")),
        tmp_path / "home",
        rules=suspicions(1000, "UTC"),
        until_read=True,
    )


@pytest.fixture
def run(spark: Any) -> Callable[[StreamOptions], None]:
    return lambda options: run_stream(spark, options)


@pytest.fixture
def table(spark: Any) -> Callable[[StreamOptions, str], list[Any]]:
    """The rows of a table of the lake."""
    return lambda options, name: spark.read.format("delta").load(options.lake.table(name)).collect()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = shutil.which("redis-server")
    assert server, "redis-server is missing: install Debian's package redis-server"
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(20)
