"""Incidents: one message when it opens and one when it is over, whatever happens in between."""

from collections.abc import Sequence
from typing import Any

import pytest
from dagster import DagsterInstance

from analytics_assets.automation.alerts import incidents
from analytics_assets.automation.alerts.incidents import (
    ATTEMPTS,
    BusyError,
    Found,
    State,
    Store,
    advance,
    deliver,
)
from analytics_assets.automation.alerts.measures import Finding
from analytics_assets.automation.alerts.rules import AlertRule
from analytics_assets.automation.notifications import Channel, Message, Problem, Webhook
from analytics_assets.settings import Settings

AT_ONCE = AlertRule("run_failed", "any", 1, "Run it again.")
OTHER = AlertRule("failures_in_a_row", "any", 3, "Stop it.")
PATIENT = AlertRule("disk", "any", 0.8, "Make room.", minutes=10)
BAD = Finding("load_days", "load_days failed", 0.0, "12 rows", "abc")
DISK = Finding("disk", "the disk is 81% full")


def titles(state: State, *ticks: tuple[float, AlertRule, Sequence[Finding] | None]) -> list[Any]:
    for minute, rule, findings in ticks:
        found = [Found(rule, None if findings is None else list(findings))]
        advance(state, found, minute * 60, lambda run_id: f"http://ui/runs/{run_id}", "production")
    return [letter.title for letter in state.letters]


OPENED, OVER = "[production] load_days failed", "[production] Over: load_days failed"


def test_an_incident_is_told_once_and_once_when_it_is_over() -> None:
    state = State()
    bad, fine = (1, AT_ONCE, [BAD]), (3, AT_ONCE, [])
    assert titles(state, bad) == [OPENED]
    assert titles(state, bad, bad, (2, AT_ONCE, [BAD])) == [OPENED]
    assert titles(state, fine, fine) == [OPENED, OVER]
    assert titles(state, (4, AT_ONCE, [BAD])) == [OPENED, OVER, OPENED]
    assert len({letter.identity for letter in state.letters}) == 3


def test_the_message_has_all_that_a_person_needs() -> None:
    state = State()
    titles(state, (1, AT_ONCE, [BAD]), (90, AT_ONCE, []))
    assert [letter.lines for letter in state.letters] == [
        [
            "Since 1970-01-01 00:00 UTC.",
            "Rows: 12 rows.",
            "Run: http://ui/runs/abc",
            "What to do: Run it again.",
        ],
        ["From 1970-01-01 00:00 UTC to 1970-01-01 01:30 UTC."],
    ]


@pytest.mark.parametrize("unknown", [None, [Finding("load_days", unknown=True)]])
def test_what_cannot_be_told_neither_opens_nor_closes(unknown: Any) -> None:
    state = State()
    assert titles(state, (1, AT_ONCE, unknown)) == []
    assert titles(state, (2, AT_ONCE, [BAD]), (3, AT_ONCE, unknown)) == [OPENED]
    assert titles(state, (4, AT_ONCE, [])) == [OPENED, OVER]


def test_what_begins_at_once_with_one_subject_is_one_message() -> None:
    state = State()
    row = Finding("load_days", "load_days failed 3 times in a row", 0.0, run_id="abc")

    def tick(minute: float, *findings: Finding) -> None:
        found = [Found(rule, list(findings[n : n + 1])) for n, rule in enumerate((AT_ONCE, OTHER))]
        advance(state, found, minute * 60, str, "dev")

    tick(1, BAD, row)
    tick(2)
    assert [letter.title for letter in state.letters] == [
        "[dev] load_days failed; load_days failed 3 times in a row",
        "[dev] Over: load_days failed; load_days failed 3 times in a row",
    ]


def test_what_comes_and_goes_within_its_minutes_is_not_told() -> None:
    state = State()
    ticks = [(n, PATIENT, [DISK] if n % 3 else []) for n in range(40)]
    assert titles(state, *ticks) == []
    lasting = [(40 + n, PATIENT, [DISK]) for n in range(12)]
    assert titles(state, *lasting) == ["[production] the disk is 81% full"]
    again = [(60 + n, PATIENT, [DISK] if n % 3 else []) for n in range(40)]
    assert len(titles(state, *again)) == 1
    assert len(titles(state, *[(100 + n, PATIENT, []) for n in range(12)])) == 2


