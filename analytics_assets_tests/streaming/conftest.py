"""Spark, Kafka and Redis for the tests of the stream: real ones, on the loopback."""

import importlib.util
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

from .messages import QUICK

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
    session = open_session("local[2]", jars, 2, QUICK)
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


class RedisServer:
    """A Redis that can be stopped, and started again with nothing in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        server = shutil.which("redis-server")
        assert server, "redis-server is missing: install Debian's package redis-server"
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [server, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.process = subprocess.Popen(
            [*command, "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        until(self._listens, 20)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@contextmanager
def running(spark: Any, options: StreamOptions) -> Iterator[list[str]]:
    """A stream that goes on until the end of the block, and what it says."""
    said: list[str] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run_stream(spark, options, said.append)
        except BaseException as error:
            failures.append(error)
            said.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield said
    finally:
        options.stopped.set()
        thread.join(60)
    assert not failures


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)
