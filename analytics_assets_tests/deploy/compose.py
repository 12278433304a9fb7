"""The services of deploy/compose.yaml, started by hand: no container engine is needed.

Commands, environments and health checks are those of the file. What a container gives them is
replaced: folders by folders of the test, names and ports by those of the loopback.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from analytics_assets_tests.conftest import REPOSITORY
from analytics_assets_tests.postgres import Server

FILE = REPOSITORY / "deploy" / "compose.yaml"
PROGRAMS = Path(sys.executable).parent
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "analytics-assets" in service["image"]]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.5)


@dataclass
class Machine:
    """A folder in the place of the volumes, and the processes in the place of the containers."""

    folder: Path
    postgres: Server
    ports: dict[tuple[str, str], int] = field(default_factory=dict)
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("home", "configuration", "secrets", "tmp"):
            (self.folder / name).mkdir()
        self.ports["postgres", "5432"] = self.postgres.port

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def port(self, service: str, port: str) -> int:
        return self.ports.setdefault((service, port), free_port())

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()

    def environment(self, service: str) -> dict[str, str]:
        """What the container has, and what the image sets."""
        environment = {name: self._here(service, str(value)) for name, value in
                       SERVICES[service]["environment"].items()}  # fmt: skip
        environment["CODE_SERVER_HOST"] = "127.0.0.1"
        environment["CODE_SERVER_PORT"] = str(self.port("code", "4000"))
        environment["ANALYTICS_DAGSTER_POSTGRES_HOST"] = "127.0.0.1"
        environment["ANALYTICS_DAGSTER_POSTGRES_PORT"] = str(self.postgres.port)
        return {
            **environment,
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self.folder / "tmp"),
        }

    def _here(self, service: str, word: str) -> str:
        """A word of the file as it has to be on this machine."""
        # Variables of the shell: their default.
        word = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word)
        for there, here in (
            ("/var/lib/analytics", self.home),
            ("/etc/analytics", self.folder / "configuration"),
            ("/run/secrets", self.folder / "secrets"),
            ("/app", REPOSITORY),
        ):
            word = word.replace(there, str(here))
        word = re.sub(
            r"127\.0\.0\.1:(\d+)", lambda m: f"127.0.0.1:{self.port(service, m[1])}", word
        )
        if re.fullmatch(r"3000|4000|9187", word):
            return str(self.port(service, word))
        return "127.0.0.1" if word == "0.0.0.0" else word

    def words(self, service: str, words: list[str]) -> list[str]:
        return [self._here(service, word) for word in words]

    def start(self, service: str) -> None:
        command = self.words(service, SERVICES[service]["command"])
        with (self.folder / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [str(PROGRAMS / command[0]), *command[1:]],
                env=self.environment(service),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_healthy(self, service: str) -> bool:
        process = self.processes[service]
        assert process.poll() is None, self.log(service)
        kind, *test = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self.words(service, test), env=self.environment(service), capture_output=True
        )
        return done.returncode == 0

    def stop(self, service: str) -> float:
        """End a service as an engine does, and return how long that took."""
        process, began = self.processes.pop(service), time.monotonic()
        process.send_signal(signal.SIGTERM)
        grace = float(SERVICES[service]["stop_grace_period"].rstrip("s"))
        try:
            process.wait(grace)
        finally:
            # The group is the session of what was started here.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return time.monotonic() - began
