"""Every service of the compose file runs, against a real PostgreSQL, behind a real nginx."""

import base64
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics_assets_tests.conftest import REPOSITORY
from analytics_assets_tests.deploy.compose import OURS, Machine, free_port, wait_for
from analytics_assets_tests.postgres import server

pytestmark = pytest.mark.slow

ODD = "p@ss/w:rd%#?&"
STARTS_WITHIN = 180.0  # with other tests on the machine
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on UnauthorizedError { message }
  }
}
"""
STATUS = "query Status($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """All services, healthy, in the order of their dependencies."""
    with server(password="root") as postgres:
        postgres.rows(f"CREATE ROLE dagster LOGIN PASSWORD '{ODD}'")
        postgres.rows("CREATE DATABASE dagster OWNER dagster")
        machine = Machine(tmp_path_factory.mktemp("compose"), postgres)
        trial, configuration = REPOSITORY / "deploy" / "trial", machine.folder / "configuration"
        shutil.copytree(trial, configuration, dirs_exist_ok=True)
        (machine.folder / "secrets" / "postgres_password").write_text(ODD + "\n")
        try:
            machine.start("prepare")
            assert machine.processes.pop("prepare").wait(STARTS_WITHIN) == 0, machine.log("prepare")
            machine.start("code")
            wait_for(lambda: machine.is_healthy("code"), STARTS_WITHIN, "code")
            others = [name for name in OURS if name not in ("prepare", "code")]
            for name in others:
                machine.start(name)
            for name in others:
                wait_for(lambda name=name: machine.is_healthy(name), STARTS_WITHIN, name)  # type: ignore[misc]
            yield machine
        finally:
            # As compose does: first what depends on others, such as on the code server.
            for name in reversed(list(machine.processes)):
                machine.stop(name)


@pytest.fixture(scope="module")
def proxy(machine: Machine) -> Iterator[dict[str, str]]:
    """nginx with the file that the compose file mounts; the addresses of its two servers."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert program, "nginx is not installed: apt-get install nginx-light"
    text = (REPOSITORY / "deploy" / "nginx" / "nginx.conf").read_text()
    ports = {"viewer": free_port(), "webserver": free_port()}
    folder = machine.folder / "nginx"
    folder.mkdir()
    folder.chmod(0o777)
    text = text.replace("/tmp/", f"{folder}/")
    for name, file in (("viewer", "viewers"), ("webserver", "operators")):
        listen = {"viewer": "8080", "webserver": "8081"}[name]
        text = text.replace(f"listen {listen};", f"listen 127.0.0.1:{ports[name]};")
        there = f"http://127.0.0.1:{machine.port(name, '3000')}"
        text = text.replace(f"http://{name}:3000", there)
        digest = subprocess.run(
            ["openssl", "passwd", "-apr1", ODD], capture_output=True, text=True, check=True
        ).stdout.strip()
        (folder / file).write_text(f"{file}:{digest}\n")
        (folder / file).chmod(0o644)
    text = text.replace("/run/secrets", str(folder))
    for path in (folder, *folder.parents):
        if path.stat().st_uid == 0 and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o755)
    (folder / "nginx.conf").write_text(text)
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-g", "daemon off;"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        wait_for(
            lambda: get(f"{addresses['viewer']}/server_info")[0] == 401,
            30,
            (folder / "log").read_text(),
        )
        yield addresses
    finally:
        process.terminate()
        process.wait(10)


def get(url: str, user: str = "", body: Any = None) -> tuple[int, str]:
    """Status and text of an answer; 0 where nobody answers."""
    headers = {"Content-Type": "application/json"}
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(f'{user}:{ODD}'.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def ask(url: str, user: str, query: str, **variables: Any) -> Any:
    status, text = get(f"{url}/graphql", user, {"query": query, "variables": variables})
    assert status == 200, text
    answer = json.loads(text)
    assert "errors" not in answer, answer
    return answer["data"]


def launch(url: str, user: str) -> Any:
    params = {
        "selector": {
            "repositoryLocationName": "analytics_assets",
            "repositoryName": "__repository__",
            "pipelineName": "load_days",
            "assetSelection": [{"path": ["raw_orders"]}],
            "assetCheckSelection": [],
        },
        "mode": "default",
        "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "2024-01-02"}]},
    }
    return ask(url, user, LAUNCH, params=params)["launchRun"]


def test_every_service_of_ours_has_a_health_check(machine: Machine) -> None:
    assert {"code", "daemon", "webserver", "viewer", "metrics"} == machine.processes.keys()
    for name in machine.processes:
        assert machine.is_healthy(name), machine.log(name)
    # Nothing fell back to files.
    assert not list((machine.home / "dagster").rglob("*.db"))


def test_a_run_is_launched_by_operators_and_by_nobody_else(
    machine: Machine, proxy: dict[str, str]
) -> None:
    for address in proxy.values():
        assert get(f"{address}/server_info")[0] == 401
    assert get(f"{proxy['webserver']}/server_info", "viewers")[0] == 401
    assert "dagster_webserver_version" in get(f"{proxy['viewer']}/server_info", "viewers")[1]

    refused = launch(proxy["viewer"], "viewers")
    assert refused["__typename"] == "UnauthorizedError", refused
    launched = launch(proxy["webserver"], "operators")
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]

    def status() -> str:
        answer: str = ask(proxy["viewer"], "viewers", STATUS, id=run_id)["runOrError"]["status"]
        return answer

    wait_for(lambda: status() in ("SUCCESS", "FAILURE"), STARTS_WITHIN, "run")
    assert status() == "SUCCESS", machine.log("code")[-3000:]
    samples = get(f"http://127.0.0.1:{machine.port('metrics', '9187')}/metrics")[1]
    assert re.search(r"^analytics_\w*runs\w*\{.*load_days.*\} [1-9]", samples, re.MULTILINE), (
        samples
    )

    # Everything that was printed is JSON, and nothing has the password.
    for name in OURS:
        for line in machine.log(name).splitlines():
            assert ODD not in line
            if line.startswith("{"):
                assert json.loads(line)
    lines = [json.loads(line) for line in machine.log("code").splitlines() if run_id in line]
    assert {line["level"] for line in lines if "time" in line} >= {"DEBUG"}
    assert (machine.home / "warehouse.duckdb").is_file()


def test_a_service_ends_in_its_time(machine: Machine) -> None:
    for name in ("viewer", "daemon"):
        assert machine.stop(name) < 30
        machine.start(name)
        wait_for(lambda name=name: machine.is_healthy(name), STARTS_WITHIN, name)  # type: ignore[misc]
