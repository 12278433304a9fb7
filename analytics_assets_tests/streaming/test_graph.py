"""Events of the stream as a source of the graph, configured as the page on streaming says."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.partitions import Window
from analytics_assets.streaming.application import StreamOptions
from analytics_assets.streaming.sample import sample_events, write_files
from analytics_assets_tests.sources.conftest import csv_of

from ..conftest import REPOSITORY, make_settings, open_project, share_manifest
from .messages import START, event, expected, write
from .streamed import Streamed

pytestmark = pytest.mark.slow

BEFORE, DAY, END = date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 4)
WORDS = ("sessions", "purchases", "activity")


def test_events_of_the_stream_become_facts_and_agree_with_it(
    options: StreamOptions, run: Callable[[StreamOptions], None], tmp_path: Path, manifest: Path
) -> None:
    folder = Path(options.messages.folder)  # type: ignore[attr-defined]
    # Exactly 30 minutes end no session. The stream reads files in the order of their times.
    first = write(folder, 0, [event(900 + n, 600 + 30 * n, customer_id="pauses") for n in range(3)])
    arrived = (START + timedelta(hours=12)).timestamp()
    os.utime(first, (arrived, arrived))
    start = START.replace(hour=21)
    write_files(folder, sample_events(3_000, start, 6 * 3600, 150, seed=8), 1_600)
    wanted = expected(sorted(folder.iterdir()))
    run(options)

    page = (REPOSITORY / "docs" / "streaming.md").read_text(encoding="utf-8")
    given: dict[str, Any] = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    assert given["events"]["format"] == "lake"
    given["events"]["path"] = options.lake.place
    given["calendar"] = {"start": BEFORE, "end": END}
    (tmp_path / "orders.csv").write_text(csv_of({"ordered_at": f"{DAY} 10:00:00"}))
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(given))
    settings = make_settings(tmp_path / "project", ANALYTICS_SOURCES=str(tmp_path / "sources.yaml"))
    with open_project(share_manifest(manifest, settings)) as project:
        streamed = Streamed(project)
        assert streamed.load(Window(BEFORE, END)).failures == []

        of_day = {name for name, row in wanted.events.items() if row["at"].date() == DAY}
        late = of_day & wanted.late
        found = project.query(
            f"SELECT event_id, is_late FROM core.fact_events WHERE event_date = DATE '{DAY}'"
        )
        assert ({row[0] for row in found}, {row[0] for row in found if row[1]}) == (of_day, late)
        assert late
        assert project.query(
            "SELECT count(*) FROM core.fact_user_sessions WHERE customer_id = 'pauses'"
        ) == [(1,)]
        for what in WORDS:
            stream, batch, equal, _, unsaid, differing, late_events = streamed.comparison()[
                DAY, what
            ]
            assert (unsaid, differing, late_events) == (0, 0, len(late)), what
            assert min(stream, batch, equal) > 10, what
        assert project.query(
            "SELECT sum(rows_read), sum(rows_rejected), sum(rows_duplicate), sum(rows_late) "
            "FROM quality.stream_batches"
        ) == [(wanted.read, len(wanted.rejected), wanted.duplicates, len(wanted.late))]
        assert project.query("SELECT count(*) FROM quality.dead_letters") == [
            (len(wanted.rejected),)
        ]
        states = project.query("SELECT query, state_rows FROM quality.stream_queries")
        assert {name for name, _ in states} == {"lake", *WORDS, "alerts"}

        assert streamed.asked_for() == []
        # Late, and an event in time that closes another hour.
        write(folder, 99, [event(990, 60, customer_id="late"), event(991, 21 * 60)])
        run(replace(options, queries=("lake",)))
        assert streamed.asked_for() == [DAY]
