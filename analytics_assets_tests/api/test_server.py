"""The command serves a build while others are published, and nobody sees a mixture of two."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from analytics_assets.api.keys import Keys
from analytics_assets.api.service import api_folder
from analytics_assets.settings import Settings
from analytics_assets.warehouse.connection import Warehouse
from analytics_assets.warehouse.publish import publish

from ..conftest import REPOSITORY

READERS, READS = 20, 10_000


@contextmanager
def running(settings: Settings, *words: str) -> Iterator[str]:
    """The address of `analytics-assets api` over a home, in a process of its own."""
    environment = {
        **os.environ,
        "ANALYTICS_HOME": str(settings.home),
        "PYTHONPATH": str(REPOSITORY),
        "ANALYTICS_API_RATE": "0",
    }
    command = [sys.executable, "-m", "analytics_assets.cli", "api", "--port", "0", *words]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("http"), process.communicate()[1]
        yield line.strip().removesuffix("/openapi.json")
    finally:
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=30)[1]
    assert process.returncode in (0, -signal.SIGTERM), errors
    assert "Traceback" not in errors, errors


@pytest.mark.slow
def test_a_publish_every_second_under_many_readers_mixes_nothing(home: Settings) -> None:
    warehouse = Warehouse(home.warehouse_path)

    def publish_stamped(number: int) -> str:
        """Publish a build, all rows of which have its number."""
        with warehouse.transaction() as session:
            for relation, column in (
                ("marts.user_analytics", "rfm"),
                ("churn.churn_predictions", "model_version"),
                ("marts.customer_sales", "orders"),
            ):
                session.execute(f"UPDATE {relation} SET {column} = ?", [number])
        return publish(warehouse, home.published_dir, 3).path.parent.name

    stamps = {publish_stamped(0): "0"}
    over = threading.Event()
    failures: list[str] = []

    def publishing() -> None:
        number = 0
        while not over.wait(1):
            number += 1
            stamps[publish_stamped(number)] = str(number)

    def one_stamp(build: str, found: set[str]) -> None:
        # The number is known to this process once publish returns, shortly after the API sees it.
        for _ in range(500):
            if build in stamps:
                break
            time.sleep(0.01)
        if found != {stamps[build]}:
            failures.append(f"{build} ({stamps[build]}): {found}")

    def read(client: httpx.Client, chance: random.Random) -> int:
        """One question, or one scroll through a table; the number of requests."""
        kind = chance.randrange(4)
        if kind == 0:
            body = client.get(f"/v1/customers/C{chance.randrange(300):06d}").json()
            found = {body["snapshot"]["rfm"], body["prediction"]["model_version"]}
            one_stamp(body["build"], found | {str(month["orders"]) for month in body["months"]})
            return 1
        if kind == 1:
            url = f"/v1/tables/user_analytics?customer_id=C{chance.randrange(300):06d}"
            body = client.get(url).json()
            one_stamp(body["build"], {row["rfm"] for row in body["rows"]})
            return 1
        if kind == 2:
            answer = client.get("/v1/tables/customer_sales?columns=orders&limit=1200")
            one_stamp(answer.headers["x-build"], {str(r["orders"]) for r in answer.json()["rows"]})
            return 1
        url, seen, build, requests = (
            "/v1/tables/user_analytics?columns=rfm,customer_id&limit=60",
            [],
            "",
            0,
        )
        while True:
            answer = client.get(url)
            requests += 1
            if answer.status_code == 410 and build:
                return requests  # its build is gone: it says so
            assert answer.status_code == 200, answer.text
            if build not in ("", answer.headers["x-build"]):
                failures.append(f"a scroll went from {build} to {answer.headers['x-build']}")
            build = answer.headers["x-build"]
            seen += answer.json()["rows"]
            if "next" not in answer.links:
                break
            url = answer.links["next"]["url"]
        one_stamp(build, {row["rfm"] for row in seen})
        if [row["customer_id"] for row in seen] != [f"C{n:06d}" for n in range(300)]:
            failures.append(f"a scroll of {build} missed rows")
        return requests

    def reader(seed: int, address: str) -> int:
        chance, done = random.Random(seed), 0
        with httpx.Client(base_url=address, timeout=60) as client:
            while done < READS // READERS:
                done += read(client, chance)
        return done

    with running(home) as address:
        publisher = threading.Thread(target=publishing)
        publisher.start()
        try:
            with ThreadPoolExecutor(READERS) as pool:
                jobs = [pool.submit(reader, seed, address) for seed in range(READERS)]
                reads = sum(job.result() for job in jobs)
        finally:
            over.set()
            publisher.join()
        metrics = httpx.get(f"{address}/metrics").text
    assert failures == []
    assert reads >= READS
    assert len(stamps) > 5
    # Builds that have been replaced are closed.
    (opened,) = [
        line for line in metrics.splitlines() if line.startswith("analytics_api_open_builds ")
    ]
    assert float(opened.split()[1]) <= 3


@pytest.mark.slow
def test_the_command_listens_elsewhere_once_there_is_a_key(home: Settings) -> None:
    token = Keys(api_folder(home)).create("a", ["read:*"])
    with running(home, "--host", "0.0.0.0") as address:
        url = address.replace("0.0.0.0", "127.0.0.1") + "/v1/tables"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.mark.slow
def test_a_port_that_is_taken_is_said(home: Settings) -> None:
    environment: dict[str, Any] = {
        **os.environ,
        "ANALYTICS_HOME": str(home.home),
        "PYTHONPATH": str(REPOSITORY),
    }
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "analytics_assets.cli",
                "api",
                "--port",
                str(taken.getsockname()[1]),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    assert "Name another with --port" in result.stderr
