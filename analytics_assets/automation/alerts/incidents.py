"""Incidents: which are open, and the messages that people have had.

Belongs here: when an incident opens and is over, and that each message is sent once. Does not
belong here: what is wrong (`measures`), or the channels (`notifications`).

The state is a value in the storage of the Dagster instance: the daemon and the command line share
it, and a daemon that is started again knows it. It is written before each message is sent, and
after. A process that dies in between leaves a message that may have arrived; it is not sent again.
What a server refused is tried again in later ticks.
"""

import fcntl
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from analytics_assets.automation.alerts.facts import time_text
from analytics_assets.automation.alerts.measures import Finding
from analytics_assets.automation.alerts.rules import AlertRule
from analytics_assets.automation.notifications import Channel, Message, Problem, send

KEY = "analytics_assets/alerts"
ATTEMPTS = 3
BUDGET_SECONDS = 20.0  # of all messages of a tick; a tick of a sensor has 60 seconds
LOCK_SECONDS = 1.0
Sender = Callable[..., Any]


@dataclass
class Incident:
    """Something that is wrong.

    Attributes:
        rule: name of the rule.
        subject: what it is about.
        what: what is wrong.
        since: when it began.
        seen: when it was seen first.
        told: whether people were told.
        fine_since: since when it is not so any more.
        run_id: a run whose page shows it.
    """

    rule: str
    subject: str
    what: str
    since: float
    seen: float
    told: bool = False
    fine_since: float | None = None
    run_id: str | None = None


@dataclass
class Letter:
    """A message that is not sent yet to some channels, with the attempts in each."""

    title: str
    lines: list[str]
    identity: str
    attempts: dict[str, int] = field(default_factory=dict)
    sending: bool = False


@dataclass
class State:
    """All that is remembered.

    Attributes:
        incidents: by rule and subject.
        letters: what is to be sent.
        summary: what the last summary was about.
    """

    incidents: dict[str, Incident] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)


class BusyError(RuntimeError):
    """Another process is sending messages."""


