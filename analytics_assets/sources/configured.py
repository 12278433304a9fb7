"""The sources of a deployment: the team's configuration, or the generated sample.

Belongs here: where the configuration comes from. Does not belong here: its words (`config`), or
reading them from YAML (`config_file`).
"""

import json
from datetime import date
from pathlib import Path

from analytics_assets.partitions import Calendar
from analytics_assets.settings import Settings
from analytics_assets.sources.config import SourceConfig, SourcesConfig
from analytics_assets.sources.config_file import load_sources
from analytics_assets.sources.declared import SOURCES

# The default span of `write_sample`; the manifest has the span of the existing sample.
DEFAULT_SAMPLE_CALENDAR = Calendar(date(2024, 1, 1), date(2026, 1, 1))


def configured_sources(settings: Settings) -> SourcesConfig:
    """The sources of the settings: the team's configuration, or the generated sample.

    Raises:
        SourceConfigError: the configuration is wrong.
    """
    if settings.sources_file is not None:
        return load_sources(settings.sources_file)
    manifest = settings.sample_dir / "manifest.json"
    if not manifest.is_file():
        return sample_sources(settings.sample_dir, DEFAULT_SAMPLE_CALENDAR)
    span = json.loads(manifest.read_text(encoding="utf-8"))
    calendar = Calendar(date.fromisoformat(span["start"]), date.fromisoformat(span["end"]))
    return sample_sources(settings.sample_dir, calendar)


def sample_sources(directory: Path, calendar: Calendar) -> SourcesConfig:
    """The configuration of the generated sample in a folder."""
    return SourcesConfig(
        calendar,
        {
            name: SourceConfig(name, str(directory / source.sample), **source.sample_words)
            for name, source in SOURCES.items()
            if source.sample
        },
    )
