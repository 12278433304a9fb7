"""Notifications: a message to Slack, by e-mail, or to a webhook.

Belongs here: how a message reaches each channel, and how long that may take. Does not belong here:
what is said, and when (`alerts`).

Sending never raises, and is over within a time limit, whatever a server or a name server does. What
went wrong is returned in words that have no address, password or answer of a server in them.
"""

import http.client
import importlib.util
import json
import smtplib
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Protocol

from analytics_assets.settings import Settings, SettingsError

TIMEOUT_SECONDS = 10.0  # of a message, in all its channels at once
SLACK_API = "https://slack.com/api/"


@dataclass(frozen=True)
class Message:
    """What is sent: a line that says it all, and further lines."""

    title: str
    lines: tuple[str, ...] = ()
    identity: str = ""  # the same in each attempt to send it

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join([self.title, *self.lines])


@dataclass(frozen=True)
class Problem:
    """Why a message was not sent; whether it can have arrived in spite of it."""

    text: str
    may_have_arrived: bool = True


class Channel(Protocol):
    """A way to send messages."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def send(self, message: Message, timeout: float) -> Problem | None:
        """Send it; None if it was accepted."""
        ...


@dataclass(frozen=True)
class Webhook:
    """An address that takes `{"text": ...}` as JSON, as Slack and many others do."""

    url: str = field(repr=False)
    name: str = "webhook"

    def send(self, message: Message, timeout: float) -> Problem | None:
        """Post the text."""
        request = urllib.request.Request(  # noqa: S310  (the settings allow http and https only)
            self.url,
            data=json.dumps({"text": message.text}).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout):  # noqa: S310
                return None
        except urllib.error.HTTPError as error:
            return Problem(f"the webhook answered {error.code}", may_have_arrived=False)
        except (OSError, http.client.HTTPException) as error:
            return _unreachable("the webhook", error)


@dataclass(frozen=True)
class Slack:
    """A channel of Slack, by the token of an app that may post there."""

    token: str = field(repr=False)
    channel: str
    api: str = SLACK_API
    name: str = "Slack"

    def send(self, message: Message, timeout: float) -> Problem | None:
        """Call chat.postMessage."""
        from slack_sdk import WebClient
        from slack_sdk.errors import SlackApiError, SlackClientError

        # Without handlers nothing is sent twice behind our back.
        client = WebClient(
            self.token, base_url=self.api, timeout=max(int(timeout), 1), retry_handlers=[]
        )
        text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        try:
            client.chat_postMessage(channel=self.channel, text=text, unfurl_links=False)
        except SlackApiError as error:
            answer: Any = error.response
            status = getattr(answer, "status_code", None) or answer.get("status")
            code = answer.get("error") if status == 200 else status
            return Problem(f"Slack answered {code}", may_have_arrived=False)
        except (OSError, http.client.HTTPException, SlackClientError, ValueError) as error:
            return _unreachable("Slack", error)
        return None


@dataclass(frozen=True)
class Mail:
    """E-mail through a server; the host may have a port."""

    host: str
    sender: str
    recipients: tuple[str, ...]
    security: str = "starttls"  # or tls, from the first byte; or none
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    name: str = "e-mail"

    def send(self, message: Message, timeout: float) -> Problem | None:
        """Deliver it to the server."""
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.title.split())
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = formatdate()
        if message.identity:
            # By the same one a mailbox knows a message that it has.
            domain = self.sender.rpartition("@")[2].strip("<> ") or "localhost"
            mail["Message-ID"] = f"<{message.identity}@{domain}>"
        mail.set_content(message.text)
        try:
            with self._connect(timeout) as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, self.password or "")
                server.send_message(mail)
        except smtplib.SMTPResponseException as error:
            return Problem(f"the mail server answered {error.smtp_code}", may_have_arrived=False)
        except smtplib.SMTPRecipientsRefused:
            return Problem("the mail server refused the recipients", may_have_arrived=False)
        except smtplib.SMTPNotSupportedError:
            return Problem(
                "the mail server does not offer what ANALYTICS_SMTP_SECURITY or "
                "ANALYTICS_SMTP_USER asks for",
                may_have_arrived=False,
            )
        except OSError as error:  # smtplib's errors, too
            return _unreachable("the mail server", error)
        return None

    def _connect(self, timeout: float) -> smtplib.SMTP:
        host, _, port = self.host.partition(":")
        if self.security == "tls":
            # By itself smtplib accepts any certificate.
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, int(port or 0), timeout=timeout, context=context)
        return smtplib.SMTP(host, int(port or 0), timeout=timeout)


def channels(settings: Settings) -> list[Channel]:
    """The channels of the settings; none where none is set.

    Raises:
        SettingsError: Slack is set, and its library is not installed.
    """
    found: list[Channel] = []
    if settings.webhook_url:
        found.append(Webhook(settings.webhook_url))
    if settings.slack_token and settings.slack_channel:
        if importlib.util.find_spec("slack_sdk") is None:
            raise SettingsError(
                "ANALYTICS_SLACK_TOKEN is set, and slack_sdk is not installed: install the extra "
                "slack (pip install 'analytics_assets[slack]')."
            )
        found.append(Slack(settings.slack_token, settings.slack_channel, SLACK_API))
    if settings.smtp_host and settings.email_from and settings.email_to:
        found.append(
            Mail(
                settings.smtp_host,
                settings.email_from,
                settings.email_to,
                settings.smtp_security,
                settings.smtp_user,
                settings.smtp_password,
            )
        )
    return found


def send(
    message: Message, to: Sequence[Channel], timeout: float = TIMEOUT_SECONDS
) -> Mapping[str, Problem | None]:
    """Send a message to all channels at once.

    Each has a thread that is left behind when the time is over: a time limit of a socket does not
    count the name server, nor a server that sends a byte now and then.

    Returns:
        What went wrong, by channel; None where it was accepted.
    """
    results: dict[str, Problem | None] = {}
    threads = []
    for channel in to:
        results[channel.name] = Problem(f"no answer within {timeout:g} seconds")
        work = _sender(channel, message, timeout, results)
        threads.append(threading.Thread(target=work, daemon=True, name=f"to {channel.name}"))
        threads[-1].start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    return dict(results)


def _sender(
    channel: Channel, message: Message, timeout: float, results: dict[str, Problem | None]
) -> Callable[[], None]:
    def work() -> None:
        try:
            results[channel.name] = channel.send(message, timeout)
        except Exception as error:
            # Its text may quote the address.
            results[channel.name] = Problem(
                f"{channel.name} cannot be used as it is set ({type(error).__name__})",
                may_have_arrived=False,
            )

    return work


def _unreachable(what: str, error: Exception) -> Problem:
    """Words for an error of the connection; never its text, which may quote an address."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    before = ConnectionRefusedError | socket.gaierror | ssl.SSLCertVerificationError
    refused = isinstance(cause, before)
    if isinstance(cause, TimeoutError):
        reason = "timed out"
    elif isinstance(cause, ssl.SSLCertVerificationError):
        reason = "its certificate is not valid"
    elif isinstance(cause, OSError) and cause.strerror:
        reason = cause.strerror
    else:
        reason = type(cause).__name__
    return Problem(f"{what} could not be reached: {reason}", may_have_arrived=not refused)
