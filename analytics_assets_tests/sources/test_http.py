"""Support tickets from an HTTP API: nothing is lost or doubled, whatever the server does."""

import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.partitions import Window
from analytics_assets.settings import load_settings
from analytics_assets.sources import load as loading
from analytics_assets.sources.changes import changed_days
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourceConfig, SourceConfigError, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.configured import configured_sources
from analytics_assets.sources.readers import SourceError, http_fetch, landing, reader_of
from analytics_assets.sources.readers.base import UnreachableError

from .conftest import CALENDAR, JANUARY, Source
from .ticket_api import KINDS, SECRET, Api, served, ticket

KEYS = [str(day) for day in JANUARY]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_fetch, "BACKOFF", 0.01)
    monkeypatch.setenv("DESK_TOKEN", SECRET)


@pytest.fixture
def api() -> Iterator[Api]:
    with served() as api:
        api.rows = [ticket(number) for number in range(70)]
        yield api


def config_of(source: Source, api: Api, **words: Any) -> SourceConfig:
    """What the configuration of the API becomes."""
    file = source.write(
        "sources.yaml",
        yaml.safe_dump(
            {
                "calendar": {"start": date(2024, 1, 1), "end": date(2024, 2, 1)},
                "orders": {"path": "orders.csv"},
                "support_tickets": {**api.words, **words},
            }
        ),
    )
    environment = {"ANALYTICS_HOME": str(source.folder / "home"), "ANALYTICS_SOURCES": str(file)}
    return configured_sources(load_settings(environment)).sources["support_tickets"]


def landed(config: SourceConfig) -> list[Any]:
    """All rows that count, in the order of their days."""
    return [
        json.loads(line)
        for file in reader_of(config).files() or []
        for line in Path(file.path).read_text().splitlines()
    ]


def state_of(config: SourceConfig) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((Path(config.path) / "state.json").read_text())
    assert state["received"] == state["landed"] + state["replaced"] + state["repeated"]
    assert state["landed"] == len(landed(config))
    return state


def by_id(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=lambda row: (row["ticket_id"], str(row["updated_at"])))


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_limits_fails_and_drops_loses_no_row(source: Source, kind: str) -> None:
    with served(kind) as api:
        api.rows = [ticket(number) for number in range(70)]
        api.faults = {2: 429, 3: 500, 5: "dropped", 6: "cut", 7: "text", 9: 503}
        config = config_of(source, api)
        begun = time.monotonic()
        reader_of(config).fetch()
        assert time.monotonic() - begun > 1  # as Retry-After asks
        assert by_id(landed(config)) == by_id(api.rows)
        state = state_of(config)
        # The second pass, which looks whether the first missed a row, brings nothing new.
        assert (state["landed"], state["repeated"]) == (70, 70)
        assert state["cursor"] == max(row["updated_at"] for row in api.rows)
        # The next time only what is new is asked for, and a little more.
        api.faults = {}
        asked = len(api.asked)
        reader_of(config).fetch()
        again = api.asked[asked:]
        assert {one["updated_since"] for one in again} == {"2024-01-24T07:55:00Z"}
        assert len(again) == (2 if kind in ("number", "offset") else 1)  # to see the end of pages
        assert state_of(config)["landed"] == 70


@pytest.mark.parametrize("kind", ["number", "offset"])
def test_rows_that_move_across_pages_while_they_are_turned_are_found(
    source: Source, kind: str
) -> None:
    with served(kind) as api:
        api.rows = [ticket(number) for number in range(70)]

        def meanwhile(number: int) -> None:
            if number == 2:  # two of the first page move to the end, and others to earlier pages
                for row in api.rows[:2]:
                    row["updated_at"] = "2024-01-30T00:00:00Z"

        api.meanwhile = meanwhile
        config = config_of(source, api)
        reader_of(config).fetch()
        found = {(row["ticket_id"], row["updated_at"]) for row in landed(config)}
        assert found >= {(row["ticket_id"], row["updated_at"]) for row in api.rows}
        assert len(found) == 72  # the versions before, too
        # One pass alone had missed two rows, so there was a third.
        assert sum(asked in ({}, {"page": "1"}, {"offset": "0", "limit": "20"})
                   for asked in api.asked) == 3  # fmt: skip


def test_a_server_that_never_rests_is_an_error_and_keeps_its_rows(source: Source, api: Api) -> None:
    api.kind = "number"

    def meanwhile(number: int) -> None:
        for row in api.rows[:20]:
            row["updated_at"] = row["opened_at"][:17] + f"{number:02d}Z"
        api.rows.append(ticket(100 + number, updated_at="2024-01-01T00:00:00Z"))

    api.meanwhile = meanwhile
    config = config_of(source, api)
    with pytest.raises(UnreachableError, match="5 passes over the pages"):
        reader_of(config).fetch()
    assert state_of(config)["cursor"] is None
    api.meanwhile = lambda number: None
    reader_of(config).fetch()
    newest = {(row["ticket_id"], row["updated_at"]) for row in landed(config)}
    assert newest >= {(row["ticket_id"], row["updated_at"]) for row in api.rows}


