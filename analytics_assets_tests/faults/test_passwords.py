"""No password gets into anything that a run writes, whichever connection fails, and however."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from analytics_assets.addresses import address_problem, has_password, without_password
from analytics_assets_tests.conftest import REPOSITORY
from analytics_assets_tests.postgres import Server, server

# Each of its parts is searched for: a driver that reads it wrongly prints some of them.
ODD = "hunter1p@ss/hunter2w:rd%hunter3#?hunter4&"
CANARY = b"hunter"
ENCODED = quote(ODD, safe="")
FORMS = {"encoded": ENCODED, "not encoded": ODD}
COMMANDS = {
    "command line": (
        "analytics_assets.cli",
        "backfill",
        "--from",
        "2024-01-01",
        "--to",
        "2024-01-02",
    ),
    # A run of its own process, with compute logs, as the daemon starts them.
    "run of Dagster": ("dagster", "asset", "materialize", "-m", "analytics_assets.definitions"),
}
SOURCES = {
    "postgres": {"connection_env": "SHOP_URL", "format": "postgres", "table": "shop.rows"},
    "mysql": {"connection_env": "SHOP_URL", "format": "mysql", "table": "shop.rows"},
    "s3": {"path": "s3://lake/rows.parquet"},
}


def require_unsaid(home: Path, *said: str) -> None:
    """The password is in no file under the home, and in nothing that was said."""
    for text in said:
        assert CANARY.decode() not in text, text
    files = [file for file in home.rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in files)
    for file in files:
        assert CANARY not in file.read_bytes(), file


def run(home: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "ANALYTICS_HOME": str(home),
            "DAGSTER_HOME": str(home / "dagster"),
            **environment,
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def closed() -> int:
    """A port that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    """A server that has another password."""
    with server(password="another") as started:
        yield started


def configured(folder: Path, source: dict[str, str]) -> dict[str, str]:
    """A configuration in which orders are files, and customers what is to fail."""
    days = [f"O{day},1,2024-01-0{day} 10:00:00,C1,P1,1,2.5" for day in (1, 2)]
    header = "order_id,line_number,ordered_at,customer_id,product_id,quantity,unit_price"
    (folder / "orders.csv").write_text("\n".join([header, *days]))
    file = folder / "sources.yaml"
    calendar = {"start": date(2024, 1, 1), "end": date(2024, 1, 3)}
    orders = {"path": "orders.csv"}
    file.write_text(yaml.safe_dump({"calendar": calendar, "orders": orders, "customers": source}))
    return {"ANALYTICS_SOURCES": str(file)}


