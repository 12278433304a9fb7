"""UCI Online Retail through the whole project: only for reading."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from analytics_assets.automation.backfill import Outcome, plan_backfill
from analytics_assets.partitions import Window
from analytics_assets.settings import Settings
from analytics_assets_tests.conftest import (
    REPOSITORY,
    Project,
    made_once,
    make_settings,
    open_project,
    share_manifest,
)

DATA = REPOSITORY.parent / "shared" / "data" / "online_retail"
EXAMPLE = REPOSITORY / "examples" / "online_retail.yaml"


@pytest.fixture(scope="session")
def retail(shared: Path, manifest: Path) -> Iterator[Project]:
    """The project over the files of days, as the example configures them."""

    def built(folder: Path) -> tuple[Settings, Outcome]:
        example = EXAMPLE.read_text()
        assert example.count("online_retail/{date}.csv") == 1
        file = folder / "sources.yaml"
        file.write_text(example.replace("online_retail/{date}.csv", f"{DATA}/{{date}}.csv"))
        settings = make_settings(folder / "home", ANALYTICS_SOURCES=str(file))
        with open_project(share_manifest(manifest, settings)) as project:
            calendar = project.calendar
            assert calendar.end is not None
            whole = [Window(calendar.start, calendar.end)]
            plans = plan_backfill(whole, calendar, settings.churn_horizon_days)
            return settings, project.run(plans)

    with open_project(*made_once(shared / "retail", built)) as project:
        yield project
