"""`mlflow models serve` answers for the registered champion, over HTTP on this machine."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.churn.model import score
from analytics_assets_tests.assets.conftest import Shop, buyers, small_settings

pytestmark = pytest.mark.slow
PATIENCE = 120.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(small_settings(tmp_path_factory.mktemp("serving") / "home"))
    shop.warehouse.prepare()
    shop.fill("churn_features", buyers(months=7))
    assert shop.make("churn_model").success
    return shop


@pytest.fixture(scope="module")
def port(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The server as docs/churn-and-value.md starts it; nothing but this machine is reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "serve.txt"
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve"]
    command += ["--model-uri", "models:/churn@champion", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(number), "--workers", "1"]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{shop.settings.mlflow_dir / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Whatever would be downloaded fails.
        "PIP_INDEX_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", number), timeout=5):
                break
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
        yield number
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def ask(port: int, body: dict[str, Any]) -> tuple[int, Any]:
    """Status and answer of a request, as docs/churn-and-value.md makes it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/invocations", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_the_answers_are_the_champions_scores(shop: Shop, port: int) -> None:
    found = shop.registry.load_good()
    assert found is not None
    model = found[0]
    rows = buyers(months=1, seed=9).head(20)
    frame = rows.assign(**{name: 1.0 for name in model.inputs if name not in rows})
    frame = frame[list(model.inputs)].astype(float)
    frame.loc[0, "tenure_days"] = float("nan")
    status, answer = ask(port, {"dataframe_split": json.loads(frame.to_json(orient="split"))})
    assert status == 200
    assert len(answer["predictions"]) == 20
    expected = score(model, frame)
    for given, probability in zip(answer["predictions"], expected, strict=True):
        assert given["churn_probability"] == pytest.approx(probability, abs=1e-12)
        assert given["risk_band"] in ("Low", "Medium", "High")


def test_whole_numbers_are_numbers(shop: Shop, port: int) -> None:
    found = shop.registry.load_good()
    assert found is not None
    record = dict.fromkeys(found[0].inputs, 3)
    status, answer = ask(port, {"dataframe_records": [record]})
    assert status == 200
    (given,) = answer["predictions"]
    assert 0 < given["churn_probability"] < 1


def test_a_missing_feature_is_named(port: int) -> None:
    status, answer = ask(port, {"dataframe_records": [{"sale_orders": 3}]})
    assert status == 400
    assert "days_since_last_order" in answer["message"]
