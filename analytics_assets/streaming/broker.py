"""A Kafka broker of one node on the loopback, to try the stream with and for the tests.

Belongs here: starting it from its jars. Does not belong here: a broker for production.
"""

import base64
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DECLARED = Path(__file__).with_name("broker.xml")
START_SECONDS = 60.0


class BrokerError(RuntimeError):
    """The broker did not start; the message says where its log is."""


@contextmanager
def running(data: Path, jars: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A broker in KRaft mode, until the end of the block; its data stay.

    Args:
        data: folder of its data and its log.
        jars: folder of its jars.
        port: where it listens; the next one is its controller's.

    Raises:
        BrokerError: it did not start.
    """
    data.mkdir(parents=True, exist_ok=True)
    properties = data / "server.properties"
    properties.write_text(_properties(data, port), encoding="utf-8")
    log = data / "broker.log"
    with log.open("ab") as stream:
        if not (data / "log" / "meta.properties").exists():
            identity = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            formatted = _java(jars, "kafka.tools.StorageTool", "format")
            # The identity may begin with a hyphen.
            formatted += [f"--cluster-id={identity}", "--config", str(properties)]
            if subprocess.run(formatted, stdout=stream, stderr=stream).returncode:
                raise BrokerError(f"The storage cannot be formatted. {log} says why.")
        command = _java(jars, "kafka.Kafka", str(properties))
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            _await(process, port, log)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _java(jars: Path, main: str, *arguments: str) -> list[str]:
    memory = ["-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    return ["java", *memory, "-cp", f"{jars}/*", main, *arguments]


def _properties(data: Path, port: int) -> str:
    return "\n".join(
        [
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{port + 1}",
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{port + 1}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names=CONTROLLER",
            f"log.dirs={data / 'log'}",
            "num.partitions=2",
            "offsets.topic.replication.factor=1",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
            "group.initial.rebalance.delay.ms=0",
            "",
        ]
    )


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise BrokerError(
        f"The broker does not listen on port {port}. {log} says why; is the port in use?"
    )
