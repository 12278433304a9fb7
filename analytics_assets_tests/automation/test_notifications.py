"""Messages: to servers that answer well, slowly, wrongly, and not at all."""

import email
import importlib.util
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.automation.notifications import (
    Channel,
    Mail,
    Message,
    Problem,
    Slack,
    Webhook,
    channels,
    send,
)
from analytics_assets.settings import SettingsError

from ..conftest import make_settings
from .servers import (
    accept,
    answer_json,
    break_down,
    hang_up,
    http_server,
    smtp_server,
    talk_nonsense,
)

MESSAGE = Message("load_days failed", ("Since 02:00 <UTC>.", "Run: http://ui/runs/1"), "open.1")
TO = ("a@example.com", "b@example.com")


def webhook(url: str) -> Webhook:
    return Webhook(url)


def slack(url: str) -> Slack:
    return Slack("xoxb-canary", "#data", api=f"{url.rpartition('/')[0]}/api/")


def mail(host: str, **options: Any) -> Mail:
    return Mail(host, "Shop <shop@example.com>", TO, **{"security": "none", **options})


def sent(channel: Channel, timeout: float = 5) -> Problem | None:
    (result,) = send(MESSAGE, [channel], timeout).values()
    return result


def test_a_webhook_gets_the_text() -> None:
    with http_server(accept) as (url, received):
        assert sent(webhook(url)) is None
    assert received == [{"text": MESSAGE.text}]


def test_slack_gets_the_text_for_its_channel() -> None:
    tokens = []

    def answer(handler: Any) -> None:
        tokens.append((handler.path, handler.headers["Authorization"]))
        accept(handler)

    with http_server(answer) as (url, received):
        assert sent(slack(url)) is None
    (body,) = received
    assert body["channel"] == "#data"
    assert body["text"] == MESSAGE.text.replace("<", "&lt;").replace(">", "&gt;")
    assert tokens == [("/api/chat.postMessage", "Bearer xoxb-canary")]


def test_an_e_mail_arrives() -> None:
    with smtp_server() as (host, received):
        assert sent(mail(host, user="shop", password="canary")) is None
    (text,) = received
    message = email.message_from_string(text, policy=default)
    assert message["Subject"] == "load_days failed"
    assert message["From"] == "Shop <shop@example.com>"
    assert message["To"] == "a@example.com, b@example.com"
    assert message["Message-ID"] == "<open.1@example.com>"
    assert message.get_content().splitlines() == MESSAGE.text.splitlines()


@pytest.mark.parametrize("make", [webhook, slack])
@pytest.mark.parametrize(
    ("answer", "words", "may_have_arrived"),
    [
        (break_down, "answered 500", False),
        (partial(answer_json, value={"ok": False}, status=429), "answered 429", False),
        (hang_up, "could not be reached", True),
        (talk_nonsense, "could not be reached", True),
    ],
)
def test_a_broken_server_is_words_and_no_error(
    make: Callable[[str], Channel], answer: Any, words: str, may_have_arrived: bool
) -> None:
    with http_server(answer) as (url, received):
        problem = sent(make(url))
        assert problem is not None
        assert words in problem.text
        assert problem.may_have_arrived == may_have_arrived
        assert len(received) == 1


def test_what_slack_refuses_is_named() -> None:
    refuse = partial(answer_json, value={"ok": False, "error": "channel_not_found"})
    with http_server(refuse) as (url, _):
        assert sent(slack(url)) == Problem("Slack answered channel_not_found", False)