def messages(closed: int) -> dict[str, str]:
    """Settings of every channel, to servers that are away."""
    return {
        "ANALYTICS_WEBHOOK_URL": f"http://me:{ENCODED}@127.0.0.1:{closed}/{ENCODED}",
        "ANALYTICS_SLACK_TOKEN": ODD,
        "ANALYTICS_SLACK_CHANNEL": "#data",
        "ANALYTICS_SMTP_HOST": f"127.0.0.1:{closed}",
        "ANALYTICS_SMTP_USER": "me",
        "ANALYTICS_SMTP_PASSWORD": ODD,
        "ANALYTICS_EMAIL_FROM": "a@example.com",
        "ANALYTICS_EMAIL_TO": "b@example.com",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "driver", "form", "why"),
    [
        ("command line", "postgres", "encoded", "away"),
        ("command line", "postgres", "not encoded", "away"),
        ("command line", "mysql", "encoded", "away"),
        ("command line", "mysql", "not encoded", "away"),
        ("command line", "s3", "not encoded", "away"),
        ("run of Dagster", "postgres", "encoded", "refused"),
        ("run of Dagster", "postgres", "not encoded", "away"),
        ("run of Dagster", "mysql", "encoded", "away"),
    ],
)
def test_a_source_that_cannot_be_reached(
    tmp_path: Path,
    closed: int,
    postgres: Server,
    command: str,
    driver: str,
    form: str,
    why: str,
) -> None:
    home = tmp_path / "home"
    port = postgres.port if why == "refused" else closed
    scheme = "postgresql" if driver == "postgres" else driver
    environment = {
        **configured(tmp_path, SOURCES[driver]),
        "SHOP_URL": f"{scheme}://reader:{FORMS[form]}@127.0.0.1:{port}/shop",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{closed}",
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": ODD,
        **(messages(closed) if command == "command line" else {}),
    }
    prepared = run(home, "analytics_assets.cli", "prepare", **environment)
    assert prepared.returncode == 0, prepared.stderr
    arguments = COMMANDS[command]
    if command != "command line":
        arguments = (*arguments, "--select", "raw_customers")
    done = run(home, *arguments, **environment)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    if form == "not encoded" and driver != "s3":
        assert f"the address in SHOP_URL is no readable address ({scheme}://...)" in said
        assert "write them URL-encoded: @ is %40" in said
    else:
        assert "reached" in said or "cannot be read" in said
    if command == "command line":
        for channel in ("webhook", "Slack", "e-mail"):
            assert f"Not reported: {channel}" in said or f"{channel}:" in said, said
    require_unsaid(home, said, prepared.stdout, prepared.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sftp://me:{}@host/rows.csv", "s3://me:{}@lake/{{date}}.csv"])
@pytest.mark.parametrize("form", FORMS)
def test_a_password_in_a_path_is_refused(tmp_path: Path, place: str, form: str) -> None:
    environment = configured(tmp_path, {"path": place.format(FORMS[form])})
    done = run(tmp_path / "home", "analytics_assets.cli", "run", **environment)
    assert done.returncode == 1
    assert "customers.path: credentials do not belong here" in done.stderr
    assert CANARY.decode() not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_model_registry_that_is_away(tmp_path: Path, closed: int, form: str) -> None:
    home = tmp_path / "home"
    uri = f"http://me:{FORMS[form]}@127.0.0.1:{closed}"
    prepared = run(home, "analytics_assets.cli", "prepare")
    assert prepared.returncode == 0, prepared.stderr
    listed = run(home, "analytics_assets.cli", "model", "list", ANALYTICS_MLFLOW_URI=uri)
    assert listed.returncode == 1
    if form == "encoded":
        assert f"The model registry at 127.0.0.1:{closed} does not answer" in listed.stderr
    else:
        assert "ANALYTICS_MLFLOW_URI is no readable address (http://...)" in listed.stderr
    assert CANARY.decode() not in listed.stdout + listed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("why", ["away", "refused"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("analytics_assets.cli", "run"),
        ("dagster", "run", "list"),
        ("dagster._daemon", "run"),
        ("dagster_webserver", "-p", "0", "-m", "analytics_assets.definitions"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_records_of_dagster_that_are_away(
    tmp_path: Path, postgres: Server, closed: int, arguments: tuple[str, ...], why: str
) -> None:
    home = tmp_path / "home"
    environment = {
        **postgres.settings,
        "ANALYTICS_DAGSTER_POSTGRES_PASSWORD": ODD,
        **({"ANALYTICS_DAGSTER_POSTGRES_PORT": str(closed)} if why == "away" else {}),
    }
    assert run(home, "analytics_assets.cli", "prepare", **postgres.settings).returncode == 0
    done = run(home, *arguments, **environment)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert ("password authentication failed" if why == "refused" else "refused") in said
    if arguments[0] == "analytics_assets.cli":
        assert "Dagster's database postgres at 127.0.0.1" in said
        assert "Traceback" not in said
    assert CANARY.decode() not in said
    for file in home.rglob("*"):
        assert not file.is_file() or CANARY not in file.read_bytes(), file


@pytest.mark.slow
def test_the_storage_takes_any_password(tmp_path: Path) -> None:
    home = tmp_path / "home"
    file = tmp_path / "password"
    file.write_text(ODD + "\n")
    with server(password=ODD) as started:
        environment = dict(started.settings)
        del environment["ANALYTICS_DAGSTER_POSTGRES_PASSWORD"]
        environment["ANALYTICS_DAGSTER_POSTGRES_PASSWORD_FILE"] = str(file)
        assert run(home, "analytics_assets.cli", "prepare", **environment).returncode == 0
        listed = run(home, "dagster", "run", "list", **environment)
        assert listed.returncode == 0, listed.stderr
        assert started.rows("SELECT count(*) FROM runs") == [(0,)]
    assert ODD.encode() not in (home / "dagster" / "dagster.yaml").read_bytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://reader:{}@db:5432/shop?sslmode=require",
        "postgresql://reader:{}@[::1]:5432/shop",
        "mysql://reader:{}@db/shop",
        "https://me:{}@mlflow.example.com",
    ],
)
def test_an_address_is_read_as_it_was_meant_or_refused(address: str, form: str) -> None:
    text = address.format(FORMS[form])
    assert has_password(text)
    problem = address_problem(text)
    if form == "encoded":
        assert problem is None
    else:
        assert problem
        assert CANARY.decode() not in problem
        assert "URL-encoded" in problem


@pytest.mark.parametrize("character", [*"@/:#?%[] "])
def test_each_character_that_cuts_an_address_is_seen(character: str) -> None:
    address = "mysql://me:hunter{}x@db:3306/shop"
    assert address_problem(address.format(character))
    assert address_problem(address.format(quote(character, safe=""))) is None


@pytest.mark.parametrize(
    "address",
    ["postgresql:///shop?host=/tmp/a&user=me", "mysql://root@localhost/?unix_socket=/tmp/s",
     "host=db user=me", "postgresql://me@db", "s3://lake/a:b.csv"],
)  # fmt: skip
def test_an_address_without_a_password_is_left_alone(address: str) -> None:
    assert address_problem(address) is None
    assert not has_password(address)
    assert without_password("no news", address) == "no news"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "address",
    ["postgresql://me:{}@db/shop", "postgresql://db/shop?user=me&password={}",
     "host=db password='{}' user=me"],
)  # fmt: skip
@pytest.mark.parametrize("said", ["at {}", "{!r}", "password is {}"])
def test_a_password_is_taken_out_of_a_text(address: str, form: str, said: str) -> None:
    text: Any = FORMS[form]
    if "?" in address and form == "not encoded":
        text = text.replace("&", "")  # it would end there
    whole = address.format(text)
    for quoted in (whole, text, ENCODED if "&" in text or form == "encoded" else text):
        assert CANARY.decode() not in without_password(said.format(quoted), whole)