class Store:
    """The state in the storage of the instance, for one process at a time."""

    def __init__(self, instance: DagsterInstance, lock: Path) -> None:
        self._storage, self._lock = instance.daemon_cursor_storage, lock

    def read(self) -> State:
        """The state; an empty one where there is none, or none that can be read."""
        text = self._storage.get_cursor_values({KEY}).get(KEY)
        try:
            value = json.loads(text or "{}")
            return State(
                {key: Incident(**one) for key, one in value.get("incidents", {}).items()},
                [Letter(**one) for one in value.get("letters", [])],
                value.get("summary", {}),
            )
        except (ValueError, TypeError, AttributeError):  # of another version
            return State()

    def write(self, state: State) -> None:
        """Replace the state."""
        self._storage.set_cursor_values({KEY: json.dumps(asdict(state))})

    @contextmanager
    def locked(self) -> Iterator[State]:
        """The state, and no other process; the lock goes with the process.

        Raises:
            BusyError: another process has it.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + LOCK_SECONDS
        with self._lock.open("a") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise BusyError("Another process is sending messages.") from None
                    time.sleep(0.05)
            yield self.read()


@dataclass(frozen=True)
class Found:
    """What a rule found; None where it could not be evaluated."""

    rule: AlertRule
    findings: list[Finding] | None


def advance(
    state: State, found: Iterable[Found], now: float, link: Callable[[str], str], place: str
) -> None:
    """Open and close incidents, and write the letters that say so.

    What begins or ends at one time with one subject is one letter.

    Args:
        state: is changed.
        found: what each rule found.
        now: the time.
        link: the address of a run's page.
        place: the deployment.
    """
    opened: dict[str, list[tuple[Incident, str]]] = {}
    over: dict[str, list[Incident]] = {}
    known = set()
    for one in found:
        rule = one.rule
        known.add(rule.name)
        bad = {finding.subject: finding for finding in one.findings or ()}
        for subject, finding in bad.items():
            if finding.unknown:
                continue
            since = now if finding.since is None else finding.since
            incident = state.incidents.setdefault(
                f"{rule.name}/{subject}",
                Incident(rule.name, subject, finding.what, since, now),
            )
            incident.fine_since = None
            incident.run_id = finding.run_id
            if not incident.told and now - incident.seen >= rule.minutes * 60:
                incident.told, incident.what = True, " ".join(finding.what.split())
                text = _opened(finding, incident, rule, link)
                opened.setdefault(subject, []).append((incident, text))
        if one.findings is None:
            continue
        for key, incident in list(state.incidents.items()):
            if incident.rule != rule.name or incident.subject in bad:
                continue
            incident.fine_since = now if incident.fine_since is None else incident.fine_since
            if not incident.told or now - incident.fine_since >= rule.minutes * 60:
                del state.incidents[key]
                if incident.told:
                    over.setdefault(incident.subject, []).append(incident)
    # A rule that is gone closes its incidents without a word.
    state.incidents = {k: one for k, one in state.incidents.items() if one.rule in known}
    for incidents in opened.values():
        whats = dict.fromkeys(incident.what for incident, _ in incidents)
        lines = [line for _, text in incidents for line in text.splitlines()]
        state.letters.append(
            Letter(
                f"[{place}] {'; '.join(whats)}",
                [*dict.fromkeys(lines)],
                _identity("open", incidents[0][0], incidents[0][0].seen),
            )
        )
    for closed in over.values():
        whats = dict.fromkeys(incident.what for incident in closed)
        began = min(incident.since for incident in closed)
        state.letters.append(
            Letter(
                f"[{place}] Over: {'; '.join(whats)}",
                [f"From {time_text(began)} to {time_text(closed[0].fine_since or now)}."],
                _identity("over", closed[0], closed[0].seen),
            )
        )


def deliver(
    store: Store, state: State, channels: Sequence[Channel], timeout: float, send: Sender = send
) -> list[str]:
    """Send the letters, within a budget of time, and remember what was sent.

    Args:
        store: where the state is written, before and after each.
        state: with the letters.
        channels: where to send them.
        timeout: seconds for a letter.
        send: `notifications.send`, but in tests.

    Returns:
        What went wrong, in words.
    """
    problems = []
    for letter in [letter for letter in state.letters if letter.sending]:
        problems.append(f"{letter.title!r} may not have arrived: its process ended while sending.")
        state.letters.remove(letter)
    store.write(state)
    deadline = time.monotonic() + BUDGET_SECONDS
    for letter in [*state.letters]:
        if time.monotonic() > deadline:
            break
        if not letter.attempts:
            letter.attempts = {channel.name: 0 for channel in channels}
        to = [channel for channel in channels if channel.name in letter.attempts]
        letter.sending = True
        store.write(state)
        message = Message(letter.title, tuple(letter.lines), letter.identity)
        results: dict[str, Problem | None] = dict(send(message, to, timeout))
        letter.sending = False
        for channel in to:
            problem = results[channel.name]
            letter.attempts[channel.name] += 1
            again = bool(problem and not problem.may_have_arrived)
            again = again and letter.attempts[channel.name] < ATTEMPTS
            if problem:
                later = " It is tried again." if again else " It is not tried again."
                problems.append(f"{letter.title!r} by {channel.name}: {problem.text}.{later}")
            if not again:
                del letter.attempts[channel.name]
        # A channel that is no longer set is no reason to wait.
        if not {channel.name for channel in channels} & letter.attempts.keys():
            state.letters.remove(letter)
        store.write(state)
    return problems


def _opened(
    finding: Finding, incident: Incident, rule: AlertRule, link: Callable[[str], str]
) -> str:
    lines = [f"Since {time_text(incident.since)}."]
    if finding.rows:
        lines.append(f"Rows: {finding.rows}.")
    if finding.run_id:
        lines.append(f"Run: {link(finding.run_id)}")
    remedy = " ".join((finding.remedy or rule.remedy).split())
    return "\n".join([*lines, f"What to do: {remedy}"])


def _identity(kind: str, incident: Incident, seen: float) -> str:
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", f"{incident.rule}.{incident.subject}")
    return f"{kind}.{words}.{seen:.3f}"
