"""A project that takes its events from a lake: loading days, and what is asked for."""

from dataclasses import dataclass, field
from datetime import date

from dagster import build_sensor_context

from analytics_assets.automation.backfill import Outcome, RunPlan
from analytics_assets.automation.jobs import LOAD_DAYS
from analytics_assets.automation.ranges import range_tags
from analytics_assets.partitions import Window, run_window
from analytics_assets_tests.conftest import Project


@dataclass
class Streamed:
    """A project whose events are those of a lake.

    Attributes:
        project: the project.
        first: what the first load did.
    """

    project: Project
    first: Outcome = field(default_factory=Outcome)

    def load(self, window: Window) -> Outcome:
        return self.project.run([RunPlan(LOAD_DAYS, range_tags(window))])

    def asked_for(self) -> list[date]:
        """Days that the sensor asks for."""
        definitions = self.project.definitions()
        repository = definitions.get_repository_def()
        (sensor,) = (s for s in repository.sensor_defs if s.name == "changed_sources")
        cursor = None
        for _ in range(2):  # files of orders have to be at rest
            context = build_sensor_context(
                instance=self.project.instance, cursor=cursor, repository_def=repository
            )
            result = sensor.evaluate_tick(context)
            cursor = result.cursor
        return [
            day for request in result.run_requests or () for day in run_window(request.tags) or ()
        ]

    def comparison(self) -> dict[tuple[date, str], tuple[int, ...]]:
        rows = self.project.query(
            "SELECT day, what, stream_rows, batch_rows, equal_rows, late_rows, unsaid_rows, "
            "differing_rows, late_events FROM quality.stream_comparison"
        )
        return {row[:2]: row[2:] for row in rows}
