"""Alerts go out once, and again only where nobody can have got them."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analytics_assets.automation.notifications import Message, Problem
from analytics_assets.automation.stream import ALERTS_SHOWN, AlertSender
from analytics_assets.streaming.anomalies import AlertsToSend


class Recorder:
    """A channel that answers what the test says."""

    def __init__(self, name: str = "recorder", answer: Problem | None = None) -> None:
        self.name = name
        self.answer = answer
        self.messages: list[Message] = []

    def send(self, message: Message, timeout: float) -> Problem | None:
        self.messages.append(message)
        return self.answer


REFUSED = Problem("it answered 500", may_have_arrived=False)


def batch(*ids: str) -> Any:
    rows = [
        SimpleNamespace(
            event_id=name,
            customer_id="C1",
            order_total=Decimal("1500"),
            score=70,
            reasons="a large order; late at night",
        )
        for name in ids
    ]
    return SimpleNamespace(collect=lambda: rows)


def sender(folder: Path, *to: Recorder) -> AlertSender:
    return AlertSender(to, AlertsToSend(folder / "alerts.sqlite"))


def titles(channel: Recorder) -> list[str]:
    return [message.title for message in channel.messages]


def test_an_event_that_comes_again_sends_nothing(tmp_path: Path) -> None:
    channel = Recorder()
    sender(tmp_path, channel)(batch("e1", "e2"))
    sender(tmp_path, channel)(batch("e1", "e2"))  # as after a restart
    assert titles(channel) == ["2 purchases to look at"]
    (message,) = channel.messages
    assert message.lines[0] == "C1, 1,500.00, score 70: a large order; late at night"


def test_what_was_refused_goes_out_with_the_next(tmp_path: Path) -> None:
    channel = Recorder(answer=REFUSED)
    send = sender(tmp_path, channel)
    send(batch("e1"))
    channel.answer = None
    send(batch("e2"))
    send(batch("e2"))
    assert titles(channel) == ["1 purchase to look at", "2 purchases to look at"]


@pytest.mark.parametrize(
    "answers",
    [[Problem("no answer", may_have_arrived=True)], [REFUSED, None]],
    ids=["it may have arrived", "one of two took it"],
)
def test_what_may_have_arrived_is_not_sent_again(
    tmp_path: Path, answers: Sequence[Problem | None]
) -> None:
    channels = [Recorder(f"channel {n}", answer) for n, answer in enumerate(answers)]
    send = sender(tmp_path, *channels)
    send(batch("e1"))
    send(batch("e2"))
    for channel in channels:
        assert titles(channel) == ["1 purchase to look at"] * 2


def test_a_long_message_says_how_many_more_there_are(tmp_path: Path) -> None:
    channel = Recorder()
    sender(tmp_path, channel)(batch(*(f"e{n}" for n in range(ALERTS_SHOWN + 3))))
    (message,) = channel.messages
    assert len(message.lines) == ALERTS_SHOWN + 1
    assert message.lines[-1] == "and 3 more, in the table alerts of the lake"