@pytest.mark.parametrize(
    ("answers", "options", "words"),
    [
        ({"": "554 no service"}, {}, "the mail server answered 554"),
        ({"AUTH": "535 who"}, {"user": "shop", "password": "canary"}, "answered 535"),
        ({"EHLO": "250 here"}, {"user": "shop", "password": "canary"}, "ANALYTICS_SMTP_USER"),
        ({}, {"security": "starttls"}, "ANALYTICS_SMTP_SECURITY"),
        ({"RCPT": "550 unknown"}, {}, "refused the recipients"),
        ({".": "552 too large"}, {}, "answered 552"),
    ],
)
def test_what_a_mail_server_refuses_is_said(
    answers: dict[str, str], options: dict[str, str], words: str
) -> None:
    with smtp_server(answers) as (host, received):
        problem = sent(mail(host, **options))
    assert problem is not None
    assert words in problem.text
    assert not problem.may_have_arrived
    assert not received


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 by itself, with its key."""
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(file), "-out", str(file.with_suffix(".crt"))),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_password_goes_only_to_a_server_with_a_valid_certificate(
    security: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliver() -> tuple[Problem | None, list[str]]:
        at_once = security == "tls"
        with smtp_server(certificate=certificate, tls_at_once=at_once) as (host, received):
            channel = mail(host, user="shop", password="canary", security=security)
            return sent(channel), received

    untrusted = Problem("the mail server could not be reached: its certificate is not valid", False)
    assert deliver() == (untrusted, [])
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    problem, received = deliver()
    assert problem is None
    assert len(received) == 1


@contextmanager
def that_hangs(make: Callable[[str], Channel]) -> Iterator[Channel]:
    release = threading.Event()
    if make is mail:
        with smtp_server(wait=release) as (place, _):
            yield make(place)
            release.set()
    else:
        with http_server(lambda _: release.wait(20) and None) as (place, _):
            yield make(place)
            release.set()


def drip(handler: Any) -> None:
    """A byte now and then, so that no read of the socket takes long."""
    for _ in range(40):
        try:
            handler.wfile.write(b"H")
        except OSError:
            return
        time.sleep(0.1)


@pytest.mark.parametrize("make", [webhook, slack, mail])
def test_a_server_that_hangs_costs_the_time_limit_and_no_more(
    make: Callable[[str], Channel],
) -> None:
    with that_hangs(make) as channel:
        began = time.monotonic()
        problem = sent(channel, timeout=0.5)
        assert time.monotonic() - began < 1.5
    assert problem is not None
    assert problem.may_have_arrived


@pytest.mark.parametrize("make", [webhook, slack])
def test_a_server_that_answers_a_byte_at_a_time_costs_the_time_limit(
    make: Callable[[str], Channel],
) -> None:
    with http_server(drip) as (url, _):
        began = time.monotonic()
        assert sent(make(url), timeout=1) == Problem("no answer within 1 seconds")
        assert time.monotonic() - began < 2


def test_all_channels_together_cost_the_time_limit_once() -> None:
    with that_hangs(webhook) as one, that_hangs(mail) as other, http_server(accept) as (url, _):
        began = time.monotonic()
        results = send(MESSAGE, [one, other, slack(url)], 1)
        assert time.monotonic() - began < 2
    assert [name for name, problem in results.items() if problem] == ["webhook", "e-mail"]


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "no.such.host.invalid:{port}"])
@pytest.mark.parametrize("make", [webhook, slack, mail])
def test_a_server_that_is_away_is_words_and_no_error(
    make: Callable[[str], Channel], host: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = host.format(port=free.getsockname()[1])
    problem = sent(make(place if make is mail else f"http://{place}/hook"))
    assert problem is not None
    assert "could not be reached" in problem.text or "no answer" in problem.text
    assert "127.0.0.1" not in problem.text


SECRETS = {
    "ANALYTICS_WEBHOOK_URL": "http://canary:canary@127.0.0.1:1canary/canary",
    "ANALYTICS_SLACK_TOKEN": "xoxb-canary",
    "ANALYTICS_SLACK_CHANNEL": "#data",
    "ANALYTICS_SMTP_HOST": "127.0.0.1:1",
    "ANALYTICS_SMTP_USER": "shop",
    "ANALYTICS_SMTP_PASSWORD": "canary",
    "ANALYTICS_EMAIL_FROM": "shop@example.com",
    "ANALYTICS_EMAIL_TO": "a@example.com, b@example.com",
}


def test_no_problem_has_a_secret_in_it(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    to = channels(make_settings(tmp_path, **SECRETS))
    assert [channel.name for channel in to] == ["webhook", "Slack", "e-mail"]
    assert isinstance(to[2], Mail)
    assert to[2].recipients == TO
    to[1] = replace(to[1], api="http://127.0.0.1:1/")  # type: ignore[type-var]
    results = send(MESSAGE, to, 5)
    assert all(results.values())
    assert "canary" not in f"{results}{to}{caplog.text}"


def test_without_a_setting_there_is_no_channel(tmp_path: Any) -> None:
    assert channels(make_settings(tmp_path)) == []


def test_without_the_extra_the_error_names_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"install the extra slack"):
        channels(make_settings(tmp_path, **SECRETS))
