"""PostgreSQL servers that the tests start: real ones, on this machine."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

USER = "postgres"


def programs() -> Path | None:
    """Folder of the server's programs: Debian keeps them out of PATH."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


@dataclass(frozen=True)
class Server:
    """A server in a folder of its own; root has to be somebody else for it."""

    folder: Path  # short, as the path of its socket has a limit
    port: int
    password: str | None

    def _run(self, program: str, *arguments: str) -> None:
        bin_ = programs()
        assert bin_ is not None
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        subprocess.run(
            [*(user if os.getuid() == 0 else []), str(bin_ / program), *arguments],
            check=True,
            cwd=self.folder,
            capture_output=True,
            env={"LC_ALL": "C"},
        )

    def create(self) -> None:
        if os.getuid() == 0:
            shutil.chown(self.folder, USER, USER)
        arguments = ["-D", f"{self.folder}/data", "-U", USER, "-E", "UTF8", "-N"]
        if self.password is None:
            arguments += ["-A", "trust"]
        else:
            file = self.folder / "password"
            file.write_text(self.password)
            file.chmod(0o644)
            arguments += ["-A", "scram-sha-256", "--pwfile", str(file)]
        self._run("initdb", *arguments)

    def start(self) -> None:
        listen = "127.0.0.1" if self.password is not None else ""
        options = f"-k {self.folder} -c listen_addresses='{listen}' -c port={self.port}"
        self._control("-o", f"{options} -c fsync=off", "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    @property
    def address(self) -> str:
        """The address of a server on a socket."""
        return f"postgresql:///postgres?host={self.folder}&user={USER}"

    def _control(self, *arguments: str) -> None:
        log = f"{self.folder}/log"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", log, *arguments)

    @property
    def settings(self) -> dict[str, str]:
        """The settings that have Dagster's records in it."""
        return {
            "ANALYTICS_DAGSTER_STORAGE": "postgres",
            "ANALYTICS_DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "ANALYTICS_DAGSTER_POSTGRES_PORT": str(self.port),
            "ANALYTICS_DAGSTER_POSTGRES_USER": USER,
            "ANALYTICS_DAGSTER_POSTGRES_PASSWORD": self.password or "",
            "ANALYTICS_DAGSTER_POSTGRES_DATABASE": "postgres",
        }

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a statement answers."""
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=USER, password=self.password, dbname="postgres"
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


@contextmanager
def server(password: str | None = None) -> Iterator[Server]:
    """A running server: on a socket, or with a password also on a port of the loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1] if password is not None else 5432
    started = Server(Path(mkdtemp(prefix="pg-", dir="/tmp")), port, password)
    try:
        started.create()
        started.start()
        try:
            yield started
        finally:
            started.stop()
    finally:
        shutil.rmtree(started.folder, ignore_errors=True)
