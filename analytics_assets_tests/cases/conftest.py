"""The sources of a case are those of the tests of sources, and check-sources agrees with each load.

Whatever a case loads as a whole, with or without success, is looked at first: the look says "cannot
be loaded" exactly where the load fails or accepts nothing, and counts the same rows.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from analytics_assets.partitions import Calendar, Window
from analytics_assets.sources.check import check_sources
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.load import LoadResult
from analytics_assets.sources.readers import SourceError
from analytics_assets_tests.dbt.conftest import built_warehouse
from analytics_assets_tests.sources.conftest import CALENDAR, JANUARY, Source

__all__ = ["built_warehouse", "source"]


class AgreeingSource(Source):
    """A source whose loads are compared with what check-sources says before."""

    def load(
        self,
        config: SourceConfig | None = None,
        window: Window | None = JANUARY,
        calendar: Calendar = CALENDAR,
        loaded_at: datetime = datetime(2024, 2, 1, 12),  # noqa: DTZ001 (naive UTC)
        **options: Any,
    ) -> LoadResult:
        config = config or self.config()
        given = (config, window, calendar, loaded_at)
        whole = window is None or (window.start, window.end) == (calendar.start, calendar.end)
        if not whole:
            return super().load(*given, **options)
        (report,) = check_sources(SourcesConfig(calendar, {config.source: config}))
        try:
            result = super().load(*given, **options)
        except SourceError as error:
            # Only this is about what was loaded before.
            assert report.problem or "max_volume_change" in str(error), error
            raise
        rows = result.total.read - result.total.not_due
        assert (report.rows, report.rejected) == (rows, result.total.rejected), report
        assert bool(report.problem) == bool(rows and rows == result.total.rejected), report
        return result


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    source = AgreeingSource(tmp_path)
    yield source
    source.close()
