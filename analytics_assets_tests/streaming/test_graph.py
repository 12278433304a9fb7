"""Sessions of the stream as a source of the graph, configured as the page on streaming says."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.config_file import load_sources
from analytics_assets.streaming.application import StreamOptions
from analytics_assets.streaming.sample import sample_events, write_files
from analytics_assets_tests.sources.conftest import Source

from ..conftest import REPOSITORY
from .messages import START

pytestmark = pytest.mark.slow


def naive(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None)


def test_sessions_of_the_stream_are_loaded(
    options: StreamOptions,
    run: Callable[[StreamOptions], None],
    table: Callable[[StreamOptions, str], list[Any]],
    tmp_path: Path,
) -> None:
    folder = Path(options.messages.folder)  # type: ignore[attr-defined]
    write_files(folder, sample_events(1_500, START, 3 * 3600, 60, seed=4), 600)
    run(options)

    page = (REPOSITORY / "docs" / "streaming.md").read_text(encoding="utf-8")
    given = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    given["user_sessions"]["path"] = options.lake.table("sessions")
    file = tmp_path / "sources.yaml"
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    config = load_sources(file).sources["user_sessions"]

    source = Source(tmp_path)
    day = START.date()
    window = Window(day, day + timedelta(days=1))
    try:
        source.load(config, window, Calendar(date(2024, 1, 1), date(2025, 1, 1)))
        found = source.rows(
            "SELECT session_id, customer_id, started_at, ended_at, page_views "
            "FROM raw.raw_user_sessions"
        )
        assert source.rows("SELECT count(*) FROM raw.rejected_rows") == [(0,)]
    finally:
        source.close()

    wanted = [
        (s.session_key, s.customer_id, naive(s.started_at), naive(s.last_event_at), s.pages)
        for s in table(options, "sessions")
        if naive(s.started_at).date() == day  # late events made some of the day before
    ]
    assert wanted
    assert sorted(map(str, found)) == sorted(map(str, wanted))