def test_a_crash_between_any_two_writes_loses_and_doubles_nothing(
    source: Source, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.rows[0]["updated_at"] = "2024-01-20T00:00:00Z"
    config = config_of(source, api)
    write = landing._write
    count = crashes = 0

    def crashing(path: Path, text: str) -> None:
        nonlocal count
        count += 1
        if count == crashes + 1:
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(landing, "_write", crashing)
    while True:
        count = 0
        try:
            reader_of(config).fetch()
            break
        except KeyboardInterrupt:
            crashes += 1
            state = (
                json.loads((Path(config.path) / "state.json").read_text()) if crashes > 9 else {}
            )
            assert state.get("landed", 0) == (len(landed(config)) if state else 0)
    assert crashes > 10
    assert by_id(landed(config)) == by_id(api.rows)
    state_of(config)


def test_tickets_are_loaded_rejected_with_reasons_and_loaded_again_by_day(
    source: Source, api: Api
) -> None:
    config = config_of(source, api)
    sources = SourcesConfig(CALENDAR, {"support_tickets": config})
    api.rows += [
        ticket(3),  # delivered twice
        ticket(80, ticket_id=None),
        ticket(81, opened_at="yesterday"),
        ticket(82, resolved_at="soon", updated_at="2099-01-01T00:00:00Z"),
        ticket(83, opened_at="2023-12-31T08:00:00Z"),
        ticket(84, satisfaction=4, subject="\ud83d \0"),
        {"ticket_id": "T85"},
        "no ticket",
    ]
    changed = changed_days(sources, source.warehouse, KEYS)
    assert len(changed) == 31
    result = loading.load(source.warehouse, config, CALENDAR, JANUARY, source_time())
    assert (result.total.read, result.total.accepted, result.total.rejected) == (77, 70, 7)
    assert result.reasons == {
        "ticket_id: missing": 1,
        "opened_at: not a time in the declared format": 1,
        "resolved_at: not a time in the declared format": 1,
        "opened_at: outside the calendar": 1,
        "opened_at: missing": 1,
        "a NUL byte": 1,
        "not a JSON object, or one with a member twice": 1,
    }
    # A time of change in the future does not move the cursor, or all until then would be lost.
    assert state_of(config)["cursor"] == "2024-01-28T10:00:00Z"
    assert changed_days(sources, source.warehouse, KEYS) == {}

    # A ticket that is updated changes its day, and no other.
    api.rows[6] = ticket(6, resolved_at="2024-01-30T09:30:00.5+01:00", status="Solved",
                         updated_at="2024-01-30T09:00:00Z")  # fmt: skip
    assert [*changed_days(sources, source.warehouse, KEYS)] == [date(2024, 1, 3)]
    third = Window(date(2024, 1, 3), date(2024, 1, 4))
    loading.load(source.warehouse, config, CALENDAR, third, source_time())
    assert changed_days(sources, source.warehouse, KEYS) == {}
    with source.warehouse.read() as session:
        versions = session.rows(
            "SELECT status, resolved_at::VARCHAR, source_file FROM raw.raw_support_tickets "
            "WHERE ticket_id = 'T6' ORDER BY updated_at"
        )
    assert versions == [
        ("open", None, "2024-01-03"),
        ("solved", "2024-01-30 08:30:00.5", "2024-01-03"),
    ]


def source_time() -> Any:
    from datetime import datetime

    return datetime(2024, 2, 1, 12)  # noqa: DTZ001  (the warehouse has naive UTC)


def test_an_api_without_tickets_is_an_empty_source(source: Source, api: Api) -> None:
    api.rows = []
    config = config_of(source, api)
    sources = SourcesConfig(CALENDAR, {"support_tickets": config})
    assert len(changed_days(sources, source.warehouse, KEYS)) == 31
    result = loading.load(source.warehouse, config, CALENDAR, JANUARY, source_time())
    assert result.total.read == 0
    assert changed_days(sources, source.warehouse, KEYS) == {}


ERRORS: dict[str, tuple[Any, dict[str, Any], type[SourceError], str]] = {
    "refused": (401, {}, SourceError, "refuses the secret"),
    "not found": (404, {}, SourceError, "answers with status 404"),
    "moved": ("elsewhere", {}, SourceError, "answers with status 302"),
    "down": (503, {}, UnreachableError, "status 503, tried 5 times"),
    "gone": ("dropped", {}, UnreachableError, "tried 5 times"),
    "a page of a login": ("text", {}, UnreachableError, "tried 5 times"),
    "other rows": (None, {"rows": "items"}, SourceError, "no list at items"),
    "other pages": (None, {"pages": {**KINDS["number"], "param": "p"}}, SourceError, "same page"),
    "too large a limit": (
        *(None, {"pages": {**KINDS["offset"], "limit": 50}}),
        *(SourceError, "20 rows a page, not 50"),
    ),
    "unknown column": (
        *(None, {"columns": {"resolved_at": "solvd_at"}}),
        *(SourceError, "no column 'solvd_at'"),
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_fetched_says_why_and_shows_no_secret(
    source: Source, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault, words, kind, message = ERRORS[name]
    with served("offset" if "limit" in name else "cursor") as api:
        api.rows = [ticket(number) for number in range(70)]
        api.faults = {0: fault} if fault else {}
        config = config_of(source, api, **words)
        with pytest.raises(SourceError, match=message) as caught:
            loading.load(source.warehouse, config, CALENDAR, JANUARY, source_time())
    assert type(caught.value).__name__ == (
        "MissingColumnError" if "column" in name else kind.__name__
    )
    chain = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"
    assert SECRET not in chain


def test_a_next_page_on_another_host_does_not_get_the_secret(source: Source) -> None:
    with served("next_link") as api, served("next_link") as other:
        api.rows = [ticket(number) for number in range(70)]
        api.next_host = other.url
        config = config_of(source, api)
        with pytest.raises(SourceError, match="next page on another host"):
            reader_of(config).fetch()
        assert other.asked == []


def test_a_fetch_with_little_time_keeps_what_it_has(source: Source, api: Api) -> None:
    api.meanwhile = lambda number: time.sleep(0.2)
    config = config_of(source, api)
    with pytest.raises(UnreachableError, match="not fetched to its end"):
        reader_of(config).fetch(0.1)
    assert 0 < len(landed(config)) < 70
    with (
        reader_of(config)._landing(Path(config.path)).locked(1),  # type: ignore[attr-defined]
        pytest.raises(UnreachableError, match="Another process fetches"),
    ):
        reader_of(config).fetch(0.1)
    reader_of(config).fetch()
    assert by_id(landed(config)) == by_id(api.rows)


@pytest.mark.parametrize(
    ("words", "authorization"),
    [({"token_as": "basic"}, "Basic czNjcmV0OngvdG9rZW4="), ({"token_env": None}, None)],
)
def test_other_ways_to_name_oneself(
    source: Source,
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    words: dict[str, Any],
    authorization: str | None,
) -> None:
    monkeypatch.setenv("DESK_TOKEN", "s3cret:x/token")
    api.authorization = authorization  # type: ignore[assignment]
    given = {name: value for name, value in {**api.words, **words}.items() if value}
    monkeypatch.setattr(Api, "words", given)
    config = config_of(source, api)
    reader_of(config).fetch()
    assert len(landed(config)) == 70


def test_a_secret_that_is_not_set_is_named(
    source: Source, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESK_TOKEN")
    with pytest.raises(SourceError, match="DESK_TOKEN is not set"):
        reader_of(config_of(source, api)).fetch()
    monkeypatch.setenv("ANALYTICS_DEPLOYMENT", "production")
    assert api.asked == []


def test_check_sources_looks_at_the_first_pages_and_writes_nothing(
    source: Source, api: Api
) -> None:
    config = config_of(source, api)
    (report,) = check_sources(SourcesConfig(CALENDAR, {"support_tickets": config}))
    assert (report.rows, report.problem) == (70, None) or not report.problem
    assert report.rows == 70
    assert not Path(config.path).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"url": "desk.example.com"}, "no address of an API"),
        ({"url": "https://me:secret@desk.example.com/"}, "credentials do not belong here"),
        ({"pages": {"by": "numbers"}}, "Did you mean 'number'"),
        ({"pages": {"by": "offset", "param": "offset"}}, "pages by offset need `limit`"),
        ({"pages": {"by": "number", "param": "p", "path": "x"}}, "'path' is not known here"),
        ({"pages": {"param": "p"}}, "there is no `by`"),
        ({"params": {"all": True}}, "write a text or a number"),
        ({"delimiter": ";"}, "means nothing for the format http"),
        ({"columns": {"ticket_id": ["a", "b"]}}, "has to be one column"),
    ],
)
def test_wrong_words_name_their_line(
    source: Source, api: Api, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(SourceConfigError, match=message):
        config_of(source, api, **words)


def test_rows_that_cannot_be_told_apart_are_not_fetched(source: Source) -> None:
    text = "calendar: {start: 2024-01-01}\norders: {url: 'https://x.example/', pages: {by: none}}"
    with pytest.raises(SourceConfigError, match="orders cannot be fetched"):
        load_sources(source.write("sources.yaml", text))