def test_a_rule_that_is_gone_leaves_nothing() -> None:
    state = State()
    titles(state, (1, AT_ONCE, [BAD]), (2, OTHER, []))
    assert not state.incidents


# Sending.


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(DagsterInstance.ephemeral(), settings.home / "alerts.lock")


class Post:
    """Answers for `send`, the last one for ever; remembers what was sent."""

    def __init__(self, *answers: Problem | None) -> None:
        self.answers, self.sent = list(answers), list[str]()

    def __call__(self, message: Message, to: Sequence[Channel], timeout: float) -> Any:
        self.sent.append(message.identity)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {channel.name: answer for channel in to}


CHANNELS = [Webhook("http://127.0.0.1:1/")]
REFUSED = Problem("the webhook answered 500", may_have_arrived=False)
SILENT = Problem("no answer within 10 seconds")


def told(store: Store) -> State:
    state = store.read()
    titles(state, (1, AT_ONCE, [BAD]))
    store.write(state)
    return state


@pytest.mark.parametrize(
    ("answers", "times"),
    [
        ([None], 1),
        ([REFUSED, None], 2),
        ([REFUSED], ATTEMPTS),
        ([SILENT], 1),  # it may have arrived
    ],
)
def test_what_was_refused_is_tried_again_and_what_may_have_arrived_is_not(
    store: Store, answers: list[Problem | None], times: int
) -> None:
    told(store)
    post = Post(*answers)
    for _ in range(6):
        deliver(store, store.read(), CHANNELS, 1, post)
    assert len(post.sent) == times
    assert len(set(post.sent)) == 1
    assert store.read().letters == []


def test_a_channel_that_refuses_does_not_repeat_the_others(store: Store) -> None:
    told(store)
    sent = []

    def post(message: Message, to: Sequence[Channel], timeout: float) -> Any:
        sent.append([channel.name for channel in to])
        return {channel.name: REFUSED if channel.name == "bad" else None for channel in to}

    to = [Webhook("http://127.0.0.1:1/", name) for name in ("good", "bad")]
    for _ in range(6):
        problems = deliver(store, store.read(), to, 1, post)
    assert sent == [["good", "bad"], ["bad"], ["bad"]]
    assert problems == []


def test_a_channel_that_is_no_longer_set_keeps_nothing(store: Store) -> None:
    told(store)
    deliver(store, store.read(), CHANNELS, 1, Post(REFUSED))
    deliver(store, store.read(), [Webhook("http://127.0.0.1:1/", "other")], 1, Post(None))
    assert store.read().letters == []


def test_many_messages_take_no_longer_than_a_tick_has(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = store.read()
    findings = [Finding(f"job_{n}", f"job_{n} failed", 0.0) for n in range(10)]
    titles(state, (1, AT_ONCE, findings))
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(incidents.time, "monotonic", lambda: next(clock))
    post = Post(None)
    deliver(store, state, CHANNELS, 1, post)
    assert len(post.sent) == 3
    while store.read().letters:
        deliver(store, store.read(), CHANNELS, 1, post)
    assert len(set(post.sent)) == len(post.sent) == 10


def test_a_process_that_died_while_sending_leaves_a_message_that_is_not_sent_again(
    store: Store,
) -> None:
    told(store)

    def die(message: Message, to: Sequence[Channel], timeout: float) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver(store, store.read(), CHANNELS, 1, die)
    post = Post(None)
    (problem,) = deliver(store, store.read(), CHANNELS, 1, post)
    assert "may not have arrived" in problem
    assert post.sent == []
    assert "run_failed/load_days" in store.read().incidents


def test_one_process_at_a_time(store: Store, settings: Settings) -> None:
    other = Store(DagsterInstance.ephemeral(), settings.home / "alerts.lock")
    with store.locked(), pytest.raises(BusyError), other.locked():
        raise AssertionError
    with other.locked():
        pass


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"incidents": {"a": {"b": 1}}}', "null"])
def test_a_state_that_cannot_be_read_is_an_empty_one(store: Store, text: str) -> None:
    store._storage.set_cursor_values({incidents.KEY: text})
    assert store.read() == State()
