"""The command line, with a module for each group of commands: what Dagster's own does not do.

Belongs here: text and progress for a terminal. Does not belong here: the work itself
(`automation.backfill`, `sources`, `warehouse`).
"""

import os
from typing import Any

import click

from analytics_assets.cli import (
    api,
    backup,
    dashboards,
    doctor,
    metrics,
    models,
    published,
    runs,
    setup,
    sources,
    stream,
)
from analytics_assets.json_logs import printed_as_json


class _Group(click.Group):
    """Prints lines of JSON where that is set, errors included."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command."""
        if os.environ.get("ANALYTICS_LOG_FORMAT", "").strip() != "json":
            return super().main(*args, **kwargs)
        with printed_as_json():
            return super().main(*args, **kwargs)


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
def main() -> None:
    """Customer analytics as Dagster assets: samples, backfills, and the development server."""


for command in (
    *(sources.sample, sources.check_sources_command, sources.rejected),
    *(runs.backfill, runs.run),
    *(models.model, published.profile, published.diff),
    *(stream.stream, stream.stream_jars, stream.stream_sample, stream.stream_status),
    *(stream.live, stream.dead_letters, stream.kafka),
    *(setup.dev, setup.prepare_command, setup.settings, metrics.metrics),
    *(api.api, api.api_keys, dashboards.dashboards),
    *(doctor.doctor, backup.backup, backup.restore),
):
    main.add_command(command)
