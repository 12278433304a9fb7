"""A small build that is published once, and clients of an API over it.

The build is made by SQL with every type, nulls, NaN, ties and hostile texts: the assets are not
needed to test how they are read. `test_pipeline.py` reads the API over a whole sample.
"""

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from analytics_assets.api.app import create_app
from analytics_assets.settings import Settings
from analytics_assets.warehouse.builds import Builds
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import publish

from ..conftest import made_once, make_settings
from .rows import fill

Client = Callable[..., TestClient]


def publish_rows(settings: Settings, customers: int = 300, seed: int = 7) -> Path:
    """Write a warehouse of a shop and publish it."""
    warehouse = Warehouse(settings.warehouse_path)
    with warehouse.transaction() as session:
        fill(session, customers, seed)
    return publish(warehouse, settings.published_dir, settings.published_builds).path


@pytest.fixture(scope="session")
def published(shared: Path) -> Settings:
    """A home with a build: only for reading."""

    def build(folder: Path) -> Settings:
        settings = make_settings(folder / "home")
        publish_rows(settings)
        return settings

    return made_once(shared / "api", build)


@pytest.fixture
def home(published: Settings, tmp_path: Path) -> Settings:
    """A copy of the build in a home of its own, with keys and logs of its own."""
    shutil.copytree(published.published_dir, tmp_path / "home" / "published")
    shutil.copy(published.warehouse_path, tmp_path / "home")
    return make_settings(tmp_path / "home")


@pytest.fixture
def client_of() -> Iterator[Client]:
    """Makes a client of an API over a home, without keys unless it is given headers."""
    with ExitStack() as stack:

        def client(settings: Settings, *, loopback: bool = True, **headers: str) -> TestClient:
            app = create_app(settings, loopback=loopback)
            return stack.enter_context(
                TestClient(
                    app,
                    "http://localhost",
                    headers=headers,
                    raise_server_exceptions=False,
                    client=("127.0.0.1", 50000),
                )
            )

        yield client


@pytest.fixture
def client(home: Settings, client_of: Client) -> TestClient:
    return client_of(home)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of an application that a server of this process serves."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def build_rows(published: Settings) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Answers SQL on the published file."""
    # As the API opens it: one process opens a file in one way.
    builds = Builds(published.published_dir, published.api_memory, published.threads)
    with builds.use() as build, build.session() as session:
        yield session.rows
    builds.close()
